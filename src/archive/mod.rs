//! Archives of the runner: `cache.zip`, which is a zip archive or a tar archive compressed with zstd.
//!
//! An archive may come from anybody with push rights, so reading it is a matter of refusing. [`read()`] hands out entries
//! with a name that was parsed, a size that is kept, and no other kind than file and folder; at the first thing that no
//! runner writes, it stops and names the entry. It writes nothing itself: what an entry may become is up to the caller,
//! who must not show any of it before [`read()`] returned, since a tar archive can turn bad at its very end.
//!
//! [`Writer`] writes what the runner's archiver writes: paths relative to the project folder, folders with a `/`, modes,
//! times and owners. The same tree gives the same bytes.

mod entry;
mod entry_name;
mod error;
mod fields;
mod limits;
mod tar;
#[cfg(test)]
mod tests;
mod write;
mod zip;
mod zip_records;

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::Path;

pub use entry::{Entry, EntryKind};
pub use entry_name::EntryName;
pub use error::{ArchiveError, Problem};
pub use limits::Limits;
pub use write::{Metadata, Writer};

use error::Fault;

/// Look at every entry of the archive. `visit` gets each with its data, of which it may read as much as it likes: the rest
/// is read, and checked, after it.
pub fn read(
    path: &Path,
    limits: &Limits,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Problem>,
) -> Result<(), ArchiveError> {
    let open = || {
        let file = std::fs::File::open(path)?;
        // Also a pipe can be opened, but not read twice.
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    };
    let mut file = open().map_err(|source| ArchiveError::Io { path: path.to_owned(), what: "read", source })?;
    match read_from(&mut file, limits, visit) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ArchiveError::Unknown { path: path.to_owned() }),
        Err(fault) => Err(fault.in_archive(path)),
    }
}

/// As [`read()`]; `false` where it is no archive at all.
fn read_from<R: Read + Seek>(
    source: &mut R,
    limits: &Limits,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Problem>,
) -> Result<bool, Fault> {
    let mut magic = Vec::new();
    source.by_ref().take(4).read_to_end(&mut magic)?;
    match magic[..] {
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let length = source.seek(SeekFrom::End(0))?;
            source.seek(SeekFrom::Start(0))?;
            tar::read(source, length, limits, visit)?;
        }
        // The first entry, or the end of an archive without any.
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => zip::read(source, limits, visit)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// A decoder that takes no more memory than the limits say.
fn zstd_decoder<'a, R: BufRead>(source: R, limits: &Limits) -> io::Result<zstd::stream::read::Decoder<'a, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
    decoder.window_log_max(limits.zstd_window_log)?;
    Ok(decoder)
}
