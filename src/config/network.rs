//! `network:`: patience and parallelism.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::complaint::Complaint;
use super::keep::size;
use super::reader::{Problem, Reader, flag};
use super::shape::{Text, shape};
use crate::transport::NetworkSettings;
use crate::types::{MaxAge, shorten};

/// More than this many attempts don't make a server answer, but a job hang.
const RETRIES: RangeInclusive<usize> = 0..=20;

/// Fewer than one fetches nothing; more than this looks like an attack.
const CONNECTIONS: RangeInclusive<usize> = 1..=256;

shape! {
    /// `network:`.
    NetworkShape, "a map with the network settings" {
        "retries" => retries: Text,
        "retry-delay" => retry_delay: Text,
        "connect-timeout" => connect_timeout: Text,
        "idle-timeout" => idle_timeout: Text,
        "total-timeout" => total_timeout: Text,
        "connections" => connections: Text,
        "metadata-connections" => metadata_connections: Text,
        "bandwidth" => bandwidth: Text,
        "several-mirrors" => several_mirrors: Text,
    }
}

/// The settings; what the file does not say is the default.
pub(super) fn read(reader: &Reader<'_>, shape: &NetworkShape) -> Result<NetworkSettings, Problem> {
    let default = NetworkSettings::default();
    let time = |key, text: &Option<Text>, default| {
        reader.read_key(key, text.as_ref(), timeout).map(|found| found.unwrap_or(default))
    };
    let count = |key, text: &Option<Text>, range, default| {
        reader.read_key(key, text.as_ref(), |text| number(text, &range)).map(|found| found.unwrap_or(default))
    };
    let metadata = &shape.metadata_connections;
    let delay = reader.read_key("retry-delay", shape.retry_delay.as_ref(), duration)?;
    Ok(NetworkSettings {
        retries: count("retries", &shape.retries, RETRIES, default.retries)?,
        retry_delay: delay.unwrap_or(default.retry_delay),
        connect_timeout: time("connect-timeout", &shape.connect_timeout, default.connect_timeout)?,
        idle_timeout: time("idle-timeout", &shape.idle_timeout, default.idle_timeout)?,
        total_timeout: time("total-timeout", &shape.total_timeout, default.total_timeout)?,
        connections: count("connections", &shape.connections, CONNECTIONS, default.connections)?,
        metadata_connections: count("metadata-connections", metadata, CONNECTIONS, default.metadata_connections)?,
        bandwidth: reader.read_key("bandwidth", shape.bandwidth.as_ref(), bandwidth)?,
        several_mirrors: reader.read_key("several-mirrors", shape.several_mirrors.as_ref(), flag)?.unwrap_or_default(),
    })
}

fn duration(text: &str) -> Result<Duration, Complaint> {
    text.parse().map(MaxAge::as_duration).map_err(|_| {
        Complaint::new(format!("`{}` is not a length of time", shorten(text)))
            .help("expected a number with a unit, such as `500ms`, `30s` or `1h`")
    })
}

/// A size, with or without the `/s` that is meant.
fn bandwidth(text: &str) -> Result<u64, Complaint> {
    let complaint = || {
        Complaint::new(format!("`{}` is not a bandwidth", shorten(text)))
            .help("expected bytes a second, such as `50MB/s` or `800KiB/s`")
    };
    let rate = size(text.trim_end().trim_end_matches("/s").trim_end()).map_err(|_| complaint())?.as_u64();
    if rate == 0 { Err(complaint()) } else { Ok(rate) }
}

fn timeout(text: &str) -> Result<Duration, Complaint> {
    match duration(text)? {
        Duration::ZERO => Err(Complaint::new("a timeout of zero lets nothing succeed")
            .help("leave the key out for the default, or give a long time, such as `1d`")),
        duration => Ok(duration),
    }
}

fn number(text: &str, range: &RangeInclusive<usize>) -> Result<usize, Complaint> {
    let (least, most) = (range.start(), range.end());
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| Complaint::new(format!("`{}` is not a number from {least} to {most}", shorten(text))))
}
