//! One entry, and the bounds on all entries together.

use std::io::{self, Read, Seek, SeekFrom};

use super::entry_name::EntryName;
use super::error::{Problem, Stop};
use super::limits::Limits;

/// What an entry is. There is no third kind: links and devices are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Folder,
    File,
}

/// An entry of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: EntryName,
    pub kind: EntryKind,
    /// How many bytes of data follow, as its header says; the reader keeps it to that.
    pub bytes: u64,
    /// When it was last changed, in whole seconds since 1970.
    pub modified: Option<i64>,
}

/// What looks at the entries: each comes with its data, of which as much is read as wanted. The rest is read, and checked,
/// after it.
pub(super) type Visit<'a, E> = &'a mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Stop<E>>;

/// Counts the entries and the bytes of their names.
pub(super) struct Intake<'a> {
    limits: &'a Limits,
    entries: u64,
    name_bytes: u64,
}

impl<'a> Intake<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { limits, entries: 0, name_bytes: 0 }
    }

    /// Parse the next name, without the `/` that marks a folder.
    pub(super) fn admit(&mut self, name: &[u8]) -> Result<EntryName, Problem> {
        self.entries += 1;
        self.name_bytes += name.len() as u64;
        if self.entries > self.limits.entries {
            return Err(Problem::TooManyEntries { limit: self.limits.entries });
        }
        if self.name_bytes > self.limits.all_names {
            return Err(Problem::TooMuchName("all names together are longer than those of any cache"));
        }
        let name = EntryName::parse(name, self.limits.name_bytes)?;
        if name.as_str().matches('/').count() > self.limits.depth {
            return Err(Problem::TooMuchName("it leads through more folders than any cache has"));
        }
        Ok(name)
    }
}

/// The data of an entry: exactly as many bytes as its header says, with the checksum that it says, or an error.
pub(super) struct EntryData<R> {
    inner: R,
    declared: u64,
    found: u64,
    checksum: Option<(u32, flate2::Crc)>,
}

impl<R: Read> EntryData<R> {
    pub(super) fn new(inner: R, declared: u64, crc: Option<u32>) -> Self {
        Self { inner, declared, found: 0, checksum: crc.map(|crc| (crc, flate2::Crc::new())) }
    }

    /// Read what the caller left, since its size and checksum count all the same.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    fn end(&self) -> io::Result<usize> {
        let (declared, found) = (self.declared, self.found);
        match &self.checksum {
            _ if found < declared => Err(Problem::TooShort { declared, found }.into()),
            Some((expected, crc)) if crc.sum() != *expected => Err(Problem::Checksum.into()),
            _ => Ok(0),
        }
    }
}

impl<R: Read> Read for EntryData<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let missing = self.declared - self.found;
        // One byte more than there may be shows whether there is more.
        let wanted = clamp(buffer, missing.max(1));
        match self.inner.read(&mut buffer[..wanted]) {
            Ok(0) => self.end(),
            // The decoders of `zip` count as well, and refuse that byte themselves.
            Ok(_) if missing == 0 => Err(Problem::TooLong { declared: self.declared }.into()),
            Err(error) if missing == 0 && error.kind() == io::ErrorKind::InvalidData => {
                Err(Problem::TooLong { declared: self.declared }.into())
            }
            Ok(length) => {
                self.found += length as u64;
                if let Some((_, crc)) = &mut self.checksum {
                    crc.update(&buffer[..length]);
                }
                Ok(length)
            }
            Err(error) => Err(error),
        }
    }
}

fn clamp(buffer: &[u8], most: u64) -> usize {
    usize::try_from(most).map_or(buffer.len(), |most| most.min(buffer.len()))
}

/// A reader that fails at the first byte beyond `left`.
pub(super) struct Capped<R, F> {
    pub inner: R,
    pub left: u64,
    /// The problem that there are more.
    pub beyond: F,
}

impl<R: Read, F: Fn() -> Problem> Read for Capped<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Never more into the buffer than one byte too many: it may be as large as a hostile header says.
        let wanted = clamp(buffer, self.left.saturating_add(1));
        let length = self.inner.read(&mut buffer[..wanted])?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(&self.beyond)?;
        Ok(length)
    }
}

impl<R: Seek, F> Seek for Capped<R, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_entries_than_a_cache_has() {
        let limits = Limits { entries: 4, ..Limits::default() };
        let mut intake = Intake::new(&limits);
        for name in ["a", "b", "c", "d"] {
            assert_eq!(intake.admit(name.as_bytes()).unwrap().as_str(), name);
        }
        assert_eq!(intake.admit(b"e").unwrap_err().to_string(), "there are more than 4 entries");
    }

    #[test]
    fn names_take_no_more_memory_than_a_caches_would() {
        let limits = Limits { depth: 2, all_names: 16, ..Limits::default() };
        let mut intake = Intake::new(&limits);
        let mut admit = |name: &str| intake.admit(name.as_bytes()).map(drop).map_err(|problem| problem.to_string());
        assert!(admit("a/b/c/d").unwrap_err().contains("more folders"));
        assert_eq!(admit("a/b/c"), Ok(()));
        assert!(admit("a/b/d").unwrap_err().contains("all names together"));
    }

    #[test]
    fn data_is_as_long_as_its_header_says_and_has_its_checksum() {
        let read = |declared, crc| {
            EntryData::new(&b"abc"[..], declared, crc).drain().map_err(|error| Problem::from(error).to_string())
        };
        assert_eq!(read(3, Some(0x3524_41c2)), Ok(()));
        assert!(read(3, Some(1)).unwrap_err().contains("checksum"));
        assert!(read(2, None).unwrap_err().contains("longer than the 2 bytes"));
        assert!(read(4, None).unwrap_err().contains("ends after 3 of 4 bytes"));
    }
}
