//! What is told of a download while it goes on: bytes that arrived, and bytes that were counted too early.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::mpsc::UnboundedSender;

#[derive(Debug)]
pub(super) struct Progress {
    tell: UnboundedSender<i64>,
    told: AtomicI64,
}

impl Progress {
    pub(super) fn new(tell: UnboundedSender<i64>) -> Self {
        Self { tell, told: AtomicI64::new(0) }
    }

    pub(super) fn advance(&self, bytes: u64) {
        self.tell(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Nothing of what arrived so far counts.
    pub(super) fn take_back(&self) {
        self.tell(-self.told.load(Ordering::Relaxed));
    }

    fn tell(&self, change: i64) {
        self.told.fetch_add(change, Ordering::Relaxed);
        // Fails only where the download was given up.
        let _ = self.tell.send(change);
    }
}
