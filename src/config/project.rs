//! The configuration as commands use it.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use super::build_deps::BuildDeps;
use super::built_entry::{BuiltEntry, BuiltMirrorEntry};
use super::cache_entry::{CacheEntry, Kept, RemoteCacheEntry};
use super::concretize::Concretize;
use super::hand_over::HandOver;
use super::jobs::JobRule;
use super::set_aside::SetAside;
use crate::transport::NetworkSettings;
use crate::types::{Mirror, MirrorUrl};

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
    /// The registry or bucket that collects what pipelines built; asked after all mirrors, and before the folder.
    pub built_mirror: Option<BuiltMirrorEntry>,
    /// The caches that are folders, in the order in which they are tried. At least one.
    pub caches: Vec<CacheEntry>,
    /// The caches in object stores, in the order in which they are tried.
    pub remote_caches: Vec<RemoteCacheEntry>,
    /// What the jobs need, in the order in which their patterns are tried.
    pub jobs: Vec<JobRule>,
    /// Which build dependencies are needed, where a job does not say so.
    pub build_deps: Option<BuildDeps>,
    /// When Spack is to concretize, where the command line does not say so.
    pub concretize: Option<Concretize>,
    /// How Spack gets the job mirror, where the command line does not say so; at least one way.
    pub hand_over: Option<Vec<HandOver>>,
    /// Patience and parallelism.
    pub network: NetworkSettings,
    /// Above this size, the archive of a cache is warned of.
    pub max_archive_size: ByteSize,
    /// When `finish` moves an unchanged cache out of the runner's sight.
    pub set_aside: SetAside,
}

impl Config {
    /// The configuration of a project without a configuration file.
    pub fn without_file(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            file: None,
            environments: vec![root.to_owned()],
            mirrors: None,
            collect: None,
            built_mirror: None,
            caches: vec![CacheEntry::of_larder(root, "shared", Kept::Yes)],
            remote_caches: Vec::new(),
            jobs: Vec::new(),
            build_deps: None,
            concretize: None,
            hand_over: None,
            network: NetworkSettings::default(),
            max_archive_size: MAX_ARCHIVE_SIZE,
            set_aside: SetAside::default(),
        }
    }

    /// What the job of this name needs: the first rule that matches.
    pub fn job_rule(&self, ci_job_name: &str) -> Option<&JobRule> {
        self.jobs.iter().find(|rule| rule.matches(ci_job_name))
    }

    /// Where there is a remote cache, and mirrors that no folder is for, add a folder for their binaries that is not kept.
    pub fn provide_scratch(&mut self) {
        if !self.remote_caches.is_empty() && !self.caches.iter().any(|cache| cache.prefixes.is_all()) {
            self.caches.push(CacheEntry::of_larder(&self.root, "scratch", Kept::No));
        }
    }

    /// The cache for binaries of this mirror: the first that matches.
    pub fn cache_for(&self, mirror: &MirrorUrl) -> Option<&CacheEntry> {
        self.caches.iter().find(|cache| cache.prefixes.matches(mirror))
    }
}
