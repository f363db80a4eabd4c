//! The blobs that a job needs, and what is known of each once it is there.

use std::collections::HashMap;
use std::sync::Arc;

use crate::report::CacheReport;
use crate::store::StoredBlob;
use crate::types::{Mirror, MirrorPath, Purpose, Sha256Digest};
use crate::verified::Expected;

/// A blob that the job needs. Several specs may need the same one.
pub(crate) struct BlobNeed {
    /// What is asked for, and where mirrors have it.
    pub blob: SourceBlob,
    /// What it is called in progress and messages.
    pub title: String,
    /// The mirror that has it.
    pub mirror: Arc<Mirror>,
    /// Other mirrors that would have the same blob under the same name, if they have it.
    pub others: Vec<Arc<Mirror>>,
    /// The cache that is to keep it, as a position in the list of caches.
    pub cache: usize,
    /// Everything that it is asked for.
    pub purposes: Vec<Purpose>,
}

/// A blob as a mirror has it.
pub(crate) struct SourceBlob {
    /// Digest and size.
    pub expected: Expected,
    /// Where it lies below the mirror.
    pub path: MirrorPath,
}

impl BlobNeed {
    /// What it is called in progress and messages.
    pub(crate) fn title(&self) -> String {
        self.title.clone()
    }

    /// The size that the metadata states; 0 where it states none.
    pub(crate) fn stated_size(&self) -> u64 {
        self.blob.expected.size.stated().unwrap_or(0)
    }
}

/// Blobs that are there and right.
#[derive(Default)]
pub(crate) struct Obtained {
    /// By digest; where each lies.
    pub blobs: HashMap<Sha256Digest, CachedBlob>,
    /// How many were still to be fetched when the time for downloads was over.
    pub left: usize,
    /// What happened to each cache, in the order of the caches.
    pub reports: Vec<CacheReport>,
}

/// A blob, verified in this run.
#[derive(Clone)]
pub(crate) struct CachedBlob {
    /// The blob.
    pub blob: StoredBlob,
    /// The cache that holds it, as a position in the list of caches.
    pub cache: usize,
    /// Whether a mirror sent it in this run.
    pub fetched: bool,
    /// The remote cache that it was read from in this run, as a position in their list.
    pub remote: Option<usize>,
}
