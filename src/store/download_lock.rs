//! The right to download a blob, so that the parallel jobs of one host download it once.
//!
//! Ten jobs of a pipeline that start together on a shared volume would otherwise all fetch the same gigabytes. Who wants to
//! download a blob claims it, waits while somebody else has the claim, and then looks again whether it is there by now. A claim
//! is a locked file in `<cache>.fetching/`, beside the cache folder; it ends with the process, however that ends, and where
//! none can be had (a read-only volume, no locks, a holder that receives nothing) the download goes ahead without: twice the
//! bytes, nothing worse.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::transport::journal_of;
use crate::types::Sha256Digest;

/// How long the holder of a claim may receive nothing before others stop waiting for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The extension of a blob that is not complete.
pub(super) const PARTIAL: &str = "partial";

/// How often a holder says that it is receiving something.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// A claim, held until it is dropped.
#[derive(Debug)]
pub struct DownloadLock {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
    last_sign: Mutex<Instant>,
}

impl DownloadLock {
    /// Claim a blob of the cache at `root`, waiting for whoever has it and gets on with it. Blocks.
    pub(super) fn wait_for(root: &Path, digest: Sha256Digest) -> Self {
        let path = folder_of(root).join(digest.to_string());
        let file = path.parent().map(fs::create_dir_all).and_then(|_| crate::fs::open_lock_file(&path).ok());
        let file = file.filter(|file| is_won(file, digest));
        Self { held: file.map(|file| Held { file, path, last_sign: Mutex::new(Instant::now()) }) }
    }

    /// Where the blob may grow while it is claimed, for the next claim to go on with: beside the claim. `None` where there is no
    /// claim, and somebody else may be writing.
    pub(super) fn partial_file(&self) -> Option<PathBuf> {
        self.held.as_ref().map(|held| held.path.with_extension(PARTIAL))
    }

    /// Tell those who wait that bytes are arriving.
    pub fn sign_of_life(&self) {
        let Some(held) = &self.held else { return };
        let mut last = held.last_sign.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= SIGN_OF_LIFE {
            *last = Instant::now();
            // A sign that is not seen costs others a download of their own.
            let _ = (&held.file).write_all(b".");
        }
    }
}

/// Where the claims, and the blobs that are not complete, of the cache at `root` lie.
pub(super) fn folder_of(root: &Path) -> PathBuf {
    let mut folder = root.as_os_str().to_owned();
    folder.push(".fetching");
    PathBuf::from(folder)
}

/// Remove what was left of blobs that nobody has been fetching for as long as this.
pub(super) fn remove_leftovers(root: &Path, unused_for: Duration) -> std::io::Result<()> {
    let folder = folder_of(root);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let is_old = |path: &Path| {
            let modified = fs::symlink_metadata(path).and_then(|meta| meta.modified());
            modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= unused_for))
        };
        let is_partial = path.extension().is_some_and(|extension| extension == PARTIAL);
        let digest = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let (true, Some(digest)) = (is_partial && is_old(&path), digest) else { continue };
        let claim_path = folder.join(Sha256Digest::to_string(&digest));
        let Ok(file) = crate::fs::open_lock_file(&claim_path) else { continue };
        if file.try_lock().is_ok() {
            let _claim =
                DownloadLock { held: Some(Held { file, path: claim_path, last_sign: Mutex::new(Instant::now()) }) };
            crate::fs::remove(&path)?;
            crate::fs::remove(&journal_of(&path))?;
        }
    }
    // Fails while something is in it.
    let _ = fs::remove_dir(&folder);
    Ok(())
}

/// Wait for the lock, as long as its holder writes into the file now and then.
fn is_won(file: &File, digest: Sha256Digest) -> bool {
    let length = || file.metadata().map(|meta| meta.len()).unwrap_or_default();
    let (mut seen, mut since) = (length(), Instant::now());
    let mut is_told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::Error(_)) => return false,
            Err(TryLockError::WouldBlock) if since.elapsed() >= PATIENCE => {
                tracing::info!("not waiting any longer for a job that receives nothing of {digest}");
                return false;
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
        }
        if !std::mem::replace(&mut is_told, true) {
            tracing::info!("waiting for another job that is downloading {digest}");
        }
        let now = length();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}

impl Drop for DownloadLock {
    fn drop(&mut self) {
        if let Some(Held { path, .. }) = &self.held {
            // Removed while it is locked. Somebody who waits for it gets a lock on a file without a name, looks for the blob,
            // and finds it; whoever comes later makes a new file.
            let _ = fs::remove_file(path);
            // Fails while others have claims.
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::store::download_lock::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_second_claim_waits_for_the_first_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shared");
        let digest = Sha256Digest::from_bytes([7; 32]);
        let first = DownloadLock::wait_for(&root, digest);
        let released = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _claim = DownloadLock::wait_for(&root, digest);
                released.load(Ordering::SeqCst)
            });
            let _other_blob = DownloadLock::wait_for(&root, Sha256Digest::from_bytes([8; 32]));
            released.store(true, Ordering::SeqCst);
            drop(first);
            assert!(second.join().unwrap());
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
