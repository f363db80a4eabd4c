//! Why the job folder can't be used, or the job mirror not be built.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::mirror::MirrorError;

/// Trouble with the job folder.
#[derive(Debug, Error, Diagnostic)]
pub enum JobError {
    /// A link or a file where the job folder should be.
    #[error("`{}` is a symbolic link or not a folder", path.display())]
    #[diagnostic(help(
        "remove it: larder makes that folder itself, and follows no link that a restored archive may hold"
    ))]
    NotAFolder { path: PathBuf },
    /// A file or folder can't be read or written.
    #[error("can't {what} in `{}`", path.display())]
    #[diagnostic(help(
        "the job folder lies in the project folder: may this user write there, and is there room on the disk?"
    ))]
    Io {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// The file that `prepare` leaves for `finish` is damaged.
    #[error("`{}` is damaged: {reason}", path.display())]
    #[diagnostic(help(
        "remove it, or run `larder prepare` again; without it `finish` does not know what the job used"
    ))]
    State { path: PathBuf, reason: String },
    /// The scope that `prepare` left is damaged or gone.
    #[error("`{}` does not name the job mirror", path.display())]
    #[diagnostic(help("run `larder prepare` again: it makes the job mirror and this file"))]
    Scope { path: PathBuf },
    /// The note of what `--hand-over` changed is damaged.
    #[error("`{}` is damaged: {reason}", path.display())]
    #[diagnostic(help(
        "remove it; then see whether a `spack.yaml`, or `etc/spack/mirrors.yaml` of Spack, still names a mirror `larder`"
    ))]
    Note { path: PathBuf, reason: String },
    /// Metadata that does not describe its spec.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Metadata(#[from] MirrorError),
}
