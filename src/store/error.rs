//! Why a store can't be used.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::transport::TransportError;

/// A store that can't be used as it is.
#[allow(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Error, Diagnostic)]
pub enum StoreError {
    /// The folder, or one above it within the project, is a link: what is written there would end up somewhere else.
    #[error("`{}` is a symbolic link or not a folder", path.display())]
    #[diagnostic(help(
        "a restored archive can make a link lead anywhere, so larder follows none. Remove it, or name the real folder under \
         `path:` in larder.yaml"
    ))]
    NotAFolder { path: PathBuf },
    /// A folder with files that larder did not put there.
    #[error("`{}` holds files, but larder did not make it: it has no `larder.json`", path.display())]
    #[diagnostic(help(
        "larder never touches a folder that it did not make. Name an empty or new folder under `path:` of the cache in larder.yaml"
    ))]
    Foreign { path: PathBuf },
    /// A folder that a newer larder wrote.
    #[error("`{}` has format {found}; this larder knows format {known}", path.display())]
    #[diagnostic(help("use the larder that wrote it, or remove the folder: everything in it can be downloaded again"))]
    Format { path: PathBuf, found: u64, known: u64 },
    /// A file or folder can't be read or written.
    #[error("can't {what} in {store}")]
    #[diagnostic(help("{}", hint(source)))]
    Io {
        store: String,
        what: &'static str,
        /// Names the path.
        source: io::Error,
    },
    /// An object store does not do what it is asked.
    #[error("can't work on cache `{cache}`")]
    Remote {
        cache: String,
        #[diagnostic_source]
        source: TransportError,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some room (`larder list` shows what the caches hold, `larder clean` empties them)"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "this user may not write there: did another user make the folder, in an earlier job or in another container?"
        }
        _ => "is the file system all right?",
    }
}
