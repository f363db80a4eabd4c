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

pub(super) const LINK: &str = "it is a link, which could lead anywhere";
pub(super) const SPECIAL: &str = "it is neither a file nor a folder";

/// An entry of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: EntryName,
    pub kind: EntryKind,
    /// How many bytes of data follow, as its header says. There may be fewer, never more.
    pub bytes: u64,
    /// When it was last changed, in whole seconds since 1970.
    pub modified: Option<i64>,
}

/// What looks at the entries: each comes with its data, of which as much is read as wanted. The rest is read, and checked,
/// after it.
pub(super) type Visit<'a, E> = &'a mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Stop<E>>;

/// Counts the entries and the bytes of their names, on the way to what looks at them.
pub(super) struct Intake<'a, E> {
    pub limits: &'a Limits,
    pub visit: Visit<'a, E>,
    /// The name of the latest entry. What goes wrong between two entries is reported with it: that is where to look for it.
    pub last: Option<String>,
    entries: u64,
    name_bytes: u64,
}

impl<'a, E> Intake<'a, E> {
    pub(super) fn new(limits: &'a Limits, visit: Visit<'a, E>) -> Self {
        Self { limits, visit, last: None, entries: 0, name_bytes: 0 }
    }

    /// Parse the next name. Also says whether it ends with the `/` that marks a folder.
    pub(super) fn admit(&mut self, name: &[u8]) -> Result<(EntryName, bool), Problem> {
        let Limits { entries, name_bytes, depth, all_names, .. } = *self.limits;
        self.entries += 1;
        self.name_bytes += name.len() as u64;
        if self.entries > entries {
            return Err(Problem::Foreign(format!("there are more than {entries} entries").into()));
        }
        if self.name_bytes > all_names {
            return Err(Problem::Foreign("all names together are longer than those of any cache".into()));
        }
        // A lone `/` is the root, not a name without letters.
        let plain = name.strip_suffix(b"/").filter(|plain| !plain.is_empty());
        let parsed = EntryName::parse(plain.unwrap_or(name), name_bytes)?;
        if parsed.as_str().matches('/').count() > depth {
            return Err(Problem::Foreign("its name leads through more folders than any cache has".into()));
        }
        Ok((parsed, plain.is_some()))
    }
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
        let length = self.inner.by_ref().take(self.left.saturating_add(1)).read(buffer)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| io::Error::other((self.beyond)()))?;
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
        let visit: Visit<'_, ()> = &mut |_, _| Ok(());
        let mut intake = Intake::new(&limits, visit);
        for name in ["a", "b", "c", "d"] {
            assert_eq!(intake.admit(name.as_bytes()).unwrap().0.as_str(), name);
        }
        assert_eq!(intake.admit(b"e").unwrap_err().to_string(), "there are more than 4 entries");
    }

    #[test]
    fn names_take_no_more_memory_than_a_caches_would() {
        let limits = Limits { depth: 2, all_names: 16, ..Limits::default() };
        let visit: Visit<'_, ()> = &mut |_, _| Ok(());
        let mut intake = Intake::new(&limits, visit);
        let mut admit = |name: &str| intake.admit(name.as_bytes()).map(drop).map_err(|problem| problem.to_string());
        assert!(admit("a/b/c/d").unwrap_err().contains("more folders"));
        assert_eq!(admit("a/b/c"), Ok(()));
        assert!(admit("a/b/d").unwrap_err().contains("all names together"));
    }
}
