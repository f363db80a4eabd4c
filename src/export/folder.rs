//! The folder itself: whose it is, and how files get into it.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{ExportError, ExportRecord};
use crate::fs::{Exclusion, Folder, Lock, Obstacle, without_links};
use crate::store::StoredBlob;
use crate::types::MirrorPath;
use crate::verified::{BlobError, Expected, receive_blob, verify_reader};

/// Unfinished files: on the file system of the export, where they can be renamed.
const PARTIAL: &str = ".larder-partial";

/// The most bytes that are read of a file that larder wrote itself, other than a blob.
const MAX_BYTES: u64 = 256 << 20;

/// A folder that is an export or becomes one.
#[derive(Debug)]
pub struct ExportFolder {
    folder: Folder,
    /// What it holds.
    pub record: ExportRecord,
    _lock: Option<Lock>,
}

impl ExportFolder {
    /// Look at a folder, and refuse one that holds other files, or lies in one of `own`, which larder keeps itself. Changes
    /// nothing.
    pub fn check(root: &Path, own: impl Iterator<Item = PathBuf>) -> Result<(), ExportError> {
        Self::look_into(root)?;
        let root_itself = without_links(root);
        match own.into_iter().find(|inside| root_itself.starts_with(without_links(inside))) {
            Some(inside) => Err(ExportError::InsideOwn { path: root.to_owned(), inside }),
            None => Ok(()),
        }
    }

    /// Make the folder, mark it as larder's, and clear what a killed run left.
    pub fn enter(root: &Path) -> Result<Self, ExportError> {
        let failed = ExportError::io("make the folder");
        Self::look_into(root)?;
        fs::create_dir_all(root).map_err(&failed)?;
        let root = fs::canonicalize(root).map_err(&failed)?;
        // Not every system and file system locks folders. Without the lock the worst is that two runs copy the same.
        let lock = std::fs::File::open(&root).and_then(|file| Lock::of(file, Exclusion::Exclusive, || false));
        if let Ok(None) = lock {
            return Err(ExportError::Busy { path: root });
        }
        let folder = Self { record: Self::look_into(&root)?, folder: Folder::at(&root), _lock: lock.ok().flatten() };
        crate::fs::remove(&folder.partial()).and_then(|()| fs::create_dir(folder.partial())).map_err(&failed)?;
        folder.write_record()?;
        Ok(folder)
    }

    /// What it holds. A folder with files in it that is no export is refused.
    fn look_into(root: &Path) -> Result<ExportRecord, ExportError> {
        // The folder itself may be named through a link, as `/mnt/stick` often is.
        match fs::metadata(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ExportRecord::default()),
            Err(source) => return Err(ExportError::io("look at the folder")(source)),
            Ok(meta) if !meta.is_dir() => return Err(ExportError::NotAFolder { path: root.to_owned() }),
            Ok(_) => {}
        }
        let failed = ExportError::io("look into the folder");
        let path = root.join(ExportRecord::FILE_NAME);
        if let Some(text) = crate::fs::read_capped(&path, MAX_BYTES).map_err(&failed)? {
            return ExportRecord::parse(&text).map_err(|reason| ExportError::Mark { path, reason });
        }
        for entry in fs::read_dir(root).map_err(&failed)? {
            // A run that was killed at the very beginning leaves this.
            if entry.map_err(&failed)?.file_name() != PARTIAL {
                return Err(ExportError::Foreign { path: root.to_owned() });
            }
        }
        Ok(ExportRecord::default())
    }

    /// Write the mark, with what the folder holds by now.
    pub fn write_record(&self) -> Result<(), ExportError> {
        self.write(&MirrorPath::new([ExportRecord::FILE_NAME]), &self.record.to_json())
    }

    /// Nothing is unfinished any more.
    pub fn leave(self) -> Result<(), ExportError> {
        crate::fs::remove(&self.partial()).map_err(ExportError::io("remove unfinished files"))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.root()
    }

    /// Where a file lies, and its size, if it is a regular file.
    pub(super) fn locate(&self, path: &MirrorPath) -> Option<(PathBuf, u64)> {
        Some((self.folder.path_of(path), self.folder.size_of(path)?))
    }

    /// The size of the regular file at a path, unread.
    pub fn size_of(&self, path: &MirrorPath) -> Option<u64> {
        self.folder.size_of(path)
    }

    /// The size of a blob that is there and right: read to its end. Anything else does not count as there.
    pub fn holds(&self, path: &MirrorPath, expected: Expected, on_bytes: &dyn Fn(usize)) -> Option<u64> {
        let file = self.folder.open(path).ok()??;
        verify_reader(file, expected, on_bytes).ok().map(|verified| verified.bytes())
    }

    /// Copy a blob, hashing it on the way. It has a name only once it is right.
    ///
    /// The bytes are copied even where a hard link were possible: it would share the file with the cache, and a
    /// change to the one would be a change to the other.
    pub fn copy(
        &self,
        blob: &StoredBlob,
        expected: Expected,
        path: &MirrorPath,
        on_bytes: &dyn Fn(usize),
    ) -> Result<(), ExportError> {
        let copy = || -> Result<_, BlobError> {
            receive_blob(fs::File::open(blob.path())?, expected, &self.partial(), on_bytes)
        };
        let copied = copy().map_err(|error| match error {
            BlobError::Mismatch(mismatch) => {
                ExportError::Changed { path: blob.path().to_owned(), reason: mismatch.to_string() }
            }
            BlobError::Io(source) => self.failed("write", path)(source),
        })?;
        let place = self.make_place(path)?;
        crate::fs::publish(copied.into_file(), &place).map_err(self.failed("write", path))
    }

    /// Write a small file, unless it is there with these very bytes.
    pub fn write(&self, path: &MirrorPath, bytes: &[u8]) -> Result<(), ExportError> {
        if self.read(path).is_some_and(|found| found == bytes) {
            return Ok(());
        }
        let place = self.make_place(path)?;
        crate::fs::write_atomically(&place, bytes, &self.partial()).map_err(self.failed("write", path))
    }

    /// A small file, or `None` where there is nothing that can be read.
    pub(super) fn read(&self, path: &MirrorPath) -> Option<Vec<u8>> {
        self.folder.read(path, MAX_BYTES).ok().flatten()
    }

    /// Remove a file.
    pub(super) fn remove(&self, path: &MirrorPath) -> Result<(), ExportError> {
        self.folder.remove(path).map(drop).map_err(self.failed("remove", path))
    }

    fn partial(&self) -> PathBuf {
        self.root().join(PARTIAL)
    }

    /// Make the folders above a file. The export may have been anywhere: a link in it could lead what is written anywhere else.
    fn make_place(&self, path: &MirrorPath) -> Result<PathBuf, ExportError> {
        self.folder.make_place(path, Obstacle::Refuse).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory => ExportError::Link { path: error.to_string().into() },
            _ => self.failed("make", path)(error),
        })
    }

    fn failed(&self, verb: &str, path: &MirrorPath) -> impl Fn(io::Error) -> ExportError + use<> {
        ExportError::io(format!("{verb} `{}`", self.folder.path_of(path).display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_folder_or_an_earlier_export_is_entered() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("out");
        ExportFolder::enter(&root).unwrap().leave().unwrap();
        ExportFolder::enter(&root).unwrap();
        assert!(root.join(PARTIAL).exists());
        fs::remove_file(root.join(ExportRecord::FILE_NAME)).unwrap();
        ExportFolder::enter(&root).unwrap();
        fs::remove_file(root.join(ExportRecord::FILE_NAME)).unwrap();
        fs::write(root.join("thesis.tex"), "x").unwrap();
        assert!(matches!(ExportFolder::enter(&root), Err(ExportError::Foreign { .. })));
        assert!(matches!(ExportFolder::enter(&root.join("thesis.tex")), Err(ExportError::NotAFolder { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_an_export_is_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (scratch.path().join("out"), scratch.path().join("elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        let folder = ExportFolder::enter(&root).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("mirror")).unwrap();
        let path = MirrorPath::new(["mirror", "x"]);
        assert!(matches!(folder.write(&path, b"x"), Err(ExportError::Link { .. })));
        fs::write(elsewhere.join("x"), "x").unwrap();
        assert!(folder.read(&path).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn two_runs_do_not_write_at_once() {
        let scratch = tempfile::tempdir().unwrap();
        let first = ExportFolder::enter(scratch.path()).unwrap();
        assert!(matches!(ExportFolder::enter(scratch.path()), Err(ExportError::Busy { .. })));
        first.leave().unwrap();
        ExportFolder::enter(scratch.path()).unwrap();
    }
}
