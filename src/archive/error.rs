//! Why an archive is refused, and at which entry.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::entry_name::InvalidEntryName;

/// What is wrong with an entry, or with the archive around it: the end of a sentence that names it.
#[derive(Debug, Error)]
pub(crate) enum Problem {
    /// A name that is not a plain path below the project folder.
    #[error(transparent)]
    Name(#[from] InvalidEntryName),
    /// A symbolic or hard link.
    #[error("it is a link, which could lead anywhere")]
    Link,
    /// A device, a socket, a pipe, a sparse file.
    #[error("it is neither a file nor a folder")]
    Special,
    /// Nothing of larder's is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// A method that the runner never uses.
    #[error("it is compressed by method {0}; larder reads stored, deflated and zstd entries")]
    Method(String),
    /// More data than the archived bytes can honestly stand for.
    #[error("it is a bomb: {archived} archived bytes would become more than {limit}")]
    Bomb { archived: u64, limit: u64 },
    /// More data than its header says.
    #[error("it is longer than the {declared} bytes that its header states")]
    TooLong { declared: u64 },
    /// Less data than its header says.
    #[error("it ends after {found} of {declared} bytes")]
    TooShort { declared: u64, found: u64 },
    /// Damaged data.
    #[error("its checksum is wrong: the archive is damaged")]
    Checksum,
    /// The archive ends too early.
    #[error("the archive is truncated: it ends here, without the end that every archive has")]
    Truncated,
    /// More entries than a cache can have.
    #[error("there are more than {limit} entries")]
    TooManyEntries { limit: u64 },
    /// More folders in a name, or more bytes of names, than any cache has.
    #[error("its name is too much: {0}")]
    TooMuchName(&'static str),
    /// A field that makes no sense.
    #[error("the archive is damaged: {0}")]
    Malformed(Cow<'static, str>),
    /// The content is not what its place in a cache promises.
    #[error("{0}")]
    Content(String),
    /// It can't be read, or what came of it can't be kept.
    #[error("{0}")]
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
#[derive(Debug)]
pub struct Refusal {
    entry: Option<String>,
    pub(super) problem: Problem,
}

/// An archive that can't be written or read.
#[derive(Debug, Error, Diagnostic)]
pub enum ArchiveError {
    /// The file itself.
    #[error("can't {what} `{}`", path.display())]
    #[diagnostic(help("is the path right, may this user use it, and is there room on the disk?"))]
    Io {
        /// The archive.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Something else than an archive of the runner.
    #[error("`{}` is neither a zip archive nor a tar archive compressed with zstd", path.display())]
    #[diagnostic(help(
        "the runner's archives are always named `cache.zip`, whatever their format; larder goes by the content"
    ))]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// An entry of it, or the whole of it.
    #[error("can't unpack `{}`: {refusal}", path.display())]
    #[diagnostic(help("nothing was unpacked but blobs that were found right; {}", refusal.hint()))]
    Refused {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        refusal: Refusal,
    },
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

impl<E> From<Problem> for Stop<E> {
    fn from(problem: Problem) -> Self {
        Self::Refused(Refusal { entry: None, problem })
    }
}

impl<E> From<io::Error> for Stop<E> {
    fn from(error: io::Error) -> Self {
        Problem::from(error).into()
    }
}

impl From<io::Error> for Problem {
    /// A reader of this module hides a problem in the only error that `Read` knows: here it comes out again.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(problem) => problem,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<Problem> for io::Error {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Io(error) => error,
            problem => Self::other(problem),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(f, "entry `{entry}`: {}", self.problem),
            None => self.problem.fmt(f),
        }
    }
}

impl Refusal {
    fn hint(&self) -> &'static str {
        match self.problem {
            Problem::Truncated | Problem::TooShort { .. } | Problem::Checksum | Problem::Malformed(_) => {
                "was the archive copied whole? Compare its size, or copy it again"
            }
            Problem::Content(_) => {
                "a cache holds only blobs with the digest in their name, and this archive has something else under such a name"
            }
            Problem::Io(_) => "is there room on the disk, and may this user write to the caches?",
            _ => "no runner and no larder writes such an entry into the archive of a cache: do not trust its origin",
        }
    }
}

/// A hostile name in one line, long enough to show the whole name of a blob.
pub(super) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(240).flat_map(char::escape_debug).collect()
}
