//! The thread that writes and hashes what the connections of a blob bring.

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

use super::partial::GrowingBlob;
use crate::verified::BlobError;

pub(super) enum Portion {
    /// Bytes that belong at an offset.
    Bytes(u64, Vec<Bytes>),
    /// The file begins again.
    StartOver,
}

/// Write all portions, on a thread that may block. Ends when no connection is left that could bring more, or with the first
/// error.
pub(super) fn write(mut blob: GrowingBlob, mut portions: Receiver<Portion>) -> Result<GrowingBlob, BlobError> {
    let mut is_behind = false;
    loop {
        // What waits comes first, so that no connection stands still for what can be hashed later.
        let portion = match portions.try_recv() {
            Ok(portion) => Some(portion),
            Err(_) if is_behind => {
                is_behind = blob.catch_up()?;
                continue;
            }
            Err(_) => portions.blocking_recv(),
        };
        match portion {
            None => return Ok(blob),
            Some(Portion::StartOver) => blob.start_over()?,
            Some(Portion::Bytes(offset, pieces)) => {
                blob.take(offset, &pieces)?;
                is_behind = true;
            }
        }
    }
}
