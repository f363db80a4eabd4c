//! The file that a blob grows in, and what is known of it after an interruption.
//!
//! Stretches arrive in any order and are written where they belong. The digest is computed in order all the same, while
//! bytes arrive: what comes next is hashed as it passes, what came early is read back from the file when its turn has come, so
//! that memory does not grow with the blob.
//!
//! Beside a file that the next run may go on with lies a *journal*: for each stretch written, 16 bytes, its start and its end,
//! little-endian. It is written after the bytes that it speaks of. It is never believed: it only saves asking for bytes
//! again, and if the digest is wrong in the end, both files go.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rangemap::RangeSet;
use tempfile::{NamedTempFile, TempPath};

use crate::verified::{BlobError, Expected, Mismatch, Size, VerifiedBlob, Verifier};

/// Where a blob grows.
#[derive(Clone, Debug)]
pub enum Partial {
    /// In a file of this name, which may hold what an earlier run fetched, and stays if this one is interrupted. The caller
    /// sees to it that no other process writes there.
    Kept(PathBuf),
    /// In a file without a future, in this folder.
    Scratch(PathBuf),
}

/// How much of the file is read back at once.
const PIECE: usize = 1 << 20;

/// What is hashed and then written in one go: more would have left the processor's own cache before it is written, which takes a
/// third longer.
const HOT: usize = 128 << 10;

/// Stops a journal that was put there by another hand from filling the memory: a blob of 64 GiB has 4 MiB of it.
const MAX_JOURNAL: u64 = 64 << 20;

/// A blob that is growing. Dropped before it is finished, it leaves its files for the next run if there is something in them
/// that is worth it.
#[derive(Debug)]
pub(super) struct GrowingBlob {
    file: NamedTempFile,
    journal: Option<NamedTempFile>,
    size: Option<u64>,
    arrived: RangeSet<u64>,
    resumed: u64,
    hashed: u64,
    verifier: Verifier,
    expected: Expected,
}

impl Partial {
    /// The file or folder, for messages.
    pub(super) fn path(&self) -> &Path {
        let (Self::Kept(path) | Self::Scratch(path)) = self;
        path
    }

    /// A folder for files without a future.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Scratch(folder) => folder,
            Self::Kept(path) => path.parent().unwrap_or(path),
        }
    }
}

impl GrowingBlob {
    /// Start, or go on where an earlier run stopped.
    pub(super) fn open(partial: &Partial, expected: Expected) -> io::Result<Self> {
        let (file, journal, arrived) = match partial {
            Partial::Scratch(folder) => (crate::fs::temporary_file(folder)?, None, RangeSet::new()),
            Partial::Kept(path) => {
                let file = own_file(path)?;
                let mut journal = own_file(&journal_of(path))?;
                let length = file.as_file().metadata()?.len().min(expected.size.limit());
                let arrived = read_journal(journal.as_file(), length)?.unwrap_or_default();
                if arrived.is_empty() {
                    // What lies there is nothing to go on with.
                    file.as_file().set_len(0)?;
                }
                // What a torn write left behind would shift all that follows.
                clear(journal.as_file_mut())?;
                arrived.iter().try_for_each(|range| journal.as_file_mut().write_all(&entry(range)))?;
                (file, Some(journal), arrived)
            }
        };
        let resumed = arrived.iter().map(|range| range.end - range.start).sum();
        let verifier = Verifier::new(expected);
        let mut blob = Self { file, journal, size: None, arrived, resumed, hashed: 0, verifier, expected };
        blob.keep_if_worth_it();
        blob.size = match expected.size {
            Size::Exactly(size) => Some(size),
            Size::AtMost(_) => blob.whole(),
        };
        Ok(blob)
    }

    /// Its size, where none was stated and all of it is here already: a run ended just before it could give the blob its name.
    /// To ask a server for what comes after the last byte would be no answer.
    fn whole(&mut self) -> Option<u64> {
        // What can't be read is found out again, and told, on the way.
        self.hash_what_arrived().ok()?;
        let end = self.arrived.iter().map(|range| range.end).max();
        end.filter(|end| *end == self.hashed && self.verifier.is_satisfied())
    }

    /// Its size, where that is known already.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// What has arrived.
    pub(super) fn arrived(&self) -> &RangeSet<u64> {
        &self.arrived
    }

    /// How many of the bytes are from an earlier run.
    pub(super) fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Take bytes that belong at `offset`.
    pub(super) fn take(&mut self, offset: u64, pieces: &[Bytes]) -> Result<(), BlobError> {
        let mut at = offset;
        self.seek(at)?;
        for piece in pieces.iter().flat_map(|piece| piece.chunks(HOT)) {
            let end = at.saturating_add(piece.len() as u64);
            let limit = self.expected.size.limit();
            // The verifier would notice, but only after the disk is full.
            if end > limit {
                return Err(Mismatch::TooLong { limit }.into());
            }
            if at == self.hashed {
                self.verifier.update(piece)?;
                self.hashed = end;
            }
            self.file.as_file_mut().write_all(piece).map_err(|error| self.named(&error))?;
            at = end;
        }
        if at > offset {
            self.arrived.insert(offset..at);
            if let Some(journal) = &mut self.journal {
                journal.as_file_mut().write_all(&entry(&(offset..at)))?;
            }
            self.keep_if_worth_it();
        }
        Ok(())
    }

    /// Hash some of what came early, if its turn has come. Says whether there may be more.
    pub(super) fn catch_up(&mut self) -> Result<bool, BlobError> {
        let Some(ready) = self.arrived.get(&self.hashed) else { return Ok(false) };
        let length = usize::try_from(ready.end - self.hashed).unwrap_or(PIECE).min(PIECE);
        let mut bytes = vec![0; length];
        self.seek(self.hashed)?;
        self.file.as_file_mut().read_exact(&mut bytes)?;
        self.verifier.update(&bytes)?;
        self.hashed += length as u64;
        Ok(self.arrived.contains(&self.hashed))
    }

    pub(super) fn hash_what_arrived(&mut self) -> Result<(), BlobError> {
        while self.catch_up()? {}
        Ok(())
    }

    /// Forget everything: a server sends the file from its beginning.
    pub(super) fn start_over(&mut self) -> io::Result<()> {
        (self.arrived, self.resumed, self.hashed) = (RangeSet::new(), 0, 0);
        self.verifier = Verifier::new(self.expected);
        self.keep_if_worth_it();
        if let Some(journal) = &mut self.journal {
            clear(journal.as_file_mut())?;
        }
        self.file.as_file().set_len(0)
    }

    /// Decide, now that everything arrived that will. Where the bytes are wrong, nothing is left of them.
    pub(super) fn finish(mut self, size: u64) -> Result<VerifiedBlob, BlobError> {
        self.hash_what_arrived()?;
        if self.hashed < size {
            return Err(Mismatch::TooShort { expected: size, found: self.hashed }.into());
        }
        self.arrived.clear();
        self.keep_if_worth_it();
        Ok(self.verifier.seal(self.file.into_temp_path())?)
    }

    fn seek(&mut self, to: u64) -> io::Result<()> {
        self.file.as_file_mut().seek(SeekFrom::Start(to)).map(|_| ())
    }

    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.file.path().display()))
    }

    /// Have files that hold something stay when they are dropped, and others go.
    fn keep_if_worth_it(&mut self) {
        if let Some(journal) = &mut self.journal {
            let is_worth_it = !self.arrived.is_empty();
            journal.disable_cleanup(is_worth_it);
            self.file.disable_cleanup(is_worth_it);
        }
    }
}

/// A file of the cache, which stays when it is dropped until [`GrowingBlob::keep_if_worth_it`] says otherwise.
fn own_file(path: &Path) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::from_parts(crate::fs::open_own_file(path)?, TempPath::try_from_path(path)?);
    file.disable_cleanup(true);
    Ok(file)
}

fn clear(file: &mut std::fs::File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

/// Where the journal of a partial file lies.
pub(crate) fn journal_of(path: &Path) -> PathBuf {
    path.with_extension("journal")
}

fn entry(range: &Range<u64>) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&range.start.to_le_bytes());
    bytes[8..].copy_from_slice(&range.end.to_le_bytes());
    bytes
}

/// What an earlier run says it wrote to a file of this length; nothing where that can't be right.
fn read_journal(journal: &std::fs::File, length: u64) -> io::Result<Option<RangeSet<u64>>> {
    let mut bytes = Vec::new();
    journal.take(MAX_JOURNAL).read_to_end(&mut bytes)?;
    let mut arrived = RangeSet::new();
    // A torn entry at the end is left out.
    let (entries, _) = bytes.as_chunks::<16>();
    for entry in entries {
        let half = |from: usize| entry[from..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (start, end) = (half(0), half(8));
        if start >= end || end > length {
            return Ok(None);
        }
        arrived.insert(start..end);
    }
    Ok(Some(arrived))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Sha256Digest;
    use fs_err as fs;
    use sha2::{Digest as _, Sha256};

    const BLOB: &[u8] = b"0123456789abcdef";

    fn expected() -> Expected {
        let digest = Sha256Digest::from_bytes(Sha256::digest(BLOB).into());
        Expected { digest, size: Size::Exactly(BLOB.len() as u64) }
    }

    fn open(partial: &Partial) -> GrowingBlob {
        GrowingBlob::open(partial, expected()).unwrap()
    }

    fn take(blob: &mut GrowingBlob, range: Range<usize>) {
        blob.take(range.start as u64, &[Bytes::from_static(&BLOB[range])]).unwrap();
    }

    struct Fixture {
        folder: tempfile::TempDir,
        partial: Partial,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let partial = Partial::Kept(folder.path().join("x.partial"));
        Fixture { folder, partial }
    }

    impl Fixture {
        fn files(&self) -> usize {
            fs::read_dir(self.folder.path()).unwrap().count()
        }
    }

    #[test]
    fn stretches_in_any_order_become_the_blob() {
        let fixture = fixture();
        for partial in [fixture.partial.clone(), Partial::Scratch(fixture.folder.path().to_owned())] {
            let mut blob = open(&partial);
            take(&mut blob, 8..12);
            take(&mut blob, 0..4);
            take(&mut blob, 12..16);
            take(&mut blob, 4..8);
            let verified = blob.finish(16).unwrap();
            assert_eq!(fs::read(verified.into_file()).unwrap(), BLOB);
            assert_eq!(fixture.files(), 0, "neither journal nor file is left");
        }
    }

    #[test]
    fn the_next_run_goes_on_where_this_one_stopped() {
        let fixture = fixture();
        let mut blob = open(&fixture.partial);
        take(&mut blob, 0..4);
        take(&mut blob, 8..12);
        drop(blob);
        let mut blob = open(&fixture.partial);
        assert_eq!((blob.resumed(), blob.arrived().iter().cloned().collect::<Vec<_>>()), (8, vec![0..4, 8..12]));
        take(&mut blob, 4..8);
        take(&mut blob, 12..16);
        assert!(blob.finish(16).is_ok());
        assert_eq!(fixture.files(), 0);
    }

    #[test]
    fn a_blob_of_unknown_size_that_is_all_there_is_known_to_be() {
        let fixture = fixture();
        let expected = Expected { size: Size::AtMost(1000), ..expected() };
        let mut blob = GrowingBlob::open(&fixture.partial, expected).unwrap();
        assert_eq!(blob.size(), None);
        take(&mut blob, 0..12);
        drop(blob);
        let mut blob = GrowingBlob::open(&fixture.partial, expected).unwrap();
        assert_eq!(blob.size(), None);
        take(&mut blob, 12..16);
        drop(blob);
        let blob = GrowingBlob::open(&fixture.partial, expected).unwrap();
        assert_eq!(blob.size(), Some(16));
        assert_eq!(fs::read(blob.finish(16).unwrap().into_file()).unwrap(), BLOB);
    }

    #[test]
    fn what_a_hostile_or_torn_journal_says_is_not_believed() {
        let fixture = fixture();
        let Partial::Kept(path) = &fixture.partial else { panic!() };
        let begin = |journal: &[u8]| {
            let mut blob = open(&fixture.partial);
            take(&mut blob, 0..4);
            drop(blob);
            let mut written = fs::read(journal_of(path)).unwrap();
            written.extend_from_slice(journal);
            fs::write(journal_of(path), written).unwrap();
            open(&fixture.partial).resumed()
        };
        assert_eq!(begin(&[7; 9]), 4, "a torn entry is left out");
        assert_eq!(begin(&entry(&(4..400))), 0, "beyond the file");
        assert_eq!(begin(&entry(&Range { start: 9, end: 3 })), 0, "backwards");
    }

    #[test]
    fn wrong_bytes_of_an_earlier_run_are_noticed_and_gone() {
        let fixture = fixture();
        let mut blob = open(&fixture.partial);
        take(&mut blob, 0..12);
        drop(blob);
        let Partial::Kept(path) = &fixture.partial else { panic!() };
        fs::write(path, b"evil evil evil ").unwrap();
        let mut blob = open(&fixture.partial);
        assert_eq!(blob.resumed(), 12);
        take(&mut blob, 12..16);
        assert!(matches!(blob.finish(16), Err(BlobError::Mismatch(Mismatch::WrongDigest { .. }))));
        assert_eq!(fixture.files(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_the_file_is_replaced_and_never_written_through() {
        let fixture = fixture();
        let Partial::Kept(path) = &fixture.partial else { panic!() };
        let outside = fixture.folder.path().join("outside");
        fs::write(&outside, b"precious precious").unwrap();
        let links: [fn(&Path, &Path) -> io::Result<()>; 2] =
            [|target, link| std::os::unix::fs::symlink(target, link), |target, link| std::fs::hard_link(target, link)];
        for link in links {
            link(&outside, path).unwrap();
            fs::write(journal_of(path), entry(&(0..4))).unwrap();
            let mut blob = open(&fixture.partial);
            take(&mut blob, 4..16);
            drop(blob);
            assert_eq!(fs::read(&outside).unwrap(), b"precious precious");
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(journal_of(path));
        }
    }

    #[test]
    fn more_bytes_than_promised_are_refused_before_they_are_written() {
        let fixture = fixture();
        let mut blob = open(&fixture.partial);
        let error = blob.take(14, &[Bytes::from_static(b"xyz")]).unwrap_err();
        assert!(matches!(error, BlobError::Mismatch(Mismatch::TooLong { limit: 16 })));
        drop(blob);
        assert_eq!(fixture.files(), 0);
    }
}
