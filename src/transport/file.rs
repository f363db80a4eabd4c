//! `file://` mirrors: the same checks as on the network, since a shared file system is no more to be trusted.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use url::Url;

use super::error::TransportError;
use crate::types::PublicUrl;
use crate::verified::{BlobError, BlobWriter, Expected, VerifiedBlob, for_each_piece};

/// A file, or `None` where there is none. A mirror whose own folder is missing is checked by the caller, once.
pub(super) fn document(url: &Url, limit: u64) -> Result<Option<Vec<u8>>, TransportError> {
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
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(TransportError::Unreadable { path, source }),
    }
}

/// Copy a file and verify it on the way, on a thread that may block.
pub(super) async fn blob(
    url: &Url,
    expected: Expected,
    staging: &Path,
    advance: &(dyn Fn(usize) + Sync),
) -> Result<VerifiedBlob, TransportError> {
    let (copied, mut arriving) = tokio::sync::mpsc::unbounded_channel();
    let (source, target) = (url.clone(), staging.to_owned());
    let copy = tokio::task::spawn_blocking(move || {
        // Nobody listens any more where the download was given up.
        copy(&source, expected, &target, &|bytes| _ = copied.send(bytes))
    });
    while let Some(bytes) = arriving.recv().await {
        advance(bytes);
    }
    copy.await.unwrap_or_else(|panic| {
        let (url, staging, source) = (PublicUrl::from(url), staging.to_owned(), io::Error::other(panic));
        Err(TransportError::Disk { url, staging, source })
    })
}

fn copy(
    url: &Url,
    expected: Expected,
    staging: &Path,
    advance: &dyn Fn(usize),
) -> Result<VerifiedBlob, TransportError> {
    let path = path_of(url)?;
    let (mut file, _) = open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => TransportError::BlobMissing { url: url.into() },
        _ => TransportError::Unreadable { path: path.clone(), source },
    })?;
    let disk = |source| TransportError::Disk { url: url.into(), staging: staging.to_owned(), source };
    let mut writer = BlobWriter::new(expected, staging).map_err(disk)?;
    let copied = for_each_piece(&mut file, |piece| {
        writer.write(piece)?;
        advance(piece.len());
        Ok(())
    });
    copied.and_then(|()| writer.finish()).map_err(|error| match error {
        BlobError::Mismatch(mismatch) => TransportError::Mismatch { url: url.into(), mismatch },
        BlobError::Io(source) => disk(source),
    })
}

/// Open a regular file: a pipe in its place would hang the run.
fn open(path: &Path) -> io::Result<(fs::File, u64)> {
    let meta = fs::metadata(path)?;
    if meta.is_file() { Ok((fs::File::open(path)?, meta.len())) } else { Err(io::Error::other("not a regular file")) }
}

fn path_of(url: &Url) -> Result<PathBuf, TransportError> {
    url.to_file_path().map_err(|()| TransportError::Unreadable {
        path: PathBuf::from(url.path()),
        source: io::Error::other("not a path on this machine"),
    })
}
