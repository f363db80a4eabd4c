//! `caches:`: the folders that GitLab keeps between jobs.

use std::path::{Path, PathBuf};

use super::cache_name::CacheName;
use super::keep::Keep;
use super::mirror_pattern::Prefixes;

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
    /// The only cache where the configuration names none: `.larder/shared`, for all mirrors.
    pub(super) fn shared(root: &Path) -> Self {
        let name = CacheName::shared();
        let path = default_path(root, &name);
        Self { name, prefixes: Prefixes::default(), path, keep: Keep::default(), kept: Kept::Yes }
    }

    /// Where blobs lie that no other folder takes: `.larder/scratch`.
    pub(super) fn scratch(root: &Path) -> Self {
        let name = CacheName::scratch();
        Self { path: default_path(root, &name), name, kept: Kept::No, ..Self::shared(root) }
    }
}

/// Where the folder of a cache is that names none.
pub(super) fn default_path(root: &Path, name: &CacheName) -> PathBuf {
    root.join(".larder").join(name.as_str())
}
