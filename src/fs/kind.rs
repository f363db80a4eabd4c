//! Looking at what may be hostile, without following a link.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// What lies at a path, seen without following a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Missing,
    /// A folder.
    Folder,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link, a device, a socket or a pipe: larder puts none into a folder.
    Other,
}

impl Kind {
    /// The size of a regular file.
    pub(crate) fn size(self) -> Option<u64> {
        if let Self::File(bytes) = self { Some(bytes) } else { None }
    }
}

/// Look at a path without following a link in its last part.
pub(crate) fn kind(path: &Path) -> io::Result<Kind> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(Kind::Folder),
        Ok(meta) if meta.is_file() => Ok(Kind::File(meta.len())),
        Ok(_) => Ok(Kind::Other),
        Err(error) if is_missing(&error) => Ok(Kind::Missing),
        Err(error) => Err(error),
    }
}

/// Whether a path leads to nothing.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Puts the path into an error of the system, which does not name it.
pub(crate) fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Remove whatever is at a path, without following a link.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match kind(path)? {
        Kind::Missing => Ok(()),
        Kind::Folder => fs::remove_dir_all(path),
        Kind::File(_) | Kind::Other => fs::remove_file(path),
    }
}

/// The entries of a folder in the order of their names, so that messages and archives do not depend on the file system. None
/// where there is no folder: a link to one is none.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if kind(folder)? != Kind::Folder {
        return Ok(Vec::new());
    }
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
        // Another job may remove what was looked at a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    entries.sort();
    Ok(entries)
}

/// Read a file that may be hostile: a regular file, not a link, of at most `limit` bytes, so that neither a pipe can hang
/// the run nor a huge file fill the memory. `None` where there is no such file.
pub(crate) fn read_capped(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let refuse = |why: &str| Err(io::Error::other(format!("{}: {why}", path.display())));
    match kind(path)? {
        Kind::Missing => Ok(None),
        Kind::File(size) if size > limit => {
            refuse(&format!("is {size} bytes long; at most {limit} are expected of such a file"))
        }
        Kind::File(_) => fs::read(path).map(Some),
        Kind::Folder | Kind::Other => refuse("is not a regular file"),
    }
}

/// A path with the links of its existing part resolved. Nothing at its end has to exist.
pub(crate) fn without_links(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
    let (part, real) = existing.unwrap_or((path, path.to_owned()));
    match path.strip_prefix(part) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

/// Read a file of the user's, which may be a link to another place. Otherwise like [`read_capped`].
pub(crate) fn read_linked(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::canonicalize(path) {
        Ok(real) => read_capped(&real, limit),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_pipes_and_long_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_capped(&file, 5).unwrap().unwrap(), b"12345");
        assert!(read_capped(&file, 4).unwrap_err().to_string().contains("5 bytes"));
        assert!(read_capped(&link, 9).is_err());
        assert_eq!(read_linked(&link, 5).unwrap().unwrap(), b"12345");
        assert!(read_linked(&link, 4).is_err() && read_linked(folder.path(), 9).is_err());
        assert!(read_linked(&folder.path().join("none"), 9).unwrap().is_none());
        assert!(read_capped(&folder.path().join("none"), 9).unwrap().is_none());
    }
}
