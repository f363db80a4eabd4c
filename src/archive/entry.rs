//! One entry, and the tree that all entries together must form.

use std::collections::HashMap;
use std::io::{self, Read};

use super::error::{Fault, Problem};
use super::{EntryName, Limits};

/// What an entry is. There is no third kind: links and devices are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
}

/// An entry of an archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: EntryName,
    /// What it is.
    pub kind: EntryKind,
    /// How many bytes of data follow, as its header says; the reader keeps it to that.
    pub bytes: u64,
    /// When it was last changed, in whole seconds since 1970.
    pub modified: Option<i64>,
}

/// The names seen so far. Refuses what two programs could unpack in different ways.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<String, Node>,
    entries: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File,
    Folder,
    /// A folder that only the names below it speak of.
    Implied,
}

impl Tree {
    /// Take the next name.
    pub(super) fn add(&mut self, name: &EntryName, kind: EntryKind, limits: &Limits) -> Result<(), Fault> {
        let refuse = |problem| Err(Fault::of(name.as_str(), problem));
        self.entries += 1;
        if self.entries > limits.entries {
            return refuse(Problem::TooManyEntries { limit: limits.entries });
        }
        if name.folders().count() > limits.depth {
            return refuse(Problem::TooMuchTree("it leads through more folders than any cache has"));
        }
        for folder in name.folders() {
            match self.nodes.get(folder) {
                Some(Node::File) => return refuse(Problem::BelowFile { file: folder.to_owned() }),
                Some(Node::Folder | Node::Implied) => {}
                None => {
                    self.bytes += folder.len() as u64;
                    self.nodes.insert(folder.to_owned(), Node::Implied);
                }
            }
        }
        match (self.nodes.get(name.as_str()), kind) {
            (None, _) | (Some(Node::Implied), EntryKind::Folder) => {}
            (Some(Node::Implied), EntryKind::File) => return refuse(Problem::FileWithEntries),
            (Some(Node::File | Node::Folder), _) => return refuse(Problem::Duplicate),
        }
        let node = if kind == EntryKind::File { Node::File } else { Node::Folder };
        if self.nodes.insert(name.as_str().to_owned(), node).is_none() {
            self.bytes += name.as_str().len() as u64;
        }
        if self.bytes > limits.tree_bytes {
            return refuse(Problem::TooMuchTree("all names together are longer than those of any cache"));
        }
        Ok(())
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

    /// Read what nobody wanted, since its size and checksum count all the same.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    fn end(&self) -> io::Result<usize> {
        let (declared, found) = (self.declared, self.found);
        if found < declared {
            return Err(Problem::TooShort { declared, found }.into());
        }
        match &self.checksum {
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
        let length = self.inner.read(buffer)?;
        if length == 0 {
            return self.end();
        }
        self.found = self.found.saturating_add(length as u64);
        if self.found > self.declared {
            return Err(Problem::TooLong { declared: self.declared }.into());
        }
        if let Some((_, crc)) = &mut self.checksum {
            crc.update(&buffer[..length]);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_all(entries: &[(&str, EntryKind)]) -> Result<(), String> {
        let (mut tree, limits) = (Tree::default(), Limits { entries: 4, ..Limits::default() });
        for (name, kind) in entries {
            let name = EntryName::parse(name.as_bytes(), 100).unwrap();
            tree.add(&name, *kind, &limits).map_err(|fault| format!("{}: {}", fault.entry.unwrap(), fault.problem))?;
        }
        Ok(())
    }

    #[test]
    fn entries_form_a_tree_in_whatever_order_they_come() {
        use EntryKind::{File, Folder};
        assert_eq!(add_all(&[("a/b", File), ("a", Folder), ("a/c", Folder)]), Ok(()));
        for (entries, complaint) in [
            (&[("a", File), ("a", File)][..], "a: there are two entries of this name"),
            (&[("a", Folder), ("a", File)], "a: there are two entries of this name"),
            (&[("a", File), ("a/b", File)], "a/b: it lies below `a`, which is a file"),
            (&[("a/b/c", File), ("a/b", File)], "a/b: it is a file, but other entries lie below it"),
            (&[("a", File), ("b", File), ("c", File), ("d", File), ("e", File)], "e: there are more than 4 entries"),
        ] {
            assert_eq!(add_all(entries), Err(complaint.to_owned()));
        }
    }

    #[test]
    fn names_take_no_more_memory_than_a_caches_would() {
        let mut tree = Tree::default();
        let limits = Limits { depth: 2, tree_bytes: 10, ..Limits::default() };
        let mut add = |name: &str| {
            let name = EntryName::parse(name.as_bytes(), 100).unwrap();
            tree.add(&name, EntryKind::File, &limits).map_err(|fault| fault.problem.to_string())
        };
        assert!(add("a/b/c/d").unwrap_err().contains("more folders"));
        // Two folders and a file: 1, 3 and 5 bytes. A folder that is known takes no more.
        assert_eq!(add("a/b/c"), Ok(()));
        assert!(add("a/b/d").unwrap_err().contains("all names together"));
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
