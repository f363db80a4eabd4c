//! A cache: a folder of blobs named by their sha256, and a file that says what they are for.
//!
//! ```text
//! <cache>/larder.json                    format version and records; a folder without it is never pruned
//! <cache>/blobs/sha256/ab/abcd…          regular files only
//! <cache>.fetching/abcd…                 which blob is being downloaded by whom
//! <cache>.lock, <cache>.records.lock     advisory locks, beside the folder: in it, it would make the runner upload
//! ```
//!
//! GitLab restores the folder from an archive that anybody with push rights may have written, so everything in it is
//! hostile: no link is followed, names are parsed, and a blob counts only after [`Cache::validate`] read it in this run.
//! Bytes come in only as a [`VerifiedBlob`](crate::verified::VerifiedBlob) and go out only as a [`StoredBlob`]; neither can be made without hashing.
//!
//! Reading changes nothing, not even a modification time: the runner uploads the whole cache again when any is newer.

mod blob;
pub mod built;
mod download_lock;
mod error;
mod folder;
mod lock;
pub mod prune;
pub(crate) mod records;
pub(crate) mod scan;

pub use blob::{Damage, StoredBlob, Validation};
pub use download_lock::DownloadLock;
pub use error::CacheError;
pub use folder::Cache;
pub use lock::{CacheLock, Exclusion};
pub use records::{Record, RecordChanges, Records, Use};
pub use scan::{Contents, FoundBlob};
