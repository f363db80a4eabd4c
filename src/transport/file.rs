//! `file://` mirrors: the same checks as on the network, since a shared file system is no more to be trusted.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use url::Url;

use super::error::{Result, TransportError};
use crate::fs::is_missing;
use crate::verified::{Expected, VerifiedBlob, receive_blob};

/// A file, or `None` where there is none. A mirror whose own folder is missing is checked by the caller, once.
pub(super) fn document(url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
    let path = path_of(url)?;
    // Reading a small file blocks for less time than handing it to another thread would take.
    match open(&path) {
        Ok((_, length)) if length > limit => Err(TransportError::DocumentTooLong { url: url.into(), limit }),
        Ok((mut file, length)) => {
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            // The file may grow while it is read.
            let read = io::Read::read_to_end(&mut io::Read::take(&mut file, limit), &mut bytes);
            read.map(|_| Some(bytes)).map_err(|source| TransportError::Unreadable { path, source })
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(source) => Err(TransportError::Unreadable { path, source }),
    }
}

/// Copy a file and verify it on the way. Blocks.
pub(super) fn blob(url: &Url, expected: Expected, staging: &Path, advance: &dyn Fn(usize)) -> Result<VerifiedBlob> {
    let path = path_of(url)?;
    let (file, _) = open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => TransportError::BlobMissing { url: url.into() },
        _ => TransportError::Unreadable { path: path.clone(), source },
    })?;
    receive_blob(file, expected, staging, advance).map_err(|error| TransportError::of_blob(error, url, staging))
}

/// Open a regular file: a pipe in its place would hang the run.
fn open(path: &Path) -> io::Result<(fs::File, u64)> {
    let meta = fs::metadata(path)?;
    if meta.is_file() { Ok((fs::File::open(path)?, meta.len())) } else { Err(io::Error::other("not a regular file")) }
}

fn path_of(url: &Url) -> Result<PathBuf> {
    url.to_file_path().map_err(|()| TransportError::Unreadable {
        path: PathBuf::from(url.path()),
        source: io::Error::other("not a path on this machine"),
    })
}
