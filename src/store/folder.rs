//! A cache that is a folder: blobs go in verified and come out verified.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, io};

use fs_err as fs;

use super::blob::{Damage, StoredBlob, Validation};
use super::download_lock::{self, DownloadLock};
use super::error::StoreError;
use super::inventory::{Inventory, Key};
use super::records::{self, Records};
use super::scan::scan;
use crate::fs::{Exclusion, Folder, Kind, Lock, Obstacle, entries, kind, patiently};
use crate::report::CacheReport;
use crate::transport::Partial;
use crate::types::{MirrorPath, Sha256Digest};
use crate::verified::{Expected, VerifiedBlob};

/// One cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    name: String,
    folder: Folder,
}

impl Cache {
    /// The cache at `root`. Folders between `project` and `root` must not be links either: an archive could hold one.
    /// Fails for a folder that larder did not make; a missing one is an empty cache.
    pub(crate) fn open(name: &str, root: &Path, project: &Path) -> Result<Self, StoreError> {
        let cache = Self { name: name.to_owned(), folder: Folder::at(root) };
        if let Some(path) = cache.folder.first_link(project).map_err(cache.failed("look"))? {
            return Err(StoreError::NotAFolder { path });
        }
        if cache.is_foreign()? {
            return Err(StoreError::Foreign { path: root.to_owned() });
        }
        Ok(cache)
    }

    /// Its name in the configuration.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }

    /// Take its lock, waiting for it; `on_wait` is called once if that takes a while.
    ///
    /// Everything that adds blobs holds it shared: blobs appear by renaming, so any number of jobs may add at once. Pruning holds
    /// it exclusively: a blob that another job just verified must not vanish before that job has linked it. The lock lies beside
    /// the cache folder, never in it: a lock file in it would make the runner upload again.
    pub(crate) fn lock(&self, exclusion: Exclusion, on_wait: impl FnOnce()) -> Result<Lock, StoreError> {
        let lock = self.lock_while(exclusion, patiently(on_wait))?;
        // A patient wait has no other end.
        lock.ok_or_else(|| self.failed("lock")(io::ErrorKind::TimedOut.into()))
    }

    /// Take it exclusively if it can be had by then.
    pub(crate) fn lock_until(&self, deadline: Instant) -> Result<Option<Lock>, StoreError> {
        self.lock_while(Exclusion::Exclusive, || Instant::now() < deadline)
    }

    fn lock_while(&self, exclusion: Exclusion, keep_waiting: impl FnMut() -> bool) -> Result<Option<Lock>, StoreError> {
        Lock::take(&self.beside(".lock"), exclusion, keep_waiting).map_err(self.failed("lock"))
    }

    /// The lock of the records alone. It is held for the moment of writing, so that a job that writes down what it used does not
    /// wait for one that is still downloading.
    fn lock_records(&self) -> io::Result<Option<Lock>> {
        Lock::take(&self.beside(".records.lock"), Exclusion::Exclusive, || true)
    }

    /// A path beside the folder: its name with something behind it.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.root().as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    }

    /// Claim a blob that is to be downloaded. Blocks while another job has it.
    pub(crate) fn claim(&self, digest: Sha256Digest) -> DownloadLock {
        DownloadLock::wait_for(&self.fetching(), digest)
    }

    /// What lies under a blob's name, unread. What can't be looked at is no regular file.
    pub(crate) fn look(&self, digest: Sha256Digest) -> Kind {
        self.folder.kind_of(&MirrorPath::of_blob(digest)).unwrap_or(Kind::Other)
    }

    /// The size of the file under a blob's name, unread, or `None` where there is no regular file.
    pub(crate) fn size_of(&self, digest: Sha256Digest) -> Option<u64> {
        self.look(digest).size()
    }

    /// Read a blob once and compare. Changes nothing.
    pub(crate) fn validate(&self, expected: Expected, on_bytes: &dyn Fn(usize)) -> Result<Validation, StoreError> {
        let path = MirrorPath::of_blob(expected.digest);
        let found = self.folder.kind_of(&path).map_err(self.failed("look at a blob"))?;
        StoredBlob::validate(&self.folder.path_of(&path), found, expected, on_bytes).map_err(self.failed("read a blob"))
    }

    /// The file of a blob, to be copied elsewhere and hashed there; `None` where there is no regular file.
    pub(crate) fn read(&self, digest: Sha256Digest) -> Result<Option<(fs::File, u64)>, StoreError> {
        let read = || -> io::Result<_> {
            let Some(file) = self.folder.open(&MirrorPath::of_blob(digest))? else { return Ok(None) };
            let bytes = file.metadata()?.len();
            Ok(Some((file, bytes)))
        };
        read().map_err(self.failed("read a blob"))
    }

    /// Give a verified blob its name. The folder is made, and marked as larder's, if this is its first.
    pub(crate) fn insert(&self, blob: VerifiedBlob, staging: &Path) -> Result<StoredBlob, StoreError> {
        let verified = blob.verified();
        let insert = || -> io::Result<PathBuf> {
            self.adopt(staging)?;
            self.folder.publish(blob.into_file(), &MirrorPath::of_blob(verified.digest()), Obstacle::Remove)
        };
        let path = insert().map_err(self.failed("store a blob"))?;
        Ok(StoredBlob::of(verified, path))
    }

    /// Remove what lies under a blob's name. Says whether there was something.
    pub(crate) fn remove(&self, digest: Sha256Digest) -> Result<bool, StoreError> {
        self.folder.remove(&MirrorPath::of_blob(digest)).map_err(self.failed("remove a blob"))
    }

    /// Remove a blob that was found damaged, unless another job has replaced it by now.
    pub(crate) fn remove_damaged(&self, digest: Sha256Digest, damage: &Damage) -> Result<(), StoreError> {
        if damage.is_of(&self.folder.path_of(&MirrorPath::of_blob(digest))) {
            self.remove(digest)?;
        }
        Ok(())
    }

    /// Remove all blobs and records. The folder goes as well unless something that is not larder's is in it.
    pub(crate) fn empty(&self) -> Result<(), StoreError> {
        for item in self.contents()?.items {
            item.blobs.iter().try_for_each(|blob| self.remove(blob.digest).map(drop))?;
        }
        if self.is_marked() {
            self.folder.remove(&marker()).map_err(self.failed("remove the records"))?;
        }
        for folder in ["blobs/sha256", "blobs", ""] {
            // Fails where it is not empty, or is a link, and then it is to stay.
            let _ = fs::remove_dir(self.root().join(folder));
        }
        self.remove_leftovers(Duration::ZERO)
    }

    /// Whether the folder carries larder's mark. Without it nothing in it is pruned.
    pub(crate) fn is_marked(&self) -> bool {
        self.folder.size_of(&marker()).is_some()
    }

    /// Everything in the folder. The records are not read: whatever they say, this much is there.
    pub(crate) fn contents(&self) -> Result<Inventory, StoreError> {
        scan(&self.folder).map_err(self.failed("list blobs"))
    }

    /// The same with what the records say of it.
    pub(crate) fn inventory(&self) -> Result<Inventory, StoreError> {
        let (records, damaged_records) = self.records()?;
        let mut inventory = Inventory { damaged_records, ..self.contents()? };
        let mut recorded = 0;
        for item in &mut inventory.items {
            let Key::Blob(digest) = item.key else { continue };
            if let Some(record) = records.get(digest) {
                item.describe(record);
                recorded += 1;
            }
        }
        inventory.stale_records = records.len() > recorded;
        Ok(inventory)
    }

    /// A report of it with these contents.
    pub(crate) fn report(&self, contents: &Inventory) -> CacheReport {
        contents.report(&self.name, self.root())
    }

    /// The records, and what is wrong where the file is damaged and counts as empty.
    pub(crate) fn records(&self) -> Result<(Records, Option<String>), StoreError> {
        Records::read(&self.folder.path_of(&marker()))
    }

    /// The key that the records of the cache at this path name. Whatever is wrong with them, there is then none.
    pub(crate) fn key_at(root: &Path) -> Option<String> {
        let (records, _) = Records::read(&Folder::at(root).path_of(&marker())).ok()?;
        records.key().map(str::to_owned)
    }

    /// Change the records. Writes only if there is something new, and says whether it did.
    pub(crate) fn change_records(
        &self,
        staging: &Path,
        change: impl FnOnce(&Records) -> Records,
    ) -> Result<bool, StoreError> {
        let _lock = self.lock_records().map_err(self.failed("lock"))?;
        let (old, damage) = self.records()?;
        let new = change(&old);
        let nothing_to_say = new == Records::default() && kind(self.root()).ok() == Some(Kind::Missing);
        if (new == old && damage.is_none()) || nothing_to_say {
            return Ok(false);
        }
        self.write_records(&new, staging).map_err(self.failed("write the records"))?;
        Ok(true)
    }

    fn write_records(&self, records: &Records, staging: &Path) -> io::Result<()> {
        let place = self.folder.make_place(&marker(), Obstacle::Remove)?;
        crate::fs::write_atomically(&place, &records.to_json(), &self.staging(staging)?)
    }

    /// A folder for unfinished files on the cache's own file system: `preferred` (in the job folder) where possible, else
    /// one beside the cache, since a blob can't be renamed from one file system to another.
    pub(crate) fn staging(&self, preferred: &Path) -> io::Result<PathBuf> {
        let existing = self.root().ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
        if same_file_system(existing, preferred) {
            return Ok(preferred.to_owned());
        }
        // Where the cache is itself a mount point, its parent is on another file system: then there is no way around the
        // inside. Leftovers there are foreign entries, and harmless.
        let folder = match self.root().parent() {
            Some(parent) if same_file_system(existing, parent) => self.beside(".partial"),
            _ => self.root().join(".partial"),
        };
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Where a blob is to grow: in a file that the next run can go on with if it is claimed, else in one without a future.
    pub(crate) fn partial(&self, claim: Option<&DownloadLock>, preferred: &Path) -> Result<Partial, StoreError> {
        let staging = self.staging(preferred).map_err(self.failed("make a folder for unfinished files"))?;
        let kept = claim.and_then(DownloadLock::partial_file);
        let kept = kept.filter(|path| path.parent().is_some_and(|folder| same_file_system(folder, &staging)));
        Ok(kept.map_or(Partial::Scratch(staging), Partial::Kept))
    }

    /// Remove what was left of blobs that no job has been fetching for as long as this.
    pub(crate) fn remove_leftovers(&self, unused_for: Duration) -> Result<(), StoreError> {
        download_lock::remove_leftovers(&self.fetching(), unused_for).map_err(self.failed("remove unfinished blobs"))
    }

    /// Where the download locks, and the blobs that are not complete, lie.
    fn fetching(&self) -> PathBuf {
        self.beside(".fetching")
    }

    /// Mark the folder as larder's before the first blob is in it: a run that is killed leaves a cache, not a foreign folder.
    fn adopt(&self, staging: &Path) -> io::Result<()> {
        if self.is_marked() {
            return Ok(());
        }
        // Looked at again under the lock: another job may have marked it, and recorded something, in the meantime.
        let _lock = self.lock_records()?;
        if self.is_marked() { Ok(()) } else { self.write_records(&Records::default(), staging) }
    }

    /// Whether the folder is another program's. One without marker still is larder's if it holds nothing but `blobs/`: an archive
    /// that was restored only half-way. Pruning removes nothing but files that are named as blobs are.
    fn is_foreign(&self) -> Result<bool, StoreError> {
        let entries = entries(self.root()).map_err(self.failed("look"))?;
        let names = || entries.iter().map(|path| path.file_name().and_then(|name| name.to_str()));
        let is_marked = names().any(|name| name == Some(records::FILE_NAME));
        Ok(!is_marked && !names().all(|name| matches!(name, Some("blobs" | ".partial"))))
    }

    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> StoreError + '_ {
        move |source| StoreError::Io { store: self.to_string(), what, source }
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cache `{}`", self.name)
    }
}

/// The records, whose file is larder's mark.
fn marker() -> MirrorPath {
    MirrorPath::new([records::FILE_NAME])
}

fn same_file_system(a: &Path, b: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|meta| MetadataExt::dev(&meta)).ok();
    device(a) == device(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verified::Size;
    use crate::verified::receive_blob;
    use sha2::{Digest as _, Sha256};

    struct Fixture {
        folder: tempfile::TempDir,
        cache: Cache,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("partial")).unwrap();
        let cache = Cache::open("shared", &folder.path().join("shared"), folder.path()).unwrap();
        Fixture { folder, cache }
    }

    fn promise(bytes: &[u8]) -> Expected {
        let digest = Sha256Digest::from_bytes(Sha256::digest(bytes).into());
        Expected { digest, size: Size::Exactly(bytes.len() as u64) }
    }

    impl Fixture {
        fn staging(&self) -> PathBuf {
            self.folder.path().join("partial")
        }

        fn insert(&self, bytes: &[u8]) -> StoredBlob {
            let blob = receive_blob(bytes, promise(bytes), &self.staging(), &|_| {}).unwrap();
            self.cache.insert(blob, &self.staging()).unwrap()
        }

        fn validate(&self, bytes: &[u8]) -> Validation {
            self.cache.validate(promise(bytes), &|_| {}).unwrap()
        }
    }

    #[test]
    fn what_went_in_comes_out_and_nothing_is_left_beside_it() {
        let fixture = fixture();
        fixture.insert(b"one");
        assert!(matches!(fixture.validate(b"one"), Validation::Intact(_)));
        assert!(matches!(fixture.validate(b"two"), Validation::Missing));
        let contents = fixture.cache.contents().unwrap();
        assert_eq!((contents.items.len(), contents.foreign.len()), (1, 0));
        assert_eq!(fs::read_dir(fixture.staging()).unwrap().count(), 0);
    }

    #[test]
    fn a_changed_byte_is_noticed_and_a_removed_blob_leaves_no_empty_folder() {
        let fixture = fixture();
        let blob = fixture.insert(b"one");
        fs::write(blob.path(), b"0ne").unwrap();
        assert!(matches!(fixture.validate(b"one"), Validation::Corrupt(_)));
        assert!(fixture.cache.remove(blob.digest()).unwrap());
        assert!(!fixture.cache.remove(blob.digest()).unwrap());
        assert!(!blob.path().parent().unwrap().exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_a_blob_or_a_folder_is_neither_read_nor_followed() {
        use std::os::unix::fs::symlink;
        let fixture = fixture();
        let blob = fixture.insert(b"one");
        let outside = fixture.folder.path().join("outside");
        fs::write(&outside, b"one").unwrap();
        fs::remove_file(blob.path()).unwrap();
        symlink(&outside, blob.path()).unwrap();
        assert!(matches!(fixture.validate(b"one"), Validation::Corrupt(_)));
        fixture.insert(b"one");
        assert!(matches!(fixture.validate(b"one"), Validation::Intact(_)));
        assert_eq!(fs::read(&outside).unwrap(), b"one");

        let shard = blob.path().parent().unwrap();
        let elsewhere = fixture.folder.path().join("elsewhere");
        fs::rename(shard, &elsewhere).unwrap();
        symlink(&elsewhere, shard).unwrap();
        assert!(matches!(fixture.validate(b"one"), Validation::Missing));
        assert_eq!(fixture.cache.contents().unwrap().foreign, [shard]);
        fixture.insert(b"one");
        assert!(fs::symlink_metadata(shard).unwrap().is_dir());
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_cache_behind_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("real/shared")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        let error = Cache::open("shared", &folder.path().join("link/shared"), folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::NotAFolder { path } if path.ends_with("link")));
    }

    #[test]
    fn a_foreign_folder_is_refused_and_half_a_restored_cache_is_not() {
        let fixture = fixture();
        let blob = fixture.insert(b"one");
        let root = fixture.cache.root().to_owned();
        fs::remove_file(root.join("larder.json")).unwrap();
        assert!(Cache::open("shared", &root, fixture.folder.path()).is_ok());
        fs::write(root.join("thesis.tex"), b"").unwrap();
        assert!(matches!(Cache::open("shared", &root, fixture.folder.path()), Err(StoreError::Foreign { .. })));
        assert!(blob.path().exists());
    }

    #[test]
    fn damaged_records_count_as_none_and_those_of_the_future_stop_the_run() {
        let fixture = fixture();
        fixture.insert(b"one");
        let path = fixture.cache.root().join("larder.json");
        fs::write(&path, b"{").unwrap();
        let (records, damage) = fixture.cache.records().unwrap();
        assert_eq!(records, Records::default());
        assert!(damage.unwrap().contains("larder.json"));
        fs::write(&path, br#"{"version": 2, "news": []}"#).unwrap();
        assert!(matches!(fixture.cache.records(), Err(StoreError::Format { found: 2, .. })));
    }
}
