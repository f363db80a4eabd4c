//! `larder.yaml`: which environments, mirrors and caches a project has, and what its jobs need.
//!
//! The file is optional, and so is every key; `docs/configuration.md` describes them for users. Whatever can be found
//! wrong without looking at other files is found here, with the line it is on, before anything is done. The way of a
//! value through this module:
//!
//! 1. `walk` bounds what the YAML's aliases can stand for.
//! 2. `shape` takes the file apart into texts and refuses unknown keys; each section declares its shape in its own file.
//! 3. `reader` expands `${NAME}` and parses the texts; for a text that means nothing, it keeps the way to it.
//! 4. `error` walks that way again to find the line.

mod access;
mod build_deps;
mod built_entry;
mod cache_entry;
mod cache_name;
mod complaint;
mod error;
mod expand;
mod file;
mod jobs;
mod keep;
mod mirror_pattern;
mod mirrors;
mod network;
mod reader;
mod remote_cache;
mod shape;
mod slack;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};

use bytesize::ByteSize;

pub use build_deps::{BuildDeps, InvalidBuildDeps};
pub use built_entry::{BuiltEntry, Upkeep};
pub use cache_entry::{CacheEntry, Kept};
pub use cache_name::{CacheName, InvalidCacheName};
pub use error::{ConfigError, Excerpt, Position};
pub use jobs::JobRule;
pub use keep::{Keep, LockfileBlobs};
pub use mirror_pattern::MirrorPattern;
pub use remote_cache::RemoteCacheEntry;
pub use slack::{InvalidSlack, Slack};

use crate::fs::{Kind, kind, normalise};
use crate::transport::NetworkSettings;
use crate::types::{Mirror, MirrorUrl, Variables};

/// The name of the configuration file.
const NAME: &str = "larder.yaml";

/// Object stores take no more than 5 GB in one request, and the runner sends an archive in one.
const MAX_ARCHIVE_SIZE: ByteSize = ByteSize::gb(5);

/// The configuration of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the configuration file, or the current folder without one; absolute. `.larder` is here.
    pub root: PathBuf,
    /// The configuration file, if there is one, as it is named in messages.
    pub file: Option<PathBuf>,
    /// The environments, absolute: folders with `spack.yaml` and `spack.lock`, or lockfiles. At least one.
    pub environments: Vec<PathBuf>,
    /// The mirrors, in the order in which they are asked; `None`: those that Spack would use.
    pub mirrors: Option<Vec<Mirror>>,
    /// The folder that collects what the pipeline built; asked after all mirrors.
    pub collect: Option<BuiltEntry>,
    /// The caches that are folders, in the order in which they are tried. At least one.
    pub caches: Vec<CacheEntry>,
    /// The caches in object stores, in the order in which they are tried.
    pub remote_caches: Vec<RemoteCacheEntry>,
    /// What the jobs need, in the order in which their patterns are tried.
    pub jobs: Vec<JobRule>,
    /// Which build dependencies are needed, where a job does not say so.
    pub build_deps: Option<BuildDeps>,
    /// Patience and parallelism.
    pub network: NetworkSettings,
    /// Above this size, the archive of a cache is warned of.
    pub max_archive_size: ByteSize,
}

impl Config {
    /// Read the file `explicit`, or else `larder.yaml` in the current folder if there is one.
    pub fn load(explicit: Option<&Path>, current_dir: &Path, variables: &Variables) -> Result<Self, ConfigError> {
        let named = explicit.unwrap_or(Path::new(NAME));
        // Never asks the file system unless `current_dir` is relative, so that an unreadable parent is no obstacle here.
        let file = std::path::absolute(current_dir.join(named))
            .map_err(|source| ConfigError::Unreadable { path: named.to_owned(), source })?;
        let file = normalise(&file);
        let root = file.parent().unwrap_or(&file);
        match file::read_text(&file)? {
            Some(yaml) => file::parse(&yaml, named, root, variables),
            None if explicit.is_some() => Err(ConfigError::Missing { path: named.to_owned() }),
            None => {
                let other = root.join("larder.yml");
                if matches!(kind(&other), Ok(Kind::Missing)) {
                    Ok(Self::without_file(root))
                } else {
                    Err(ConfigError::OtherName { path: PathBuf::from("larder.yml") })
                }
            }
        }
    }

    /// The configuration of a project without a configuration file.
    pub fn without_file(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            file: None,
            environments: vec![root.to_owned()],
            mirrors: None,
            collect: None,
            caches: vec![CacheEntry::shared(root)],
            remote_caches: Vec::new(),
            jobs: Vec::new(),
            build_deps: None,
            network: NetworkSettings::default(),
            max_archive_size: MAX_ARCHIVE_SIZE,
        }
    }

    /// What the job of this name needs: the first rule that matches.
    pub fn job_rule(&self, ci_job_name: &str) -> Option<&JobRule> {
        self.jobs.iter().find(|rule| rule.matches(ci_job_name))
    }

    /// Where there is a team cache, and mirrors that no folder is for, add a folder for their binaries that nobody keeps.
    pub fn provide_scratch(&mut self) {
        if !self.remote_caches.is_empty() && self.caches.iter().all(|cache| !cache.prefixes.is_empty()) {
            self.caches.push(CacheEntry::scratch(&self.root));
        }
    }

    /// The cache for binaries of this mirror: the first that matches.
    pub fn cache_for(&self, mirror: &MirrorUrl) -> Option<&CacheEntry> {
        self.caches.iter().find(|cache| cache.matches(mirror))
    }
}
