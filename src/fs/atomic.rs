//! Files that appear whole or not at all: a temporary file, then its name.

use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::Path;

use super::kind::{named, remove};
use fs_err as fs;

/// The mode of every file that larder publishes, whatever a temporary file's was: other users of a shared runner, and the
/// archiver, must be able to read it.
pub(crate) const PUBLISHED_MODE: u32 = 0o644;

/// How the names of temporary files begin.
pub(crate) const TEMPORARY_PREFIX: &str = "partial-";

/// A file that has no name yet, in a folder on the same file system as its destination.
pub(crate) fn temporary_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    builder.permissions(PermissionsExt::from_mode(PUBLISHED_MODE));
    builder.tempfile_in(folder).map_err(named(folder))
}

/// Write a whole file under its name, or nothing. `staging` is a folder on the same file system, often not the file's own,
/// where a leftover would count as part of a cache.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], staging: &Path) -> io::Result<()> {
    let mut file = temporary_file(staging)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(named(path))?;
    publish(file.into_temp_path(), path)
}

/// Give a finished temporary file its name.
pub(crate) fn publish(file: tempfile::TempPath, path: &Path) -> io::Result<()> {
    file.persist(path).map_err(|failed| named(path)(failed.error))
}

/// Open or make a file that only this program writes, for reading and writing. What is not a regular file with a single name is
/// replaced: through a link, symbolic or hard, any file could be overwritten.
pub(crate) fn open_own_file(path: &Path) -> io::Result<std::fs::File> {
    let is_own = match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_file() && meta.nlink() == 1,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    if !is_own {
        remove(path)?;
    }
    let mut options = std::fs::File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).mode(PUBLISHED_MODE);
    options.open(path).map_err(named(path))
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
}
