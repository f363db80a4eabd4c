//! Why a run failed, whatever the command.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::archive::ArchiveError;
use crate::export::ExportError;
use crate::install_tree::InstallTreeError;
use crate::interrupt::Signal;
use crate::job::JobError;
use crate::job::hand_over::HandOverError;
use crate::lockfile::LockfileError;
use crate::mirror::MirrorError;
use crate::plan::SelectionError;
use crate::spack::SpackError;
use crate::spack_config::SpackConfigError;
use crate::store::StoreError;
use crate::transport::TransportError;
use crate::types::InvalidMirrorUrl;

/// A step that could not be done. What only one command can fail with is in [`crate::commands`].
#[allow(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Error, Diagnostic)]
pub enum RunError {
    /// A lockfile.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lockfile(#[from] LockfileError),
    /// What was asked for.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Selection(#[from] SelectionError),
    /// Spack's configuration.
    #[error(transparent)]
    #[diagnostic(transparent)]
    SpackConfig(#[from] SpackConfigError),
    /// An install tree.
    #[error(transparent)]
    #[diagnostic(transparent)]
    InstallTree(#[from] InstallTreeError),
    /// A mirror.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mirror(#[from] MirrorError),
    /// A cache, or what the branch built.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// An archive.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Archive(#[from] ArchiveError),
    /// The job folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Job(#[from] JobError),
    /// Handing Spack the job mirror.
    #[error(transparent)]
    #[diagnostic(transparent)]
    HandOver(#[from] HandOverError),
    /// The folder to export to.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Export(#[from] ExportError),
    /// Spack.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Spack(SpackError),
    /// An install tree that was named and is none.
    #[error("`{}` is not the root of a Spack install tree: it has no `.spack-db/index.json`", path.display())]
    #[diagnostic(help("`spack find --format '{{prefix}}'` shows where specs are installed; the root is above them"))]
    NoInstallTree { path: PathBuf },
    /// A mirror of Spack's configuration that larder can't read.
    #[error("can't use mirror `{name}` of `{}`", declared_in.display())]
    #[diagnostic(help(
        "name the mirrors to use under `mirrors:` in larder.yaml, or with `--mirror URL`; larder leaves none out by itself, \
         since the first mirror that has a spec is the one that Spack would use"
    ))]
    UnusableMirror { name: String, declared_in: PathBuf, source: InvalidMirrorUrl },
    /// A mirror of Spack's configuration without TLS.
    #[error("mirror `{name}` of `{}` is at `{url}`, which is not protected by TLS", declared_in.display())]
    #[diagnostic(help(
        "anybody on the way could replace binaries and digests alike. Use `https://`; where you trust the network, list the \
         mirror in larder.yaml with `insecure: true`"
    ))]
    InsecureMirror { name: String, url: String, declared_in: PathBuf },
    /// Nothing to export.
    #[error("there is no mirror to export from")]
    #[diagnostic(help("name one with `--mirror URL`, or under `mirrors:` in larder.yaml"))]
    NoMirror,
    /// A mirror whose binaries no cache takes.
    #[error("no cache is for mirror `{mirror}` at `{url}`")]
    #[diagnostic(help(
        "a cache takes the mirrors that its `prefix:` matches; add one without `prefix:` to larder.yaml, which takes all others"
    ))]
    NoCache { mirror: String, url: String },
    /// Nothing to prune.
    #[error("there is no cache in an object store, and no mirror with `collect: true` and a `url`")]
    #[diagnostic(help("`larder prune` is for those; folders are pruned by `larder finish`"))]
    NoRemoteCache,
    /// A name that no cache has.
    #[error("there is no cache `{name}`")]
    #[diagnostic(help("the configured caches are {}", known.join(", ")))]
    NoSuchCache { name: String, known: Vec<String> },
    /// One or more downloads failed; the others were kept.
    #[error("{} of {wanted} downloads failed", failed.len())]
    #[diagnostic(help("what arrived whole stays in the cache: the next run goes on from there"))]
    Fetch {
        wanted: usize,
        #[related]
        failed: Vec<FailedDownload>,
    },
    /// The job's timeout is near.
    #[error("stopped with {left} of {wanted} downloads to go: the job's timeout is near")]
    #[diagnostic(help(
        "a job that runs into its timeout saves no cache. What arrived stays, and `when: always` saves it: the next run goes on from \
         there. A longer `timeout:`, or `larder warm` in a job before, lets one job have it all"
    ))]
    OutOfTime { left: usize, wanted: usize },
    /// A signal asked to stop.
    #[error("stopped by {signal}")]
    #[diagnostic(help(
        "what arrived whole stays in the caches, and nothing in them is half-written: the next run goes on from there"
    ))]
    Interrupted { signal: Signal },
}

/// A download that failed.
#[derive(Debug, Error, Diagnostic)]
#[error("can't fetch {name}")]
pub struct FailedDownload {
    /// What it is.
    pub name: String,
    /// Why.
    #[diagnostic_source]
    pub source: TransportError,
}

impl RunError {
    /// Whether it is the command line or the configuration that is wrong: exit code 2.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Selection(_)
                | Self::SpackConfig(_)
                | Self::NoInstallTree { .. }
                | Self::UnusableMirror { .. }
                | Self::InsecureMirror { .. }
                | Self::NoMirror
                | Self::NoCache { .. }
                | Self::NoSuchCache { .. }
                | Self::NoRemoteCache
                | Self::Export(
                    ExportError::Foreign { .. } | ExportError::NotAFolder { .. } | ExportError::InsideOwn { .. }
                )
        )
    }
}
