//! The bounds on what a server can make larder do.

use std::time::Duration;

/// Bounds on sizes. Each names the attack, or the accident, that it stops.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of one metadata document. Stops a mirror that answers a request for a manifest with an endless body
    /// from filling the memory; a v2 spec file of a large environment has a few hundred kilobytes.
    pub document_bytes: u64,
    /// The most bytes of one blob whose size is not stated (layout v2). Stops a mirror from filling the disk. A stated size
    /// is the bound where there is one, and may not exceed this one either.
    pub blob_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes: 8 << 20, blob_bytes: 64 << 30 }
    }
}

/// The most redirects that are followed for one request: stops a loop.
pub(super) const MAX_REDIRECTS: usize = 10;

/// How much of an upload is in the memory at once, and how large the parts are in which a larger one is sent. A store takes
/// 10,000 parts, so this is good for blobs of 156 GiB, which is more than [`Limits::blob_bytes`].
pub(super) const PART_BYTES: usize = 16 << 20;

/// The longest wait that a server may ask for with `Retry-After`; a longer one ends the attempts at once, since a job that
/// sleeps for an hour costs more than one that fails.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// Patience and parallelism: `network:` in `larder.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// How often a failed request is tried again.
    pub retries: usize,
    /// The pause before the first retry; it doubles with each one, up to 30 s, with some jitter.
    pub retry_delay: Duration,
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// How long a server may send nothing. Stops one that accepts a request and stalls.
    pub idle_timeout: Duration,
    /// How long one attempt at one file may take. Stops one that sends a byte now and then.
    pub total_timeout: Duration,
    /// How many connections are open at once for blobs: each has its own, and a large one several while there are some free.
    pub connections: usize,
    /// How many documents are asked for at once.
    pub metadata_connections: usize,
    /// The most bytes of blobs a second, all connections together.
    pub bandwidth: Option<u64>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            retries: 4,
            retry_delay: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(3600),
            connections: 8,
            metadata_connections: 32,
            bandwidth: None,
        }
    }
}
