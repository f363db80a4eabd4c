//! `network:`: patience and parallelism.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Bandwidth, Delay, Timeout, from_text, not, text_types};
use crate::transport::NetworkSettings;
use crate::yaml::{Problem, Result};

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

text_types! {
    /// More attempts don't make a server answer, but a job hang.
    Retries(usize) = |text| number(text, 0, 20) => ["integer", "string"],
    /// Fewer than one fetches nothing; more look like an attack.
    Connections(usize) = |text| number(text, 1, 256) => ["integer", "string"],
}

fn number(text: &str, least: usize, most: usize) -> Result<usize> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| not(text, &format!("a number from {least} to {most}")))
}

impl NetworkSchema {
    /// The settings; what the file does not say is the default.
    pub(super) fn settings(self) -> NetworkSettings {
        let default = NetworkSettings::default();
        NetworkSettings {
            retries: self.retries.map_or(default.retries, |set| set.0),
            retry_delay: self.retry_delay.map_or(default.retry_delay, |set| set.0),
            connect_timeout: self.connect_timeout.map_or(default.connect_timeout, |set| set.0),
            idle_timeout: self.idle_timeout.map_or(default.idle_timeout, |set| set.0),
            total_timeout: self.total_timeout.map_or(default.total_timeout, |set| set.0),
            connections: self.connections.map_or(default.connections, |set| set.0),
            metadata_connections: self.metadata_connections.map_or(default.metadata_connections, |set| set.0),
            bandwidth: self.bandwidth.map(|set| set.0),
        }
    }
}
