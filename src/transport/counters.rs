//! What a transport did so far, for the report.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that many tasks add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests, repeated ones included.
    pub requests: Counter,
    /// Bytes of documents that arrived.
    pub document_bytes: Counter,
    /// Bytes of blobs that did not have to be asked for, since an earlier run had received them.
    pub resumed_bytes: Counter,
}

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// One more request.
    pub(super) fn request(&self) {
        self.requests.add(1);
    }
}
