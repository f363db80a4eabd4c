//! The blobs that a job needs, and what is known of each once it is there.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::RunError;
use super::resolve::{Located, Resolution};
use crate::config::Config;
use crate::mirror::PublishedBlob;
use crate::store::{Cache, StoredBlob};
use crate::types::{BlobRole, Mirror, Request, Sha256Digest, SpecId};

/// A blob that the job needs. Several specs may need the same one.
pub(crate) struct BlobNeed {
    /// What is asked for: the spec, which file of it, and from which mirror.
    pub blob: PublishedBlob,
    /// The spec that it is named after in messages.
    pub spec: SpecId,
    /// The mirror that has it.
    pub mirror: Arc<Mirror>,
    /// Other mirrors that would have the same blob under the same name, if they have it.
    pub others: Vec<Arc<Mirror>>,
    /// The cache that is to keep it, as a position in the list of caches.
    pub cache: usize,
    /// Everything that it is asked for.
    pub requests: Vec<Request>,
}

impl BlobNeed {
    /// What it is called in progress and messages.
    pub(crate) fn title(&self) -> String {
        match self.blob.role {
            BlobRole::Binary => format!("{}@{}", self.spec.name, self.spec.version),
            BlobRole::Spec => format!("{}@{} (spec)", self.spec.name, self.spec.version),
        }
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
    /// What happened to each cache, in the order of the caches.
    pub tallies: Vec<Tally>,
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

/// What happened to a cache.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// Blobs that were downloaded into it.
    pub added: u64,
    /// Blobs that were bad, and removed.
    pub corrupt: u64,
    /// Whether its records were written.
    pub recorded: bool,
}

/// The blobs of all specs that have a binary, each once, the largest first.
pub(crate) fn needs(config: &Config, resolution: &Resolution, caches: &[Cache]) -> Result<Vec<BlobNeed>, RunError> {
    let mut needs: HashMap<Sha256Digest, BlobNeed> = HashMap::new();
    let mut found: Vec<&Located> = resolution.found.values().collect();
    // What the branch built lies in a folder that GitLab caches by itself: a copy in another cache would be uploaded twice.
    found.retain(|found| found.built.is_none());
    found.sort_by_key(|found| found.spec.hash);
    for found in found {
        let mirror = &found.published.mirror;
        let entry = config.cache_for(&mirror.url);
        let cache = entry.and_then(|entry| caches.iter().position(|cache| cache.name() == entry.name.as_str()));
        let cache =
            cache.ok_or_else(|| RunError::NoCache { mirror: mirror.name.clone(), url: mirror.url.to_string() })?;
        for blob in &found.published.blobs {
            let need = needs.entry(blob.expected.digest).or_insert_with(|| BlobNeed {
                blob: blob.clone(),
                spec: found.spec.clone(),
                mirror: Arc::clone(mirror),
                others: found.others.clone(),
                cache,
                requests: Vec::new(),
            });
            need.requests.push(found.spec.request(mirror.url.to_string(), blob.role));
        }
    }
    let mut needs: Vec<_> = needs.into_values().collect();
    // The largest first: a large one that starts last would be waited for alone.
    needs.sort_by_key(|need| (std::cmp::Reverse(need.stated_size()), need.blob.expected.digest));
    Ok(needs)
}
