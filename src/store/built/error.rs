//! Why the folder can't be written, or looked after.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Trouble with the folder itself. Trouble with what lies in it is none: see [`crate::store::built::Lookup::Unusable`].
#[derive(Debug, Error, Diagnostic)]
pub enum BuiltError {
    /// A link or a file where the folder should be.
    #[error("`{}` is a symbolic link or not a folder", path.display())]
    #[diagnostic(help(
        "a restored archive can make a link lead anywhere, so larder follows none: remove it, and the next `larder collect` \
         makes the folder anew"
    ))]
    NotAFolder {
        /// What is in the way.
        path: PathBuf,
    },
    /// A file or folder can't be read or written.
    #[error("can't {what} `{}`", path.display())]
    #[diagnostic(help("may this user write there, and is there room on the disk?"))]
    Io {
        /// The folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed; names the file.
        #[source]
        source: io::Error,
    },
}
