//! `caches:`: the folders that GitLab keeps between jobs, and the places in object stores that all jobs of a team share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache_name::CacheName;
use super::keep::Keep;
use super::mirror_pattern::Prefixes;
use crate::types::{Access, MirrorUrl, PlainHttp};

/// One cache that is a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its name; no other cache has it.
    pub name: CacheName,
    /// The mirrors whose binaries it keeps.
    pub prefixes: Prefixes,
    /// Its folder, absolute. It overlaps neither with another cache's nor with anything that is not a cache.
    pub path: PathBuf,
    /// What stays in it after a job.
    pub keep: Keep,
    /// Whether the folder is kept between jobs.
    pub kept: Kept,
}

/// One cache in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCacheEntry {
    /// Its name; no other cache has it.
    pub name: CacheName,
    /// The mirrors whose binaries it keeps.
    pub prefixes: Prefixes,
    /// Where it is: bucket and prefix.
    pub url: MirrorUrl,
    /// What `larder prune` leaves in it: everything, or what was used lately.
    pub keep: Keep,
    /// Whether the endpoint may do without TLS.
    pub plain_http: PlainHttp,
    /// Credentials, and where the store is reached.
    pub access: Arc<Access>,
}

/// Whether a cache's folder is kept between jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// By GitLab, or on a volume.
    #[default]
    Yes,
    /// It is not: blobs lie there while a job uses them, and a remote cache keeps them.
    No,
}

impl CacheEntry {
    /// A cache that the configuration does not name: `.larder/NAME`, for all mirrors.
    pub(super) fn of_larder(root: &Path, name: &'static str, kept: Kept) -> Self {
        let name = CacheName::of_larder(name);
        Self { path: default_path(root, &name), name, prefixes: Prefixes::default(), keep: Keep::default(), kept }
    }
}

/// Where the folder of a cache is that names none.
pub(super) fn default_path(root: &Path, name: &CacheName) -> PathBuf {
    root.join(".larder").join(name.as_str())
}
