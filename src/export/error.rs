//! Why nothing can be exported to a folder.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::mirror::MirrorError;

/// Trouble with the folder.
#[derive(Debug, Error, Diagnostic)]
pub enum ExportError {
    /// Files that are no export.
    #[error("`{}` holds files, and larder did not export them: it has no `larder-export.json`", path.display())]
    #[diagnostic(help("name a folder that is not there yet, or is empty, such as one inside of it"))]
    Foreign { path: PathBuf },
    /// Not a folder at all.
    #[error("`{}` is not a folder", path.display())]
    #[diagnostic(help("name a folder that is not there yet, or is empty, or an earlier export"))]
    NotAFolder { path: PathBuf },
    /// A mark that can't be read.
    #[error("`{}` is not what larder writes: {reason}", path.display())]
    #[diagnostic(help("export to a new folder, or use the larder that wrote this one"))]
    Mark { path: PathBuf, reason: String },
    /// Inside of a folder that larder keeps itself.
    #[error("`{}` lies in `{}`, which larder keeps itself", path.display(), inside.display())]
    #[diagnostic(help("export to a folder outside of the caches and of `.larder`"))]
    InsideOwn { path: PathBuf, inside: PathBuf },
    /// Two at once.
    #[error("another larder is exporting to `{}`", path.display())]
    #[diagnostic(help("wait until it is done, and run this again: it adds what is missing"))]
    Busy { path: PathBuf },
    /// A link in an export could lead what is written anywhere.
    #[error("`{}` is a symbolic link or not a folder", path.display())]
    #[diagnostic(help("remove it: an export has real files and folders only, and larder follows no link in one"))]
    Link { path: PathBuf },
    /// A blob that was right a moment ago.
    #[error("`{}` changed while it was copied: {reason}", path.display())]
    #[diagnostic(help(
        "is another process writing to the cache? `larder verify` looks at all of it; then run this again"
    ))]
    Changed { path: PathBuf, reason: String },
    /// A mirror that can't be asked for its keys, or metadata that does not describe its spec.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mirror(#[from] MirrorError),
    /// A file or folder can't be read or written.
    #[error("can't {what}")]
    #[diagnostic(help("{}", hint(source)))]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl ExportError {
    /// For what can't be done to a file or folder.
    pub(super) fn io(what: impl Into<String>) -> impl Fn(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what: what.clone(), source }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: make room, or export to another one. What was copied whole stays: the next run adds what is \
             missing"
        }
        io::ErrorKind::FileTooLarge => {
            "does the file system take files that large? FAT takes none above 4 GiB; exFAT and ext4 do"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "may this user write there?",
        _ => "is the file system all right?",
    }
}
