//! What a run cost, and what it saved.

use serde::{Deserialize, Serialize};

/// Sums over a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Blobs that the needed specs consist of.
    pub bytes_needed: u64,
    /// Of those, what a cache held already.
    pub bytes_reused: u64,
    /// Of those, what was downloaded.
    pub bytes_fetched: u64,
    /// Bytes of unfinished blobs that an earlier, interrupted run had received: part of `bytes_fetched`, but not asked for again.
    #[serde(default)]
    pub bytes_resumed: u64,
    /// Downloaded metadata.
    pub metadata_bytes: u64,
    /// Requests to mirrors, repeated ones included.
    pub requests: u64,
    /// Wall-clock time.
    pub seconds: f64,
}
