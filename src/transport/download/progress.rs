//! How much of a download is there, including bytes that were counted too early. Looked at now and then: to be told of every
//! piece that arrives would wake another thread thousands of times a second.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct Progress {
    arrived: AtomicU64,
}

impl Progress {
    pub(super) fn advance(&self, bytes: u64) {
        self.arrived.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Nothing of what arrived so far counts.
    pub(super) fn take_back(&self) {
        self.arrived.store(0, Ordering::Relaxed);
    }

    /// What to add to `told`, so that it is what arrived.
    pub(super) fn change_since(&self, told: &mut i64) -> i64 {
        let arrived = i64::try_from(self.arrived.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        arrived - std::mem::replace(told, arrived)
    }
}
