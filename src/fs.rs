//! Writing files so that a reader, or a run that is killed, never sees half of one; and looking at folders that may be
//! hostile without following a link.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

/// The mode of every file that larder publishes, whatever a temporary file's was: other users of a shared runner, and the
/// archiver, must be able to read it.
#[cfg(unix)]
pub(crate) const PUBLISHED_MODE: u32 = 0o644;

/// What lies at a path, seen without following a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Missing,
    /// A folder.
    Folder,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link, a device, a socket or a pipe: in a folder of ours, somebody else's doing.
    Other,
}

/// Look at a path without following a link in its last part.
pub fn kind(path: &Path) -> io::Result<Kind> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(Kind::Folder),
        Ok(meta) if meta.is_file() => Ok(Kind::File(meta.len())),
        Ok(_) => Ok(Kind::Other),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Kind::Missing)
        }
        Err(error) => Err(error),
    }
}

/// `/a/./b/../c` → `/a/c`, without asking the file system: what is there may not exist yet, and Spack does not look for links
/// either.
pub fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Remove whatever is at a path, without following a link.
pub fn remove(path: &Path) -> io::Result<()> {
    match kind(path)? {
        Kind::Missing => Ok(()),
        Kind::Folder => fs::remove_dir_all(path),
        Kind::File(_) | Kind::Other => fs::remove_file(path),
    }
}

/// A file that has no name yet, in a folder on the same file system as its destination.
pub fn temporary_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("partial-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(PUBLISHED_MODE));
    builder.tempfile_in(folder).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
}

/// Write a whole file under its name, or nothing. `staging` is a folder on the same file system, often not the file's own,
/// where a leftover would count as part of a cache.
pub fn write_atomically(path: &Path, bytes: &[u8], staging: &Path) -> io::Result<()> {
    let mut file = temporary_file(staging)?;
    file.write_all(bytes)
        .and_then(|()| file.flush())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    publish(file.into_temp_path(), path)
}

/// Give a finished temporary file its name.
pub fn publish(file: tempfile::TempPath, path: &Path) -> io::Result<()> {
    file.persist(path)
        .map_err(|failed| io::Error::new(failed.error.kind(), format!("{}: {}", path.display(), failed.error)))
}

/// Open or make a lock file. A link in its place could have any file created anywhere, so none is followed.
pub fn open_lock_file(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Open or make a file that only this program writes, for reading and writing. What is not a regular file with a single name is
/// replaced: through a link, symbolic or hard, anybody's file could be overwritten.
pub fn open_own_file(path: &Path) -> io::Result<std::fs::File> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let is_own = match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_file() && has_one_name(&meta),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    if !is_own {
        remove(path)?;
    }
    let mut options = std::fs::File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        options.mode(PUBLISHED_MODE);
    }
    options.open(path).map_err(named)
}

#[cfg(unix)]
fn has_one_name(meta: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(meta) == 1
}

#[cfg(not(unix))]
fn has_one_name(_: &std::fs::Metadata) -> bool {
    true
}

/// Read a file that may be hostile: a regular file, not a link, of at most `limit` bytes, so that neither a pipe can hang
/// the run nor a huge file fill the memory. `None` where there is no such file.
pub fn read_capped(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_with_the_mode_that_others_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_atomically(&path, b"one", folder.path()).unwrap();
        write_atomically(&path, b"two", folder.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, PUBLISHED_MODE);
        }
    }

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
        assert!(read_capped(&folder.path().join("none"), 9).unwrap().is_none());
    }
}
