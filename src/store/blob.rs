//! One blob of a cache, and what a look at it showed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::fs::Kind;
use crate::types::Sha256Digest;
use crate::verified::{BlobError, Expected, Mismatch, Size, Verified, verify_reader};

/// A blob of a cache whose bytes were read in this run and found right, or written by it.
#[derive(Clone, Debug)]
pub(crate) struct StoredBlob {
    digest: Sha256Digest,
    bytes: u64,
    path: PathBuf,
}

/// What a look at a blob showed.
#[derive(Clone, Debug)]
pub(crate) enum Validation {
    /// Its bytes are right.
    Intact(StoredBlob),
    /// There is none, or one of another size than the one that is asked for, although it is what its name says.
    Missing,
    /// Something else lies under its name.
    Corrupt(Damage),
}

/// What is wrong with a blob, and which file it is that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// What is wrong, in words.
    pub reason: String,
    file: Option<FileIdentity>,
}

/// Tells whether a file is still the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    modified: Option<std::time::SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Damage {
    /// Whether the file at `path` is still the one that was looked at.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        identity(path) == self.file
    }
}

impl StoredBlob {
    /// A blob that was verified and has its name.
    pub(super) fn of(verified: Verified, path: PathBuf) -> Self {
        Self { digest: verified.digest(), bytes: verified.bytes(), path }
    }

    /// Read what lies at `path` and compare. `found` is what the caller saw there, without following a link in any part of
    /// the path that is not to be trusted.
    pub(crate) fn validate(
        path: &Path,
        found: Kind,
        expected: Expected,
        on_bytes: &dyn Fn(usize),
    ) -> io::Result<Validation> {
        let corrupt = |reason: String| Validation::Corrupt(Damage { reason, file: identity(path) });
        let file = match found {
            Kind::Missing => return Ok(Validation::Missing),
            Kind::Folder | Kind::Other => return Ok(corrupt("it is not a regular file".to_owned())),
            Kind::File(_) => fs::File::open(path)?,
        };
        Ok(match verify_reader(file, expected, on_bytes) {
            Ok(verified) => Validation::Intact(Self::of(verified, path.to_owned())),
            // Metadata with a false size must not have a good blob removed, which others use: the file is what its name says,
            // and what this metadata asks for does not exist.
            Err(BlobError::Mismatch(Mismatch::TooLong { .. } | Mismatch::TooShort { .. }))
                if is_what_its_name_says(path, expected.digest) =>
            {
                Validation::Missing
            }
            Err(BlobError::Mismatch(mismatch)) => corrupt(mismatch.to_string()),
            // A disk that can't read a block any more: as good as wrong bytes.
            Err(BlobError::Io(error)) => corrupt(error.to_string()),
        })
    }

    /// Its digest.
    pub(crate) fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// Its size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn is_what_its_name_says(path: &Path, digest: Sha256Digest) -> bool {
    let verify = || -> Result<(), BlobError> {
        let file = fs::File::open(path)?;
        let size = Size::AtMost(file.metadata()?.len());
        verify_reader(file, Expected { digest, size }, &|_| ()).map(drop)
    };
    verify().is_ok()
}

fn identity(path: &Path) -> Option<FileIdentity> {
    let meta = fs::symlink_metadata(path).ok()?;
    Some(FileIdentity { modified: meta.modified().ok(), bytes: meta.len(), inode: MetadataExt::ino(&meta) })
}
