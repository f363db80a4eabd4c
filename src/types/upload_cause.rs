//! What makes the runner upload a cache.

use serde::{Deserialize, Serialize};

/// What entries that make the runner upload are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadCause {
    /// Blobs that came during the job.
    NewBlobs,
    /// Blobs that went.
    RemovedBlobs,
    /// The records.
    Records,
    /// What larder did not put there.
    Foreign,
}
