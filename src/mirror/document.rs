//! A metadata document between its arrival and its place in a mirror.

use std::io::{self, Write as _};
use std::path::Path;

use fs_err as fs;
use tempfile::TempPath;

/// Documents larger than this wait on disk.
const KEEP_IN_MEMORY: usize = 16 << 10;

/// A metadata document, byte for byte. Large ones (layout v2 repeats the whole graph in each) wait on disk, so that a thousand
/// specs do not fill the memory.
#[derive(Debug)]
pub enum Document {
    /// In memory.
    Kept(Vec<u8>),
    /// In a temporary file.
    Spooled(TempPath),
}

impl Document {
    /// Take a document; large ones go to a file in `spool`.
    pub fn new(bytes: Vec<u8>, spool: &Path) -> io::Result<Self> {
        if bytes.len() <= KEEP_IN_MEMORY {
            return Ok(Self::Kept(bytes));
        }
        let mut file = crate::fs::temporary_file(spool)?;
        file.write_all(&bytes)?;
        Ok(Self::Spooled(file.into_temp_path()))
    }

    /// The bytes.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Kept(bytes) => Ok(bytes.clone()),
            Self::Spooled(path) => fs::read(path),
        }
    }
}
