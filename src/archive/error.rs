//! Why an archive is refused, and at which entry.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::verified::BlobError;

/// What is wrong with an entry, or with the archive around it, by what is to be done about it. Each is the end of a sentence that
/// names the entry.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum Problem {
    /// What no runner writes.
    #[error("{0}")]
    #[diagnostic(help(
        "no runner and no larder writes such an entry into the archive of a cache: do not trust its origin"
    ))]
    Foreign(Cow<'static, str>),
    /// What a runner wrote, and what then lost or changed some bytes.
    #[error("the archive is damaged: {0}")]
    #[diagnostic(help("was the archive copied whole? Compare its size, or copy it again"))]
    Damaged(Cow<'static, str>),
    /// The archive ends too early.
    #[error("the archive is truncated: it ends here, without the end that every archive has")]
    #[diagnostic(help("was the archive copied whole? Compare its size, or copy it again"))]
    Truncated,
    /// The content is not what its place in a cache promises.
    #[error("{0}")]
    #[diagnostic(help(
        "a cache holds only blobs with the digest in their name, and this archive has something else under such a name"
    ))]
    Content(String),
    /// It can't be read, or what came of it can't be kept.
    #[error("{0}")]
    #[diagnostic(help("is there room on the disk, and may this user write to the caches?"))]
    Io(io::Error),
}

/// What made reading stop before the end of the archive.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// Something in the archive.
    Refused(Refusal),
    /// Something that the caller's own work met with.
    Caller(E),
}

/// A problem and, where there is one, the name of the entry, safe to print.
#[derive(Debug, Error)]
#[error("{}{problem}", entry.as_ref().map(|entry| format!("entry `{entry}`: ")).unwrap_or_default())]
pub struct Refusal {
    entry: Option<String>,
    problem: Problem,
}

/// An archive that can't be written or read.
#[derive(Debug, Error, Diagnostic)]
pub enum ArchiveError {
    /// The file itself.
    #[error("can't {what} `{}`", path.display())]
    #[diagnostic(help("is the path right, may this user use it, and is there room on the disk?"))]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    /// Something else than an archive of the runner.
    #[error("`{}` is neither a zip archive nor a tar archive compressed with zstd", path.display())]
    #[diagnostic(help(
        "the runner's archives are always named `cache.zip`, whatever their format; larder goes by the content"
    ))]
    Unknown { path: PathBuf },
    /// An entry of it, or the whole of it.
    #[error("can't unpack `{}`: {refusal}", path.display())]
    #[diagnostic(help("nothing was unpacked but blobs that were found right; {}", refusal.hint()))]
    Refused { path: PathBuf, refusal: Refusal },
}

impl<E> Stop<E> {
    /// Add the name of the entry where there is none.
    pub(super) fn at(self, entry: Option<String>) -> Self {
        match self {
            Self::Refused(Refusal { entry: None, problem }) => Self::Refused(Refusal { entry, problem }),
            stop => stop,
        }
    }
}

impl<E, P: Into<Problem>> From<P> for Stop<E> {
    fn from(problem: P) -> Self {
        Self::Refused(Refusal { entry: None, problem: problem.into() })
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match (error.kind(), error.downcast::<Self>()) {
            // A reader of this module hides a problem in the only error that `Read` knows: here it comes out again.
            (_, Ok(problem)) => problem,
            (io::ErrorKind::UnexpectedEof, _) => Self::Truncated,
            // A size or a checksum, says `zip`.
            (io::ErrorKind::InvalidData, Err(error)) => Self::Damaged(error.to_string().into()),
            (_, Err(error)) => Self::Io(error),
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Mismatch(mismatch) => Self::Content(mismatch.to_string()),
            BlobError::Io(error) => error.into(),
        }
    }
}

impl Refusal {
    fn hint(&self) -> String {
        self.problem.help().map(|help| help.to_string()).unwrap_or_default()
    }
}

/// A hostile name in one line, long enough to show the whole name of a blob.
pub(super) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(240).flat_map(char::escape_debug).collect()
}
