//! Archives of the runner: `cache.zip`, which is a zip archive or a tar archive compressed with zstd.
//!
//! Every account with push rights can write such an archive. [`read()`] goes through it entry by entry, keeps nothing of an entry
//! once the next one is read, and stops at the first thing that no runner writes. Three rules make that safe:
//!
//! - no name becomes a path: a name is a parsed text that the caller compares with the names it knows;
//! - data is no longer than its header says, and all of it together no larger than [`Limits`] allow for so many archived bytes;
//! - what is right is decided by the caller from the data alone, by its sha256. So two entries of one name, entries that share
//!   their data, or a header that disagrees with the directory can bring in nothing that is wrong.
//!
//! [`Writer`] writes what the runner's archiver writes: paths relative to the project folder, folders with a `/`, modes,
//! times and owners. The same tree gives the same bytes.

mod entry;
mod entry_name;
mod error;
mod limits;
mod tar;
#[cfg(test)]
mod tests;
mod write;
mod zip;

use std::io::{self, Read, Seek};
use std::path::Path;

pub(crate) use entry::{Entry, EntryKind};
use entry::{Intake, Visit};
pub use error::ArchiveError;
pub(crate) use error::{Problem, Stop};
pub(crate) use limits::Limits;
pub(crate) use write::{Metadata, Writer};

pub(crate) use ::zip::CompressionMethod;

/// Look at every entry of the archive.
pub(crate) fn read<E: From<ArchiveError>>(path: &Path, limits: &Limits, visit: Visit<'_, E>) -> Result<(), E> {
    let open = || {
        let file = std::fs::File::open(path)?;
        // Also a pipe can be opened, but not read twice.
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    };
    let mut file = open().map_err(|source| ArchiveError::Io { path: path.to_owned(), what: "read", source })?;
    match read_from(&mut file, limits, visit) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ArchiveError::Unknown { path: path.to_owned() }.into()),
        Err(Stop::Refused(refusal)) => Err(ArchiveError::Refused { path: path.to_owned(), refusal }.into()),
        Err(Stop::Caller(error)) => Err(error),
    }
}

/// As [`read()`]; `false` where it is no archive at all.
fn read_from<R: Read + Seek, E>(source: &mut R, limits: &Limits, visit: Visit<'_, E>) -> Result<bool, Stop<E>> {
    let mut magic = Vec::new();
    source.by_ref().take(4).read_to_end(&mut magic)?;
    let archived = source.seek(io::SeekFrom::End(0))?;
    source.rewind()?;
    let mut intake = Intake::new(limits, visit);
    let result = match magic[..] {
        [0x28, 0xb5, 0x2f, 0xfd] => tar::read(source, archived, &mut intake),
        // The first entry, or the end of an archive without any.
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => zip::read(source, archived, &mut intake),
        _ => return Ok(false),
    };
    result.map_err(|stop| stop.at(intake.last)).map(|()| true)
}
