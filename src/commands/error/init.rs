//! Why nothing was made.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Why nothing was made.
#[allow(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Error, Diagnostic)]
pub enum InitError {
    /// There is a configuration already.
    #[error("`{}` is there already, and `larder init` overwrites nothing", path.display())]
    #[diagnostic(help("`larder init --print` shows what it would write; move the file away to start anew"))]
    Exists { path: PathBuf },
    /// No environment.
    #[error("there is no Spack environment in `{}` or up to {} folders below it", folder.display(), Self::DEPTH)]
    #[diagnostic(help("larder looks for `spack.yaml`; name another place with `--environment PATH`"))]
    NoEnvironment { folder: PathBuf },
    /// A folder can't be read, or a file can't be written.
    #[error("can't {what}")]
    Io {
        what: &'static str,
        /// Names the path.
        source: io::Error,
    },
}

impl InitError {
    /// How many folders below the current one are looked into.
    pub(in crate::commands) const DEPTH: usize = 4;
}
