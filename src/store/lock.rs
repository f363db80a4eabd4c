//! One lock per cache, so that jobs of one host can share a folder.
//!
//! Everything that adds blobs holds it shared: blobs appear by renaming, so any number of jobs may add at once. Pruning holds
//! it exclusively: a blob that another job just validated must not vanish before that job has
//! linked it. The lock lies beside the cache folder, never in it: a lock file in it would make the runner upload again.
//!
//! The lock ends with the process, however that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Who else may hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// Others that also share.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct CacheLock {
    _file: Option<File>,
}

impl CacheLock {
    /// Take the lock of the cache at `root`, waiting for it; `on_wait` is called once if that takes a while.
    ///
    /// Where no lock can be had at all (a read-only volume, a network file system without locks) there is none: such a
    /// cache can be read safely, since everything read is verified and nothing can be removed.
    pub fn acquire(root: &Path, exclusion: Exclusion, on_wait: impl FnOnce()) -> io::Result<Self> {
        Self::acquire_file(&beside(root, ".lock"), exclusion, on_wait)
    }

    /// Take the lock of the records alone. It is held for the moment of writing, so that nobody who writes down what it
    /// used has to wait for a job that is still downloading.
    pub(super) fn acquire_records(root: &Path) -> io::Result<Self> {
        Self::acquire_file(&beside(root, ".records.lock"), Exclusion::Exclusive, || ())
    }

    fn acquire_file(path: &Path, exclusion: Exclusion, on_wait: impl FnOnce()) -> io::Result<Self> {
        let Some(file) = open(path)? else { return Ok(Self { _file: None }) };
        match attempt(&file, exclusion) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                on_wait();
                match exclusion {
                    Exclusion::Shared => file.lock_shared()?,
                    Exclusion::Exclusive => file.lock()?,
                }
            }
            Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(Self { _file: None }),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self { _file: Some(file) })
    }

    /// Take the lock exclusively if it can be had within `patience`.
    pub fn acquire_within(root: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let Some(file) = open(&beside(root, ".lock"))? else { return Ok(Some(Self { _file: None })) };
        let deadline = Instant::now() + patience;
        loop {
            match attempt(&file, Exclusion::Exclusive) {
                Ok(()) => return Ok(Some(Self { _file: Some(file) })),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50).min(patience));
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(Some(Self { _file: None })),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// A lock file of the cache at `root`: its name with something behind it.
fn beside(root: &Path, suffix: &str) -> PathBuf {
    let mut path = root.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    if let Some(parent) = path.parent()
        && let Err(error) = fs_err::create_dir_all(parent)
    {
        return if is_read_only(&error) { Ok(None) } else { Err(error) };
    }
    match crate::fs::open_lock_file(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_read_only(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn attempt(file: &File, exclusion: Exclusion) -> Result<(), TryLockError> {
    match exclusion {
        Exclusion::Shared => file.try_lock_shared(),
        Exclusion::Exclusive => file.try_lock(),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error())
}

#[cfg(test)]
mod tests {
    use crate::store::lock::*;

    #[test]
    fn sharers_go_together_and_an_exclusive_holder_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shared");
        let one = CacheLock::acquire(&root, Exclusion::Shared, || panic!("waited")).unwrap();
        let two = CacheLock::acquire(&root, Exclusion::Shared, || panic!("waited")).unwrap();
        assert!(CacheLock::acquire_within(&root, Duration::ZERO).unwrap().is_none());
        drop((one, two));
        assert!(CacheLock::acquire_within(&root, Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn the_lock_lies_beside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shared");
        let _lock = CacheLock::acquire(&root, Exclusion::Exclusive, || ()).unwrap();
        assert!(folder.path().join("shared.lock").is_file());
        assert!(!root.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("victim");
        std::os::unix::fs::symlink(&target, folder.path().join("shared.lock")).unwrap();
        assert!(CacheLock::acquire(&folder.path().join("shared"), Exclusion::Shared, || ()).is_err());
        assert!(!target.exists());
    }
}
