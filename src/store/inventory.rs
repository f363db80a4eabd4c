//! What a store holds, told alike of all three kinds: for lists, for pruning, for reports.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::report::BlobReport;
use crate::types::{DagHash, Sha256Digest};

/// What is kept or removed as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Its name.
    pub key: Key,
    /// Its blobs: one, or those of a spec.
    pub blobs: Vec<BlobReport>,
    /// For a spec: where its blobs lie below the folder, in the same order.
    pub files: Vec<PathBuf>,
    /// The size of all of its files.
    pub bytes: u64,
    /// When a job last needed it, as far as that is known.
    pub last_used: Timestamp,
    /// Whether anything says what it is for.
    pub purpose: Purpose,
    /// What is plainly wrong with it, without hashing anything.
    pub damage: Option<String>,
}

/// What tells an item from the others of its store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A blob of a cache.
    Blob(Sha256Digest),
    /// A spec of what the branch built: its hash, and its metadata below the folder.
    Spec(DagHash, PathBuf),
}

/// Whether anything says what an item is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its requests do.
    Known,
    /// It lies there since then, and nothing says why.
    UnknownSince(Timestamp),
}

/// A file that a push left and that belongs to no item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// Where it lies, below the folder.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Everything in a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inventory {
    /// In the order of their keys.
    pub items: Vec<Item>,
    /// What a push that was killed left.
    pub strays: Vec<Stray>,
    /// What larder did not put there: links, files with other names. GitLab uploads it all the same.
    pub foreign: Vec<PathBuf>,
    /// Why its records count as empty, where they are damaged.
    pub damaged_records: Option<String>,
    /// Whether records stay behind of blobs that are gone.
    pub stale_records: bool,
}

impl Item {
    /// The hashes of the specs that ask for it.
    pub(crate) fn specs(&self) -> impl Iterator<Item = DagHash> {
        let own = match &self.key {
            Key::Spec(hash, _) => Some(*hash),
            Key::Blob(_) => None,
        };
        own.into_iter().chain(self.blobs.iter().flat_map(|blob| blob.requests.iter().map(|request| request.hash)))
    }
}

impl Inventory {
    /// The size of everything in it that is larder's.
    pub(crate) fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum::<u64>() + self.stray_bytes()
    }

    /// How many blobs there are, those that belong to nothing among them.
    pub(crate) fn blobs(&self) -> u64 {
        self.items.iter().map(|item| item.blobs.len()).sum::<usize>() as u64 + self.strays.len() as u64
    }

    /// The size of what belongs to nothing.
    pub(crate) fn stray_bytes(&self) -> u64 {
        self.strays.iter().map(|stray| stray.bytes).sum()
    }
}
