//! What a store holds, told alike of all three kinds: for lists, for pruning, for reports.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::records::Record;
use crate::report::{BlobReport, CacheReport};
use crate::types::{DagHash, IndexRequest, Sha256Digest};

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
    /// A blob of a cache of which nothing is known but what the cache itself shows.
    pub(super) fn of_blob(digest: Sha256Digest, bytes: u64, modified: Timestamp) -> Self {
        let blob =
            BlobReport { digest, bytes, intact: None, last_used: modified, requests: Vec::new(), indexes: Vec::new() };
        let (key, blobs, files) = (Key::Blob(digest), vec![blob], Vec::new());
        Self { key, blobs, files, bytes, last_used: modified, purpose: Purpose::UnknownSince(modified), damage: None }
    }

    /// Note when a job last needed it.
    pub(super) fn set_last_used(&mut self, last_used: Timestamp) {
        self.last_used = last_used;
        self.blobs.iter_mut().for_each(|blob| blob.last_used = last_used);
    }

    /// Note what the records say of it.
    pub(super) fn describe(&mut self, record: &Record) {
        self.set_last_used(record.last_used);
        self.purpose = Purpose::Known;
        for blob in &mut self.blobs {
            blob.requests.clone_from(&record.requests);
            blob.indexes.clone_from(&record.indexes);
        }
    }

    /// The mirrors whose index it is, unless specs ask for it as well.
    pub(crate) fn indexes(&self) -> &[IndexRequest] {
        match self.blobs.as_slice() {
            [blob] if blob.requests.is_empty() => &blob.indexes,
            _ => &[],
        }
    }

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
    /// A report of a folder that holds this.
    pub(super) fn report(&self, name: &str, folder: &Path) -> CacheReport {
        let (name, path) = (name.to_owned(), folder.display().to_string());
        CacheReport { name, path, bytes: self.bytes(), blobs: self.blobs(), ..CacheReport::default() }
    }

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
