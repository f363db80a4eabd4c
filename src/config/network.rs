//! `network:`: patience and parallelism.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Bandwidth, Delay, Timeout, from_text};
use crate::transport::NetworkSettings;
use crate::types::shorten;
use crate::yaml::Problem;

/// Patience and parallelism.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a map with the network settings")]
pub(super) struct NetworkSchema {
    /// How often a failed request is tried again. Default: 4.
    retries: Option<Retries>,
    /// The pause before the first retry; it doubles with each one, up to 30 s. Default: `500ms`.
    retry_delay: Option<Delay>,
    /// How long a connection may take to come about. Default: `15s`.
    connect_timeout: Option<Timeout>,
    /// How long a server may send nothing. Default: `60s`.
    idle_timeout: Option<Timeout>,
    /// How long one attempt at one file may take. Default: `1h`.
    total_timeout: Option<Timeout>,
    /// How many connections are open for binaries. Default: 8.
    connections: Option<Connections>,
    /// How many metadata files are asked for at once. Default: 32.
    metadata_connections: Option<Connections>,
    /// The most that all downloads of binaries together may take, in bytes a second. Default: no limit.
    bandwidth: Option<Bandwidth>,
}

/// More attempts than 20 don't make a server answer, but a job hang.
type Retries = Count<0, 20>;

/// Fewer than one fetches nothing; more than 256 look like an attack.
type Connections = Count<1, 256>;

/// A number in a range.
#[derive(Clone, Copy, Debug)]
struct Count<const LEAST: usize, const MOST: usize>(usize);

impl<const LEAST: usize, const MOST: usize> FromStr for Count<LEAST, MOST> {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
        let problem = || Problem::new(format!("`{}` is not a number from {LEAST} to {MOST}", shorten(text)));
        number.map(Self).ok_or_else(problem)
    }
}

from_text!(Retries => ["integer", "string"], Connections => ["integer", "string"]);

impl NetworkSchema {
    /// The settings; what the file does not say is the default.
    pub(super) fn settings(&self) -> NetworkSettings {
        let default = NetworkSettings::default();
        NetworkSettings {
            retries: self.retries.map_or(default.retries, |Count(count)| count),
            retry_delay: self.retry_delay.map_or(default.retry_delay, |Delay(delay)| delay),
            connect_timeout: self.connect_timeout.map_or(default.connect_timeout, |Timeout(time)| time),
            idle_timeout: self.idle_timeout.map_or(default.idle_timeout, |Timeout(time)| time),
            total_timeout: self.total_timeout.map_or(default.total_timeout, |Timeout(time)| time),
            connections: self.connections.map_or(default.connections, |Count(count)| count),
            metadata_connections: self.metadata_connections.map_or(default.metadata_connections, |Count(count)| count),
            bandwidth: self.bandwidth.map(|Bandwidth(rate)| rate),
            ..default
        }
    }
}
