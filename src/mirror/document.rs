//! A metadata document between its arrival and its place in a mirror.

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::path::Path;

use fs_err as fs;
use tempfile::TempPath;

/// Documents larger than this wait on disk.
const KEEP_IN_MEMORY: usize = 16 << 10;

/// A metadata document, byte for byte, with its signature where it has one.
#[derive(Debug)]
pub enum Document {
    /// In memory.
    Kept(Vec<u8>),
    /// In a temporary file.
    Spooled(TempPath),
}

impl Document {
    /// Move a large one to a file in `folder`: layout v2 repeats the whole graph in each, and a thousand specs must not fill the
    /// memory.
    pub(crate) fn spool(&mut self, folder: &Path) -> io::Result<()> {
        if let Self::Kept(bytes) = self
            && bytes.len() > KEEP_IN_MEMORY
        {
            let mut file = crate::fs::temporary_file(folder)?;
            file.write_all(bytes)?;
            *self = Self::Spooled(file.into_temp_path());
        }
        Ok(())
    }

    /// The bytes.
    pub(crate) fn read(&self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Kept(bytes) => Ok(bytes.into()),
            Self::Spooled(path) => fs::read(path).map(Cow::Owned),
        }
    }
}
