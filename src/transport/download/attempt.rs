//! One attempt at one blob: what all of its connections share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::bandwidth::Bandwidth;
use super::progress::Progress;
use super::ranges::Ranges;
use super::writer::Portion;
use crate::transport::servers::Servers;
use crate::verified::Expected;

pub(super) struct Attempt {
    pub servers: Arc<Servers>,
    pub bandwidth: Option<Arc<Bandwidth>>,
    pub expected: Expected,
    /// To the writer. Closed once it has an error to tell.
    pub portions: mpsc::Sender<Portion>,
    pub progress: Arc<Progress>,
    /// Told once a server has sent a part of the file: others may help.
    pub is_divisible: Notify,
    pub ranges: Mutex<Ranges>,
}

impl Attempt {
    pub(super) fn ranges(&self) -> MutexGuard<'_, Ranges> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
