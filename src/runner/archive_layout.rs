//! What an archive takes out of a cache and brings into one.
//!
//! An archive of the runner names files as they lie in the cache folder. [`Place`] is the one door from such a name into a
//! cache: what is neither a blob nor the records nor a folder above them has no place.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use jiff::Timestamp;

use crate::fs::{Kind, kind};
use crate::store::{Cache, FoundBlob, StoreError, StoredBlob};
use crate::store::{FILE_NAME, MAX_BYTES, NotRecords, Records};
use crate::types::{MirrorPath, Sha256Digest};
use crate::verified::{Expected, Size};
use crate::verified::{Mismatch, Verifier};

/// What an entry of an archive is to a cache, by its path below the cache's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A blob.
    Blob(Sha256Digest),
    /// The records.
    Records,
    /// A folder that blobs lie in, or the cache's own.
    Folder,
}

/// Records out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedRecords(Records);

/// What became of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It is whole, and was right.
    Whole,
    /// The blob is not what its name says.
    Damaged(String),
}

impl Place {
    /// The place of a file, or `None` for what larder never put into a cache.
    pub fn of_file(below: &str) -> Option<Self> {
        if below == FILE_NAME {
            return Some(Self::Records);
        }
        let digest: Sha256Digest = below.rsplit('/').next()?.parse().ok()?;
        (MirrorPath::of_blob(digest).to_string() == below).then_some(Self::Blob(digest))
    }

    /// The place of a folder; empty for the cache's own.
    pub fn of_folder(below: &str) -> Option<Self> {
        let shard = |name: &str| name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_known =
            matches!(below, "" | "blobs" | "blobs/sha256") || below.strip_prefix("blobs/sha256/").is_some_and(shard);
        is_known.then_some(Self::Folder)
    }
}

impl ArchivedRecords {
    /// The most bytes that are read of them.
    pub const MAX_BYTES: u64 = MAX_BYTES;

    /// Parse them; the error is the end of a sentence.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        match Records::parse(text) {
            Ok(records) => Ok(Self(records)),
            Err(NotRecords::Newer(_)) => Err("they are not in format 1, which this larder knows".to_owned()),
            Err(NotRecords::Damaged(error)) => Err(error),
        }
    }

    /// The records.
    pub fn records(&self) -> &Records {
        &self.0
    }
}

impl Cache {
    /// The paths, below the cache's folder, of the folders that lead to these blobs, its own (empty) among them.
    pub fn folders_of(blobs: &[FoundBlob]) -> Vec<String> {
        let mut folders = vec![String::new()];
        for blob in blobs {
            let path = MirrorPath::of_blob(blob.digest).to_string();
            folders.extend(path.match_indices('/').map(|(end, _)| path[..end].to_owned()));
        }
        folders.sort();
        folders.dedup();
        folders
    }

    /// The path of a blob below the cache's folder.
    pub fn place_of(blob: &FoundBlob) -> String {
        MirrorPath::of_blob(blob.digest).to_string()
    }

    /// Copy a blob, hashing it on the way: one read, and no archive with bytes that nobody may unpack.
    pub fn copy_blob(
        &self,
        blob: &FoundBlob,
        out: &mut dyn Write,
        on_bytes: &dyn Fn(usize),
    ) -> Result<Copied, StoreError> {
        let path = self.folder().path_of(&MirrorPath::of_blob(blob.digest));
        let mut verifier = Verifier::new(Expected { digest: blob.digest, size: Size::Exactly(blob.bytes) });
        let mut copy = || -> io::Result<Result<(), Mismatch>> {
            if !matches!(self.folder().kind_of(&MirrorPath::of_blob(blob.digest))?, Kind::File(_)) {
                return Err(io::Error::other(format!("{}: it is gone", path.display())));
            }
            let mut file = fs::File::open(&path)?;
            let mut buffer = vec![0; 128 << 10];
            loop {
                let length = match file.read(&mut buffer) {
                    Ok(0) => return Ok(Ok(())),
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                if let Err(mismatch) = verifier.update(&buffer[..length]) {
                    return Ok(Err(mismatch));
                }
                out.write_all(&buffer[..length])?;
                on_bytes(length);
            }
        };
        let copied = copy().map_err(self.failed("copy a blob"))?;
        Ok(match copied.and_then(|()| verifier.finish()) {
            Ok(_) => Copied::Whole,
            Err(mismatch) => Copied::Damaged(mismatch.to_string()),
        })
    }

    /// The text of the records, or `None` where there are none that larder would read.
    pub fn records_text(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let (_, damage) = self.records()?;
        if damage.is_some() {
            return Ok(None);
        }
        crate::fs::read_capped(&self.root().join(FILE_NAME), MAX_BYTES).map_err(self.failed("read the records"))
    }

    /// Add what an archive's records say of blobs that are here. Says whether anything changed.
    pub fn merge_records(&self, other: &ArchivedRecords, now: Timestamp, staging: &Path) -> Result<bool, StoreError> {
        self.replace_records(|old| old.merged(&other.0, |digest| self.size_of(digest).is_some(), now), staging)
    }

    /// Which of the folders that an archive can name are there already.
    pub fn existing(&self, below: &str) -> bool {
        matches!(kind(&self.path_below(below)), Ok(Kind::Folder | Kind::File(_)))
    }

    /// Give a blob the time that it had elsewhere, in seconds since 1970.
    pub fn date_blob(&self, blob: &StoredBlob, modified: i64) -> Result<(), StoreError> {
        set_modified(blob.path(), modified).map_err(self.failed("set the time of a blob"))
    }

    /// Give a folder or the records the time that they had elsewhere. `below` has a [`Place`].
    pub fn date(&self, below: &str, modified: i64) -> Result<(), StoreError> {
        let path = self.path_below(below);
        match kind(&path) {
            Ok(Kind::Folder | Kind::File(_)) => set_modified(&path, modified).map_err(self.failed("set a time")),
            _ => Ok(()),
        }
    }

    fn path_below(&self, below: &str) -> PathBuf {
        if below.is_empty() { self.root().to_owned() } else { self.root().join(below) }
    }
}

fn set_modified(path: &Path, seconds: i64) -> io::Result<()> {
    let since = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { SystemTime::UNIX_EPOCH - since } else { SystemTime::UNIX_EPOCH + since };
    fs::File::open(path)?.into_parts().0.set_modified(time)
}

#[cfg(test)]
mod tests {
    use crate::runner::archive_layout::*;

    #[test]
    fn only_what_larder_writes_has_a_place() {
        let digest = "ab".repeat(32);
        let blob = format!("blobs/sha256/ab/{digest}");
        assert!(matches!(Place::of_file(&blob), Some(Place::Blob(_))));
        assert_eq!(Place::of_file("larder.json"), Some(Place::Records));
        for other in
            ["", "thesis.tex", "blobs/larder.json", &digest, &format!("blobs/sha256/cd/{digest}"), &format!("x/{blob}")]
        {
            assert_eq!(Place::of_file(other), None, "{other}");
        }
        for folder in ["", "blobs", "blobs/sha256", "blobs/sha256/ab"] {
            assert_eq!(Place::of_folder(folder), Some(Place::Folder), "{folder}");
        }
        for other in ["x", "blobs/sha256/AB", "blobs/sha256/abc", "blobs/sha256/ab/c", "larder.json"] {
            assert_eq!(Place::of_folder(other), None, "{other}");
        }
    }

    #[test]
    fn records_of_another_format_are_none() {
        assert!(ArchivedRecords::parse(br#"{"version": 1, "blobs": {}}"#).is_ok());
        assert!(ArchivedRecords::parse(br#"{"version": 2, "blobs": {}}"#).unwrap_err().contains("format 1"));
        assert!(ArchivedRecords::parse(b"{").is_err());
    }
}
