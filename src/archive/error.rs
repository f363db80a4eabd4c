//! Why an archive is refused, and at which entry.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use super::entry_name::InvalidEntryName;

/// What is wrong with an entry, or with the archive around it: the end of a sentence that names it.
#[derive(Debug, Error)]
pub enum Problem {
    /// A name that is not a plain path below the project folder.
    #[error(transparent)]
    Name(#[from] InvalidEntryName),
    /// A symbolic or hard link.
    #[error("it is a link, which could lead anywhere")]
    Link,
    /// A device, a socket, a pipe, a sparse file.
    #[error("it is neither a file nor a folder")]
    Special,
    /// Two entries of one name: programs differ in which one they believe.
    #[error("there are two entries of this name")]
    Duplicate,
    /// A name below something that is not a folder.
    #[error("it lies below `{file}`, which is a file")]
    BelowFile {
        /// The entry above.
        file: String,
    },
    /// A file with a name that others use as a folder.
    #[error("it is a file, but other entries lie below it")]
    FileWithEntries,
    /// Nothing of larder's is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// A method that the runner never uses.
    #[error("it is compressed by method {0}; larder reads stored, deflated and zstd entries")]
    Method(u16),
    /// The header before the data says something else than the directory at the end.
    #[error("its header and the archive's directory disagree on its {0}")]
    Disagreement(&'static str),
    /// Data that belongs to two entries, as in a bomb without a high ratio.
    #[error("its data overlaps with that of another entry or of the directory")]
    Overlap,
    /// More data than the archived bytes can honestly stand for.
    #[error("it is a bomb: {archived} archived bytes would become more than {limit}")]
    Bomb {
        /// Bytes in the archive.
        archived: u64,
        /// The most that may come of them.
        limit: u64,
    },
    /// More data than its header says.
    #[error("it is longer than the {declared} bytes that its header states")]
    TooLong {
        /// What the header says.
        declared: u64,
    },
    /// Less data than its header says.
    #[error("it ends after {found} of {declared} bytes")]
    TooShort {
        /// What the header says.
        declared: u64,
        /// What there was.
        found: u64,
    },
    /// Damaged data.
    #[error("its checksum is wrong: the archive is damaged")]
    Checksum,
    /// The archive ends too early.
    #[error("the archive is truncated: it ends here, without the end that every archive has")]
    Truncated,
    /// More entries than a cache can have.
    #[error("there are more than {limit} entries")]
    TooManyEntries {
        /// How many there may be.
        limit: u64,
    },
    /// More folders in a name, or more bytes of names, than any cache has.
    #[error("its name is too much: {0}")]
    TooMuchTree(&'static str),
    /// A field that makes no sense.
    #[error("the archive is damaged: {0}")]
    Malformed(&'static str),
    /// The content is not what its place in a cache promises.
    #[error("{0}")]
    Content(String),
    /// It can't be read, or what came of it can't be kept.
    #[error("{0}")]
    Io(io::Error),
    /// Whoever looks at the entries has seen enough.
    #[error("it could not be used")]
    Stopped,
}

/// A problem and, where there is one, the name of the entry.
#[derive(Debug)]
pub(super) struct Fault {
    pub entry: Option<String>,
    pub problem: Problem,
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
    /// The whole of it.
    #[error("can't unpack `{}`: {problem}", path.display())]
    #[diagnostic(help("nothing was unpacked; {}", hint(problem)))]
    Whole {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// One entry of it.
    #[error("can't unpack `{}`: entry `{entry}`: {problem}", path.display())]
    #[diagnostic(help("nothing was unpacked; {}", hint(problem)))]
    Entry {
        /// The archive.
        path: PathBuf,
        /// The entry's name, safe to print.
        entry: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl Fault {
    pub(super) fn of(entry: &str, problem: impl Into<Problem>) -> Self {
        Self { entry: Some(printable(entry)), problem: problem.into() }
    }

    pub(super) fn whole(problem: impl Into<Problem>) -> Self {
        Self { entry: None, problem: problem.into() }
    }

    pub(super) fn in_archive(self, path: &Path) -> ArchiveError {
        let (path, problem) = (path.to_owned(), self.problem);
        match self.entry {
            Some(entry) => ArchiveError::Entry { path, entry, problem },
            None => ArchiveError::Whole { path, problem },
        }
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

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::whole(error)
    }
}

/// A hostile name in one line, long enough to show the whole name of a blob.
fn printable(name: &str) -> String {
    name.chars().take(240).flat_map(char::escape_debug).collect()
}

fn hint(problem: &Problem) -> &'static str {
    match problem {
        Problem::Truncated | Problem::TooShort { .. } | Problem::Checksum | Problem::Malformed(_) => {
            "was the archive copied whole? Compare its size, or copy it again"
        }
        Problem::Content(_) => {
            "a cache holds only blobs with the digest in their name: whoever made this archive has others"
        }
        Problem::Io(_) => "is there room on the disk, and may this user write to the caches?",
        Problem::Stopped => "the message above says why",
        _ => "no runner and no larder writes such an entry into the archive of a cache: do not trust who made it",
    }
}
