//! The right to download a blob, so that the parallel jobs of one host download it once.
//!
//! Ten jobs of a pipeline that start together on a shared volume would otherwise all fetch the same gigabytes. A job that wants to
//! download a blob claims it, waits while another has the claim, and then looks again whether the blob is there by now. A claim
//! is a locked file in `<cache>.fetching/`, beside the cache folder; it ends with the process, however that ends, and where
//! none can be had (a read-only volume, no locks, a holder that receives nothing) the download goes ahead without: twice the
//! bytes, nothing worse.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::fs::{Exclusion, Lock, TEMPORARY_PREFIX, entries, open_lock_file};
use crate::transport::journal_of;
use crate::types::Sha256Digest;

/// How long the holder of a claim may receive nothing before others stop waiting for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The extension of a blob that is not complete.
const PARTIAL: &str = "partial";

/// How long nothing has been written into a temporary file that belongs to no run any more, at the least.
const SURELY_ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// How often a holder says that it is receiving something.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// A claim on a blob, held until it is dropped.
#[derive(Debug)]
pub(crate) struct DownloadLock {
    /// The lock and its file, where one could be had.
    held: Option<(Lock, PathBuf)>,
    last_sign: Mutex<Instant>,
}

impl DownloadLock {
    /// Claim a blob in the folder of a cache's claims, waiting for a process that has it and gets on with it. Blocks.
    pub(super) fn wait_for(folder: &Path, digest: Sha256Digest) -> Self {
        let path = folder.join(digest.to_string());
        let take = || -> std::io::Result<Option<Lock>> {
            fs::create_dir_all(folder)?;
            let file = open_lock_file(&path)?;
            // The holder writes into the file now and then.
            let seen_by = file.try_clone()?;
            let length = || seen_by.metadata().map(|meta| meta.len()).unwrap_or_default();
            let mut seen: Option<(u64, Instant)> = None;
            Lock::of(file, Exclusion::Exclusive, move || {
                let now = length();
                let (last, since) = *seen.get_or_insert_with(|| {
                    tracing::info!("waiting for another job that is downloading {digest}");
                    (now, Instant::now())
                });
                if now != last {
                    seen = Some((now, Instant::now()));
                } else if since.elapsed() >= PATIENCE {
                    tracing::info!("not waiting any longer for a job that receives nothing of {digest}");
                    return false;
                }
                true
            })
        };
        let lock = take().ok().flatten().filter(|lock| lock.file().is_some());
        Self { held: lock.map(|lock| (lock, path)), last_sign: Mutex::new(Instant::now()) }
    }

    /// Where the blob may grow while it is claimed, for the next claim to go on with: beside the claim. `None` where there is no
    /// claim, and another process may be writing.
    pub(super) fn partial_file(&self) -> Option<PathBuf> {
        self.held.as_ref().map(|(_, path)| path.with_extension(PARTIAL))
    }

    /// Tell processes that wait that bytes are arriving.
    pub(crate) fn sign_of_life(&self) {
        let Some(mut file) = self.held.as_ref().and_then(|(lock, _)| lock.file()) else { return };
        let mut last = self.last_sign.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= SIGN_OF_LIFE {
            *last = Instant::now();
            // A sign that is not seen costs others a download of their own.
            let _ = file.write_all(b".");
        }
    }
}

/// Remove what was left of blobs that no process has been fetching for as long as this.
pub(super) fn remove_leftovers(folder: &Path, unused_for: Duration) -> std::io::Result<()> {
    for path in entries(folder)? {
        let modified = fs::symlink_metadata(&path).and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY_PREFIX)) {
            // No lock tells whether a run still writes it: what a killed run left is known by its age alone.
            if age >= unused_for.max(SURELY_ABANDONED) {
                crate::fs::remove(&path)?;
            }
            continue;
        }
        let partial = path.with_extension(PARTIAL);
        // A claim alone is left where a run was killed after the blob got its name.
        let is_of_a_blob = path == partial || (path.extension().is_none() && !partial.exists());
        let digest = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let (true, Some(digest)) = (is_of_a_blob && age >= unused_for, digest) else { continue };
        let claim_path = folder.join(Sha256Digest::to_string(&digest));
        let claim = open_lock_file(&claim_path).and_then(|file| Lock::of(file, Exclusion::Exclusive, || false));
        let Ok(Some(lock)) = claim else { continue };
        let _claim = DownloadLock { held: Some((lock, claim_path)), last_sign: Mutex::new(Instant::now()) };
        crate::fs::remove(&partial)?;
        crate::fs::remove(&journal_of(&partial))?;
    }
    // Fails while something is in it.
    let _ = fs::remove_dir(folder);
    Ok(())
}

impl Drop for DownloadLock {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.held {
            // Removed while it is locked. A process that waits for it gets a lock on a file without a name, looks for the blob,
            // and finds it; one that comes later makes a new file.
            let _ = fs::remove_file(path);
            // Fails while others have claims.
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_second_claim_waits_for_the_first_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shared.fetching");
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

    #[test]
    fn a_claim_without_its_process_goes_and_one_that_is_held_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shared.fetching");
        let [left, held] = [[7; 32], [8; 32]].map(Sha256Digest::from_bytes);
        let claim = DownloadLock::wait_for(&root, held);
        fs::write(root.join(left.to_string()), "").unwrap();
        remove_leftovers(&root, Duration::from_secs(3600)).unwrap();
        assert!(root.join(left.to_string()).exists(), "it is not old");
        remove_leftovers(&root, Duration::ZERO).unwrap();
        assert!(!root.join(left.to_string()).exists());
        assert!(root.join(held.to_string()).exists());
        drop(claim);
        assert!(!root.exists());
    }
}
