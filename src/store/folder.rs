//! The folder: blobs go in verified and come out verified.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use crate::fs::{Kind, kind};
use crate::store::blob::{Damage, StoredBlob, Validation};
use crate::store::records::{FILE_NAME, FORMAT, MAX_BYTES, RecordChanges, Records};
use crate::store::scan::{Contents, entries, scan};
use crate::store::{CacheError, CacheLock, DownloadLock, Exclusion, download_lock};
use crate::transport::Partial;
use crate::types::{MirrorPath, Sha256Digest};
use crate::verified::{Expected, VerifiedBlob};

/// One cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    name: String,
    root: PathBuf,
    project: PathBuf,
}

/// What a folder is, to larder.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    /// Nobody's: missing or empty.
    Nobody,
    /// larder's.
    Larder,
    /// Somebody else's.
    Foreign,
}

impl Cache {
    /// The cache at `root`. Folders between `project` and `root` must not be links either: an archive could hold one.
    /// Fails for a folder that is somebody else's; a missing one is an empty cache.
    pub fn open(name: &str, root: &Path, project: &Path) -> Result<Self, CacheError> {
        let cache = Self { name: name.to_owned(), root: root.to_owned(), project: project.to_owned() };
        cache.refuse_links()?;
        if cache.owner()? == Owner::Foreign {
            return Err(CacheError::Foreign { path: root.to_owned() });
        }
        Ok(cache)
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Take its lock, waiting for it.
    pub fn lock(&self, exclusion: Exclusion, on_wait: impl FnOnce()) -> Result<CacheLock, CacheError> {
        CacheLock::acquire(&self.root, exclusion, on_wait).map_err(self.failed("lock"))
    }

    /// Claim a blob that is to be downloaded. Blocks while another job has it.
    pub fn claim(&self, digest: Sha256Digest) -> DownloadLock {
        DownloadLock::wait_for(&self.root, digest)
    }

    /// The size of the file under a blob's name, unread, or `None` where there is no regular file.
    pub fn size_of(&self, digest: Sha256Digest) -> Option<u64> {
        match self.kind_of(digest) {
            Ok(Kind::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Read a blob once and compare. Changes nothing.
    pub fn validate(&self, expected: Expected, on_bytes: &dyn Fn(usize)) -> Result<Validation, CacheError> {
        let path = self.path_of(expected.digest);
        match self.kind_of(expected.digest).map_err(self.failed("look at a blob"))? {
            Kind::Missing => Ok(Validation::Missing),
            found => StoredBlob::validate(&path, found, expected, on_bytes).map_err(self.failed("read a blob")),
        }
    }

    /// The file of a blob, to be copied elsewhere by somebody who hashes it; `None` where there is no regular file.
    pub fn read(&self, digest: Sha256Digest) -> Result<Option<(fs::File, u64)>, CacheError> {
        let failed = self.failed("read a blob");
        match self.kind_of(digest).map_err(&failed)? {
            Kind::File(bytes) => Ok(Some((fs::File::open(self.path_of(digest)).map_err(&failed)?, bytes))),
            _ => Ok(None),
        }
    }

    /// Give a verified blob its name. The folder is made, and marked as larder's, if this is its first.
    pub fn insert(&self, blob: VerifiedBlob, staging: &Path) -> Result<StoredBlob, CacheError> {
        let verified = blob.verified();
        let path = self.path_of(verified.digest());
        let insert = || -> io::Result<()> {
            self.adopt(staging)?;
            self.make_folders(verified.digest())?;
            // A file or a link is replaced in one step by the renaming: another job may be using it. Only a folder is in
            // the way.
            if kind(&path)? == Kind::Folder {
                crate::fs::remove(&path)?;
            }
            crate::fs::publish(blob.into_file(), &path)
        };
        insert().map_err(self.failed("store a blob"))?;
        Ok(StoredBlob { digest: verified.digest(), bytes: verified.bytes(), path })
    }

    /// Remove what lies under a blob's name; a link itself, never its target. Says whether there was something.
    pub fn remove(&self, digest: Sha256Digest) -> Result<bool, CacheError> {
        let path = self.path_of(digest);
        let remove = || -> io::Result<bool> {
            if self.kind_of(digest)? == Kind::Missing {
                return Ok(false);
            }
            crate::fs::remove(&path)?;
            // An empty folder would stay in every archive from now on. It may well hold another blob: then this fails.
            let _ = path.parent().map(fs::remove_dir);
            Ok(true)
        };
        remove().map_err(self.failed("remove a blob"))
    }

    /// Remove a blob that was found damaged, unless another job has replaced it by now.
    pub fn remove_damaged(&self, digest: Sha256Digest, damage: &Damage) -> Result<(), CacheError> {
        if damage.is_of(&self.path_of(digest)) {
            self.remove(digest)?;
        }
        Ok(())
    }

    /// Remove all blobs and records. The folder goes as well unless something of somebody else is in it.
    pub fn empty(&self) -> Result<(), CacheError> {
        for blob in self.contents()?.blobs {
            self.remove(blob.digest)?;
        }
        let remove = || -> io::Result<()> {
            if self.is_marked() {
                fs::remove_file(self.root.join(FILE_NAME))?;
            }
            for folder in ["blobs/sha256", "blobs", ""] {
                // Fails where it is not empty, and then it is to stay.
                let _ = fs::remove_dir(self.root.join(folder));
            }
            Ok(())
        };
        remove().map_err(self.failed("remove the records"))
    }

    /// Whether the folder carries larder's mark. Without it nothing in it is pruned.
    pub fn is_marked(&self) -> bool {
        matches!(kind(&self.root.join(FILE_NAME)), Ok(Kind::File(_)))
    }

    /// Whether anything at all lies under a blob's name: a link, say.
    pub fn holds_something(&self, digest: Sha256Digest) -> bool {
        !matches!(self.kind_of(digest), Ok(Kind::Missing))
    }

    /// Everything in the folder.
    pub fn contents(&self) -> Result<Contents, CacheError> {
        scan(&self.root).map_err(self.failed("list blobs"))
    }

    /// The records, and a complaint where the file is damaged and counts as empty.
    pub fn records(&self) -> Result<(Records, Option<String>), CacheError> {
        let path = self.root.join(FILE_NAME);
        let text = match crate::fs::read_capped(&path, MAX_BYTES) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok((Records::default(), None)),
            Err(error) => return Ok((Records::default(), Some(error.to_string()))),
        };
        let version = serde_json::from_slice::<serde_json::Value>(&text)
            .ok()
            .and_then(|value| value.get("version").and_then(serde_json::Value::as_u64));
        if let Some(found) = version.filter(|version| *version > FORMAT) {
            return Err(CacheError::Format { path, found, known: FORMAT });
        }
        match serde_json::from_slice(&text) {
            Ok(records) => Ok((records, None)),
            Err(error) => Ok((Records::default(), Some(format!("{}: {error}", path.display())))),
        }
    }

    /// Change the records. Writes only if there is something new, and says whether it did.
    pub fn update_records(&self, changes: &RecordChanges, staging: &Path) -> Result<bool, CacheError> {
        self.replace_records(|old| old.changed(changes), staging)
    }

    pub(crate) fn replace_records(
        &self,
        change: impl FnOnce(&Records) -> Records,
        staging: &Path,
    ) -> Result<bool, CacheError> {
        let _lock = CacheLock::acquire_records(&self.root).map_err(self.failed("lock"))?;
        let (old, damage) = self.records()?;
        let new = change(&old);
        let nothing_to_say = new == Records::default() && kind(&self.root).ok() == Some(Kind::Missing);
        if (new == old && damage.is_none()) || nothing_to_say {
            return Ok(false);
        }
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.root)?;
            let path = self.root.join(FILE_NAME);
            if !matches!(kind(&path)?, Kind::File(_) | Kind::Missing) {
                crate::fs::remove(&path)?;
            }
            crate::fs::write_atomically(&path, &new.to_json(), &self.staging(staging)?)
        };
        write().map_err(self.failed("write the records"))?;
        Ok(true)
    }

    /// A folder for unfinished files on the cache's own file system: `preferred` (in the job folder) where possible, else
    /// one beside the cache, since a blob can't be renamed from one file system to another.
    pub fn staging(&self, preferred: &Path) -> io::Result<PathBuf> {
        let existing = self.root.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
        if same_file_system(existing, preferred) {
            return Ok(preferred.to_owned());
        }
        let mut beside = self.root.as_os_str().to_owned();
        beside.push(".partial");
        let beside = PathBuf::from(beside);
        // Where the cache is itself a mount point, its parent is on another file system: then there is no way around the
        // inside. Leftovers there are foreign entries, and harmless.
        let folder = match self.root.parent() {
            Some(parent) if same_file_system(existing, parent) => beside,
            _ => self.root.join(".partial"),
        };
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Where a blob is to grow: in a file that the next run can go on with if it is claimed, else in one without a future.
    pub fn partial(&self, claim: Option<&DownloadLock>, preferred: &Path) -> io::Result<Partial> {
        let staging = self.staging(preferred)?;
        let kept = claim.and_then(DownloadLock::partial_file);
        let kept = kept.filter(|path| path.parent().is_some_and(|folder| same_file_system(folder, &staging)));
        Ok(kept.map_or(Partial::Scratch(staging), Partial::Kept))
    }

    /// Remove what was left of blobs that nobody has been fetching for as long as this.
    pub fn remove_leftovers(&self, unused_for: Duration) -> Result<(), CacheError> {
        download_lock::remove_leftovers(&self.root, unused_for).map_err(self.failed("remove unfinished blobs"))
    }

    pub(crate) fn path_of(&self, digest: Sha256Digest) -> PathBuf {
        MirrorPath::of_blob(digest).below(&self.root)
    }

    /// What lies under a blob's name, seen without following a link in any part below the cache's root.
    pub(crate) fn kind_of(&self, digest: Sha256Digest) -> io::Result<Kind> {
        let mut path = self.root.clone();
        let blob = MirrorPath::of_blob(digest);
        let mut parts = blob.parts().peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let found = kind(&path)?;
            if parts.peek().is_none() || found != Kind::Folder {
                // A link in place of a folder: nothing below it is ours.
                return Ok(if parts.peek().is_none() { found } else { Kind::Missing });
            }
        }
        Ok(Kind::Missing)
    }

    /// Make the folders of a blob. What stands in their way (a link, a file) was put there by somebody else.
    fn make_folders(&self, digest: Sha256Digest) -> io::Result<()> {
        let mut path = self.root.clone();
        let blob = MirrorPath::of_blob(digest);
        let parts: Vec<&str> = blob.parts().collect();
        for part in &parts[..parts.len() - 1] {
            path.push(part);
            match kind(&path)? {
                Kind::Folder => continue,
                Kind::Missing => {}
                Kind::File(_) | Kind::Other => fs::remove_file(&path)?,
            }
            match fs::create_dir(&path) {
                // Another job was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Mark the folder as larder's before the first blob is in it: a run that is killed leaves a cache, not a foreign folder.
    fn adopt(&self, staging: &Path) -> io::Result<()> {
        if self.is_marked() {
            return Ok(());
        }
        // Looked at again under the lock: another job may have marked it, and recorded something, in the meantime.
        let _lock = CacheLock::acquire_records(&self.root)?;
        if self.is_marked() {
            return Ok(());
        }
        let marker = self.root.join(FILE_NAME);
        fs::create_dir_all(&self.root)?;
        crate::fs::remove(&marker)?;
        crate::fs::write_atomically(&marker, &Records::default().to_json(), &self.staging(staging)?)
    }

    /// A folder without marker still is larder's if it holds nothing but `blobs/`: an archive that was restored only
    /// half-way. Pruning removes nothing but files that are named as blobs are.
    fn owner(&self) -> Result<Owner, CacheError> {
        let look = || -> io::Result<Owner> {
            let names = entries(&self.root)?;
            let mut owner = Owner::Nobody;
            for path in names {
                match path.file_name().and_then(|name| name.to_str()) {
                    Some(FILE_NAME) => return Ok(Owner::Larder),
                    Some("blobs" | ".partial") if owner != Owner::Foreign => owner = Owner::Larder,
                    _ => owner = Owner::Foreign,
                }
            }
            Ok(owner)
        };
        // The marker may come late in the order of names, so a foreign entry alone does not decide.
        look().map_err(self.failed("look"))
    }

    fn refuse_links(&self) -> Result<(), CacheError> {
        // Above the project, and above a cache outside of it, links are the administrator's business.
        let to_check: Vec<&Path> = self.root.ancestors().take_while(|folder| *folder != self.project).collect();
        let to_check = if self.root.starts_with(&self.project) { &to_check[..] } else { &to_check[..1] };
        for path in to_check {
            match kind(path).map_err(self.failed("look"))? {
                Kind::Folder | Kind::Missing => {}
                Kind::File(_) | Kind::Other => return Err(CacheError::NotAFolder { path: (*path).to_owned() }),
            }
        }
        Ok(())
    }

    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> CacheError + '_ {
        move |source| CacheError::Io { cache: self.name.clone(), what, source }
    }
}

#[cfg(unix)]
fn same_file_system(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(a) == device(b)
}

#[cfg(not(unix))]
fn same_file_system(_: &Path, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use crate::store::folder::*;
    use crate::verified::BlobWriter;
    use crate::verified::Size;
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
            let mut writer = BlobWriter::new(promise(bytes), &self.staging()).unwrap();
            writer.write(bytes).unwrap();
            self.cache.insert(writer.finish().unwrap(), &self.staging()).unwrap()
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
        assert_eq!((contents.blobs.len(), contents.foreign.len()), (1, 0));
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
        assert!(matches!(error, CacheError::NotAFolder { path } if path.ends_with("link")));
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused_and_half_a_restored_cache_is_not() {
        let fixture = fixture();
        let blob = fixture.insert(b"one");
        let root = fixture.cache.root().to_owned();
        fs::remove_file(root.join("larder.json")).unwrap();
        assert!(Cache::open("shared", &root, fixture.folder.path()).is_ok());
        fs::write(root.join("thesis.tex"), b"").unwrap();
        assert!(matches!(Cache::open("shared", &root, fixture.folder.path()), Err(CacheError::Foreign { .. })));
        assert!(blob.path().exists());
    }

    #[test]
    fn damaged_records_count_as_none_and_those_of_the_future_stop_the_run() {
        let fixture = fixture();
        fixture.insert(b"one");
        let path = fixture.cache.root().join("larder.json");
        fs::write(&path, b"{").unwrap();
        let (records, complaint) = fixture.cache.records().unwrap();
        assert_eq!(records, Records::default());
        assert!(complaint.unwrap().contains("larder.json"));
        fs::write(&path, br#"{"version": 2, "news": []}"#).unwrap();
        assert!(matches!(fixture.cache.records(), Err(CacheError::Format { found: 2, .. })));
    }
}
