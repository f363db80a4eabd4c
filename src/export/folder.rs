//! The folder itself: whose it is, and how files get into it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{ExportError, ExportRecord};
use crate::fs::{Kind, kind};
use crate::store::StoredBlob;
use crate::verified::Expected;
use crate::verified::{BlobError, receive_blob, verify_reader};

/// Unfinished files: on the file system of the export, where they can be renamed.
const PARTIAL: &str = ".larder-partial";
use crate::types::MirrorPath;

/// The most bytes that are read of a file that larder wrote itself, other than a blob.
const MAX_BYTES: u64 = 256 << 20;

/// A folder that is an export or becomes one.
#[derive(Debug)]
pub struct ExportFolder {
    root: PathBuf,
    /// What it holds.
    pub record: ExportRecord,
    _lock: Option<File>,
}

impl ExportFolder {
    /// Look at a folder, and refuse one that is somebody else's. Changes nothing.
    pub fn check(root: &Path) -> Result<ExportRecord, ExportError> {
        // The folder itself may be named through a link, as `/mnt/stick` often is.
        match fs::metadata(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ExportRecord::default()),
            Err(source) => return Err(ExportError::Io { what: "look at the folder".to_owned(), source }),
            Ok(meta) if !meta.is_dir() => return Err(ExportError::NotAFolder { path: root.to_owned() }),
            Ok(_) => {}
        }
        let path = root.join(ExportRecord::FILE_NAME);
        let failed = |source| ExportError::Io { what: "look into the folder".to_owned(), source };
        if let Some(text) = crate::fs::read_capped(&path, MAX_BYTES).map_err(failed)? {
            return ExportRecord::parse(&text).map_err(ExportError::mark(path));
        }
        for entry in fs::read_dir(root).map_err(failed)? {
            // A run that was killed at the very beginning leaves this.
            if entry.map_err(failed)?.file_name() != PARTIAL {
                return Err(ExportError::Foreign { path: root.to_owned() });
            }
        }
        Ok(ExportRecord::default())
    }

    /// Make the folder, mark it as larder's, and clear what a killed run left.
    pub fn enter(root: &Path) -> Result<Self, ExportError> {
        let failed = |source| ExportError::Io { what: "make the folder".to_owned(), source };
        Self::check(root)?;
        fs::create_dir_all(root).map_err(failed)?;
        let root = fs::canonicalize(root).map_err(failed)?;
        let lock = match File::open(&root) {
            // Not every system and file system locks folders. Without the lock the worst is that two runs copy the same.
            Ok(file) => match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(ExportError::Busy { path: root }),
                Ok(()) | Err(TryLockError::Error(_)) => Some(file),
            },
            Err(_) => None,
        };
        let folder = Self { record: Self::check(&root)?, root, _lock: lock };
        let clear = || -> io::Result<()> {
            crate::fs::remove(&folder.partial())?;
            fs::create_dir(folder.partial())
        };
        clear().map_err(failed)?;
        folder.write_record()?;
        Ok(folder)
    }

    /// Write the mark, with what the folder holds by now.
    pub fn write_record(&self) -> Result<(), ExportError> {
        self.write(&MirrorPath::new([ExportRecord::FILE_NAME]), &self.record.to_json()).map(drop)
    }

    /// Nothing is unfinished any more.
    pub fn leave(self) -> Result<(), ExportError> {
        let failed = |source| ExportError::Io { what: "remove unfinished files".to_owned(), source };
        crate::fs::remove(&self.partial()).map_err(failed)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file lies.
    pub fn path_of(&self, path: &MirrorPath) -> PathBuf {
        path.below(&self.root)
    }

    /// The size of a blob that is there and right: read to its end. Anything else does not count as there.
    pub fn holds(&self, path: &MirrorPath, expected: Expected, on_bytes: &dyn Fn(usize)) -> Option<u64> {
        if !matches!(self.kind_of(path), Ok(Kind::File(_))) {
            return None;
        }
        let file = fs::File::open(self.path_of(path)).ok()?;
        verify_reader(file, expected, on_bytes).ok().map(|verified| verified.bytes())
    }

    /// The size of the regular file at a path, unread.
    pub fn size_of(&self, path: &MirrorPath) -> Option<u64> {
        match self.kind_of(path) {
            Ok(Kind::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Copy a blob, hashing it on the way. It has a name only once it is right.
    ///
    /// The bytes are copied even where a hard link were possible: it would share the file with the cache, and whoever changes
    /// the one would change the other.
    pub fn copy(
        &self,
        blob: &StoredBlob,
        expected: Expected,
        path: &MirrorPath,
        on_bytes: &dyn Fn(usize),
    ) -> Result<(), ExportError> {
        let failed = |source| ExportError::Io { what: format!("write `{}`", self.path_of(path).display()), source };
        let copy = || -> Result<_, BlobError> {
            receive_blob(fs::File::open(blob.path())?, expected, &self.partial(), on_bytes)
        };
        let copied = copy().map_err(|error| match error {
            BlobError::Mismatch(mismatch) => {
                ExportError::Changed { path: blob.path().to_owned(), reason: mismatch.to_string() }
            }
            BlobError::Io(source) => failed(source),
        })?;
        let place = self.make_place(path)?;
        crate::fs::publish(copied.into_file(), &place).map_err(failed)
    }

    /// Write a small file, unless it is there with these very bytes. Says whether it was written.
    pub fn write(&self, path: &MirrorPath, bytes: &[u8]) -> Result<bool, ExportError> {
        if self.read(path).is_some_and(|found| found == bytes) {
            return Ok(false);
        }
        let place = self.make_place(path)?;
        let failed = |source| ExportError::Io { what: format!("write `{}`", place.display()), source };
        crate::fs::write_atomically(&place, bytes, &self.partial()).map_err(failed)?;
        Ok(true)
    }

    /// A small file, or `None` where there is nothing that can be read.
    pub fn read(&self, path: &MirrorPath) -> Option<Vec<u8>> {
        self.size_of(path)?;
        crate::fs::read_capped(&self.path_of(path), MAX_BYTES).ok().flatten()
    }

    /// Remove a file.
    pub fn remove(&self, path: &MirrorPath) -> Result<(), ExportError> {
        let failed = |source| ExportError::Io { what: format!("remove `{}`", self.path_of(path).display()), source };
        if self.size_of(path).is_some() { fs::remove_file(self.path_of(path)).map_err(failed) } else { Ok(()) }
    }

    /// The names in a folder of the export; none where there is no folder.
    pub fn names_in(&self, path: &MirrorPath) -> Vec<String> {
        if !matches!(self.kind_of(path), Ok(Kind::Folder)) {
            return Vec::new();
        }
        let entries = fs::read_dir(self.path_of(path)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn partial(&self) -> PathBuf {
        self.root.join(PARTIAL)
    }

    /// What lies at a path, seen without following a link in any part below the export.
    fn kind_of(&self, path: &MirrorPath) -> io::Result<Kind> {
        let mut at = self.root.clone();
        let mut found = Kind::Folder;
        for part in path.parts() {
            if found != Kind::Folder {
                return Ok(Kind::Missing);
            }
            at.push(part);
            found = kind(&at)?;
        }
        Ok(found)
    }

    /// Make the folders above a file. The export may have been anywhere: a link in it could lead what is written anywhere else.
    fn make_place(&self, path: &MirrorPath) -> Result<PathBuf, ExportError> {
        let mut at = self.root.clone();
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            let failed = |source| ExportError::Io { what: format!("make `{}`", at.display()), source };
            let is_folder = parts.peek().is_some();
            match (kind(&at).map_err(failed)?, is_folder) {
                (Kind::Folder, true) | (Kind::File(_) | Kind::Missing, false) => {}
                (Kind::Missing, true) => match fs::create_dir(&at) {
                    // Another thread was faster.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    made => made.map_err(failed)?,
                },
                _ => return Err(ExportError::Link { path: at }),
            }
        }
        Ok(at)
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
