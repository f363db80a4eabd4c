//! Why nothing was packed.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::types::Sha256Digest;

/// Caches that can't be packed, or not there.
#[derive(Debug, Error, Diagnostic)]
pub enum PackError {
    /// There is a file already.
    #[error("`{}` is there already", path.display())]
    #[diagnostic(help("give another name to `--output`, or `--force` to overwrite it"))]
    OutputExists {
        /// The file.
        path: PathBuf,
    },
    /// The archive would lie in a cache, and be uploaded with it.
    #[error("`{}` lies in the folder of cache `{cache}`, which GitLab would then upload with it", path.display())]
    #[diagnostic(help("write the archive somewhere else"))]
    OutputInCache {
        /// The file.
        path: PathBuf,
        /// The cache.
        cache: String,
    },
    /// A cache that no relative path leads to.
    #[error("cache `{cache}` at `{}` is outside of the project folder `{}`", path.display(), root.display())]
    #[diagnostic(help(
        "paths in an archive are relative to the project folder, as the runner writes them. Name the caches to pack, as in \
         `larder pack shared -o cache.zip`, or move this one below the project folder"
    ))]
    OutsideProject {
        /// The cache.
        cache: String,
        /// Its folder.
        path: PathBuf,
        /// The project folder.
        root: PathBuf,
    },
    /// No blob anywhere.
    #[error("there is nothing to pack: {} empty", names.join(", ") + if names.len() == 1 { " is" } else { " are" })]
    #[diagnostic(help("`larder warm` fills caches"))]
    Nothing {
        /// The caches.
        names: Vec<String>,
    },
    /// A blob that is not what its name says.
    #[error("cache `{cache}` holds a bad blob {digest}: {reason}")]
    #[diagnostic(help("no archive was written; `larder verify --delete` removes bad blobs"))]
    Corrupt {
        /// The cache.
        cache: String,
        /// The blob's name.
        digest: Sha256Digest,
        /// What is wrong with it.
        reason: String,
    },
}
