//! Where bytes become trusted.
//!
//! A download, a copy and a look at a cached blob all go the same way: *cap, then digest*. [`Verifier::update`] refuses the
//! first byte beyond the size that the metadata stated, so that a hostile server can't fill a disk; [`Verifier::finish`]
//! compares length and sha256. Only this file can make a [`VerifiedBlob`] or a [`Verified`], and a cache accepts nothing
//! else, so there is no way to put bytes into a cache, or from a cache into a job mirror, that were not hashed in this run.

use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use thiserror::Error;

use crate::fs::{named, temporary_file};
use crate::types::Sha256Digest;

/// How large a blob is, as far as its metadata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Stated (layout v3).
    Exactly(u64),
    /// Not stated (layout v2): any size up to this one.
    AtMost(u64),
}

/// What the metadata promises of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its digest.
    pub digest: Sha256Digest,
    /// Its size.
    pub size: Size,
}

/// Bytes that are not what was promised.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field of an error is, its message says")]
pub enum Mismatch {
    /// More bytes than stated: noticed at the first one too many.
    #[error("it is longer than the {limit} bytes that were promised")]
    TooLong { limit: u64 },
    /// Fewer bytes than stated.
    #[error("it ends after {found} of {expected} bytes")]
    TooShort { expected: u64, found: u64 },
    /// The right number of bytes, but not those bytes.
    #[error("its sha256 is {found} instead of {expected}")]
    WrongDigest { expected: Sha256Digest, found: Sha256Digest },
}

/// Hashes bytes on their way and refuses too many of them.
#[derive(Clone, Debug)]
pub struct Verifier {
    expected: Expected,
    seen: u64,
    hasher: Sha256,
}

/// Proof that bytes with this digest were read in this run. Made by [`Verifier::finish`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    digest: Sha256Digest,
    bytes: u64,
}

/// A verified blob in a temporary file, ready to be given its name. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct VerifiedBlob {
    verified: Verified,
    file: TempPath,
}

impl Size {
    /// Whether a blob of so many bytes can be the one.
    pub fn allows(self, bytes: u64) -> bool {
        match self {
            Self::Exactly(size) => bytes == size,
            Self::AtMost(limit) => bytes <= limit,
        }
    }

    /// The size, where the metadata states one.
    pub fn stated(self) -> Option<u64> {
        match self {
            Self::Exactly(size) => Some(size),
            Self::AtMost(_) => None,
        }
    }

    /// The most bytes there may be.
    pub fn limit(self) -> u64 {
        match self {
            Self::Exactly(size) | Self::AtMost(size) => size,
        }
    }
}

impl Expected {
    /// The same promise, with a bound where the metadata gave none or one beyond reason.
    pub(crate) fn capped(self, limit: u64) -> Self {
        match self.size {
            Size::Exactly(size) if size <= limit => self,
            size => Self { size: Size::AtMost(size.limit().min(limit)), ..self },
        }
    }
}

impl Verifier {
    /// Start with no bytes seen.
    pub fn new(expected: Expected) -> Self {
        Self { expected, seen: 0, hasher: Sha256::new() }
    }

    /// Take the next bytes, or refuse them because they are too many.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let limit = self.expected.size.limit();
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > limit {
            return Err(Mismatch::TooLong { limit });
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Whether the bytes so far are all of it.
    pub(crate) fn is_satisfied(&self) -> bool {
        self.clone().finish().is_ok()
    }

    /// Decide, now that there are no more bytes.
    pub fn finish(self) -> Result<Verified, Mismatch> {
        if let Size::Exactly(expected) = self.expected.size
            && self.seen < expected
        {
            return Err(Mismatch::TooShort { expected, found: self.seen });
        }
        let found = Sha256Digest::from_bytes(self.hasher.finalize().into());
        if found == self.expected.digest {
            Ok(Verified { digest: found, bytes: self.seen })
        } else {
            Err(Mismatch::WrongDigest { expected: self.expected.digest, found })
        }
    }

    /// Decide as [`Verifier::finish`] does, and vouch for a file. For [`receive_blob`] and the partial files of downloads only, as
    /// `tests/modules` makes sure: they promise that the bytes given to this verifier are those of the file, in order. Where the
    /// bytes are wrong, the file goes.
    pub(crate) fn seal(self, file: TempPath) -> Result<VerifiedBlob, Mismatch> {
        Ok(VerifiedBlob { verified: self.finish()?, file })
    }
}

impl Verified {
    /// The digest of the bytes.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl VerifiedBlob {
    /// What was verified.
    pub fn verified(&self) -> Verified {
        self.verified
    }

    /// The file with the bytes, to be renamed into place.
    pub fn into_file(self) -> TempPath {
        self.file
    }
}

/// Why no [`VerifiedBlob`] came about.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The bytes were not those promised.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The bytes could not be read or kept.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Read everything there is, and compare. `on_bytes` is told of each piece.
pub fn verify_reader(reader: impl Read, expected: Expected, on_bytes: &dyn Fn(usize)) -> Result<Verified, BlobError> {
    copy_verified(reader, expected, &mut io::sink(), on_bytes)
}

/// Copy everything there is, and compare on the way. What was written is not to be used unless this succeeds.
pub(crate) fn copy_verified(
    reader: impl Read,
    expected: Expected,
    out: &mut dyn Write,
    on_bytes: &dyn Fn(usize),
) -> Result<Verified, BlobError> {
    let mut verifier = Verifier::new(expected);
    for_each_piece(reader, on_bytes, |piece| {
        verifier.update(piece)?;
        Ok(out.write_all(piece)?)
    })?;
    Ok(verifier.finish()?)
}

/// Copy everything there is into a new file in `staging`, which becomes a [`VerifiedBlob`] if it turns out right. Where it does
/// not, nothing is left there.
pub(crate) fn receive_blob(
    reader: impl Read,
    expected: Expected,
    staging: &Path,
    on_bytes: &dyn Fn(usize),
) -> Result<VerifiedBlob, BlobError> {
    let (mut verifier, mut file) = (Verifier::new(expected), temporary_file(staging)?);
    for_each_piece(reader, on_bytes, |piece| {
        verifier.update(piece)?;
        Ok(file.write_all(piece).map_err(named(file.path()))?)
    })?;
    file.flush()?;
    Ok(verifier.seal(file.into_temp_path())?)
}

/// Call `take` with pieces of at most 128 KiB: large enough for the disk, small enough that sixteen at once do not matter.
fn for_each_piece(
    mut reader: impl Read,
    on_bytes: &dyn Fn(usize),
    mut take: impl FnMut(&[u8]) -> Result<(), BlobError>,
) -> Result<(), BlobError> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                take(&buffer[..length])?;
                on_bytes(length);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::verified::*;
    use proptest::prelude::*;

    fn digest_of(bytes: &[u8]) -> Sha256Digest {
        Sha256Digest::from_bytes(Sha256::digest(bytes).into())
    }

    fn check(bytes: &[u8], expected: Expected) -> Result<Verified, BlobError> {
        verify_reader(bytes, expected, &|_| {})
    }

    proptest! {
        #[test]
        fn only_the_promised_bytes_pass(promised: Vec<u8>, found: Vec<u8>) {
            for size in [Size::Exactly(promised.len() as u64), Size::AtMost(1 << 20)] {
                let expected = Expected { digest: digest_of(&promised), size };
                prop_assert!(check(&promised, expected).is_ok());
                prop_assert_eq!(check(&found, expected).is_ok(), found == promised);
            }
        }
    }

    #[test]
    fn the_first_byte_too_many_is_refused_before_it_is_hashed() {
        let mut verifier = Verifier::new(Expected { digest: digest_of(b"abc"), size: Size::Exactly(3) });
        verifier.update(b"abc").unwrap();
        assert_eq!(verifier.update(b"d"), Err(Mismatch::TooLong { limit: 3 }));
    }

    #[test]
    fn a_short_body_says_how_much_is_missing() {
        let expected = Expected { digest: digest_of(b"abc"), size: Size::Exactly(3) };
        let error = check(b"ab", expected).unwrap_err();
        assert_eq!(error.to_string(), "it ends after 2 of 3 bytes");
    }

    #[test]
    fn a_wrong_blob_leaves_no_file() {
        let staging = tempfile::tempdir().unwrap();
        let expected = Expected { digest: digest_of(b"abc"), size: Size::AtMost(9) };
        let received = receive_blob(&b"abd"[..], expected, staging.path(), &|_| {});
        assert!(matches!(received, Err(BlobError::Mismatch(Mismatch::WrongDigest { .. }))));
        assert_eq!(std::fs::read_dir(staging.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_absurd_size_is_capped() {
        let expected = Expected { digest: digest_of(b""), size: Size::Exactly(u64::MAX) };
        assert_eq!(expected.capped(10).size, Size::AtMost(10));
    }
}
