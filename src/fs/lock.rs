//! Advisory locks on files. One ends with the process that holds it, however that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::kind::named;

/// How often a lock that another process holds is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// Who else may hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exclusion {
    /// Others that also share.
    Shared,
    /// No other.
    Exclusive,
}

/// A lock that is held until it is dropped.
///
/// Where no lock can be had at all (a read-only volume, a network file system without locks) there is a `Lock` without one: what
/// is read is verified all the same, and nothing can be removed there.
#[derive(Debug)]
pub(crate) struct Lock(Option<File>);

impl Lock {
    /// Take the lock that the file at `path` stands for, and make that file where there is none. While another process holds the
    /// lock, `keep_waiting` is asked before each pause; `None` where it said no.
    pub(crate) fn take(
        path: &Path,
        exclusion: Exclusion,
        keep_waiting: impl FnMut() -> bool,
    ) -> io::Result<Option<Self>> {
        let opened = path.parent().map_or(Ok(()), fs_err::create_dir_all).and_then(|()| open_lock_file(path));
        match opened {
            Ok(file) => Self::of(file, exclusion, keep_waiting),
            Err(error) if is_read_only(&error) => Ok(Some(Self(None))),
            Err(error) => Err(error),
        }
    }

    /// The same for a file that is open.
    pub(crate) fn of(
        file: File,
        exclusion: Exclusion,
        mut keep_waiting: impl FnMut() -> bool,
    ) -> io::Result<Option<Self>> {
        loop {
            let attempt = match exclusion {
                Exclusion::Shared => file.try_lock_shared(),
                Exclusion::Exclusive => file.try_lock(),
            };
            match attempt {
                Ok(()) => return Ok(Some(Self(Some(file)))),
                Err(TryLockError::WouldBlock) if keep_waiting() => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(Some(Self(None))),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The locked file; `None` where no lock could be had.
    pub(crate) fn file(&self) -> Option<&File> {
        self.0.as_ref()
    }
}

/// Wait for ever; `on_wait` is called once, if there is anything to wait for.
pub(crate) fn patiently(on_wait: impl FnOnce()) -> impl FnMut() -> bool {
    let mut on_wait = Some(on_wait);
    move || {
        if let Some(tell) = on_wait.take() {
            tell();
        }
        true
    }
}

/// Open or make a lock file. A link in its place could have any file created anywhere, so none is followed.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.read(true).append(true).create(true);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path).map_err(named(path))
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
    use super::*;

    #[test]
    fn sharers_go_together_and_an_exclusive_holder_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared.lock");
        let take = |exclusion| Lock::take(&path, exclusion, || false).unwrap();
        let one = take(Exclusion::Shared).unwrap();
        let two = take(Exclusion::Shared).unwrap();
        assert!(take(Exclusion::Exclusive).is_none());
        drop((one, two));
        assert!(take(Exclusion::Exclusive).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("victim");
        let path = folder.path().join("shared.lock");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(Lock::take(&path, Exclusion::Shared, || true).is_err());
        assert!(!target.exists());
    }
}
