//! The places that keep binaries between jobs.
//!
//! | module | what it is for |
//! |---|---|
//! | [`any`] | the three as one: list, verify, clean, prune, report |
//! | [`folder`] | a folder that GitLab keeps: blobs, named by their sha256, and a file that says what they are for |
//! | [`remote`] | the same in an object store |
//! | [`built`] | what a pipeline built from source: a mirror in a folder |
//! | [`pushed`] | the same in a registry or a bucket that outlives the pipeline |
//! | [`policy`] | where `keep:` becomes a deletion |
//! | [`inventory`] | what a store holds |
//! | [`records`] | `larder.json` |
//! | [`download_lock`] | one download of a blob at a time |
//!
//! ```text
//! <cache>/larder.json                    format version and records; a folder without it is never pruned
//! <cache>/blobs/sha256/ab/abcd…          regular files only
//! <cache>.fetching/abcd…                 which blob is being downloaded by which process
//! <cache>.lock, <cache>.records.lock     advisory locks, beside the folder: in it, it would make the runner upload
//! ```
//!
//! GitLab restores a folder from an archive that any push may have led to, so everything in it is
//! hostile: no link is followed, names are parsed, and a blob counts only after [`Cache::validate`] read it in this run.
//! Bytes come in only as a [`VerifiedBlob`](crate::verified::VerifiedBlob) and go out only as a [`StoredBlob`]; neither can be
//! made without hashing.
//!
//! Reading changes nothing, not even a modification time: the runner uploads the whole cache again when any is newer.

mod any;
mod blob;
pub(crate) mod built;
mod download_lock;
mod error;
mod folder;
mod inventory;
pub(crate) mod policy;
pub(crate) mod pushed;
mod records;
mod remote;
mod scan;

pub(crate) use any::Store;
pub(crate) use blob::{Damage, StoredBlob, Validation};
pub(crate) use download_lock::DownloadLock;
pub use error::StoreError;
pub(crate) use folder::Cache;
pub(crate) use inventory::{Inventory, Item, Key};
pub(crate) use records::{FILE_NAME, MAX_BYTES, NotRecords, Record, RecordChanges, Records, Use};
pub(crate) use remote::{RemoteCache, Uses};
