//! What makes the runner upload a cache, and what keeps it from that.

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
    /// Folders that have a new time and the same number of entries: something in them came and went, or they were touched.
    Touched,
}

/// The rule of the runner that decides over a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadRule {
    /// `policy: pull`: never saved.
    OnlyRestored,
    /// Its `when` is not for a job that ends like this.
    OtherOutcome,
    /// There is no such folder.
    NothingThere,
    /// An unchanged folder is not in its place: there are no files to cache.
    SetAside,
    /// Nothing is newer than the archive.
    UpToDate,
    /// Something is newer than the archive.
    Changed,
    /// The job began without an archive.
    FirstTime,
    /// The archive came from a fallback key: there is none under the cache's own.
    OtherKey,
    /// Since 18.11: nothing changed, but the store does not say whether it has the archive.
    StoreIsSilent,
    /// Not known: since 18.11 it depends on the store.
    UnknownStore,
    /// Not known: it depends on whether the archive came from a fallback key.
    UnknownKey,
    /// Not known: the folder did not come out of an archive in this job, and there may be none.
    UnknownArchive,
    /// Not known: it depends on the `when` of the cache.
    UnknownWhen,
    /// Not known: it depends on how the job ends.
    UnknownOutcome,
    /// Not known: the clocks of the machines disagree, and times are compared.
    UnknownTime,
}
