//! Which name in an archive of the runner is what in a cache.
//!
//! The runner names files by their paths below the project folder. [`Place`] is the one door from such a name into a cache:
//! what is neither a blob nor the records nor a folder above them has no place, and even for those the path is made of the
//! digest, or of a fixed name, and never of the text in the archive.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fs_err as fs;

use crate::fs::{Kind, kind};
use crate::store::{FILE_NAME, NotRecords, Records};
use crate::types::{MirrorPath, Sha256Digest};

/// What an entry of an archive is to a cache, by its path below the cache's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A blob.
    Blob(Sha256Digest),
    /// The records.
    Records,
    /// A folder that blobs lie in, or the cache's own.
    Folder,
}

impl Place {
    /// The place of a file, or `None` for what larder never put into a cache.
    pub(crate) fn of_file(below: &str) -> Option<Self> {
        if below == FILE_NAME {
            return Some(Self::Records);
        }
        let digest: Sha256Digest = below.rsplit('/').next()?.parse().ok()?;
        (path_of(digest) == below).then_some(Self::Blob(digest))
    }

    /// The place of a folder; empty for the cache's own.
    pub(crate) fn of_folder(below: &str) -> Option<Self> {
        let shard = |name: &str| name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_known =
            matches!(below, "" | "blobs" | "blobs/sha256") || below.strip_prefix("blobs/sha256/").is_some_and(shard);
        is_known.then_some(Self::Folder)
    }
}

/// A cache's path in archives: relative to the project folder, with `/` between its parts. `None` for a cache outside of it.
pub(crate) fn prefix_of(cache: &Path, project: &Path) -> Option<String> {
    let below = cache.strip_prefix(project).ok()?;
    let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

/// The path of a blob below the cache's folder.
pub(crate) fn path_of(digest: Sha256Digest) -> String {
    MirrorPath::of_blob(digest).to_string()
}

/// The paths, below the cache's folder, of the folders that lead to a blob, its own (empty) among them.
pub(crate) fn folders_of(digest: Sha256Digest) -> Vec<String> {
    let path = path_of(digest);
    let above = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
    std::iter::once(String::new()).chain(above).collect()
}

/// Parse the records of an archive. They are not believed: they say when a blob was of use, not what it is. The error is the
/// end of a sentence.
pub(crate) fn parse_records(text: &[u8]) -> Result<Records, String> {
    Records::parse(text).map_err(|error| match error {
        NotRecords::Newer(_) => "they are not in format 1, which this larder knows".to_owned(),
        NotRecords::Damaged(reason) => reason,
    })
}

/// Whether something lies at the path of a [`Place`].
pub(crate) fn is_there(path: &Path) -> bool {
    matches!(kind(path), Ok(Kind::Folder | Kind::File(_)))
}

/// Give a file or a folder the time that it had elsewhere, in seconds since 1970. What is not there needs none.
pub(crate) fn set_modified(path: &Path, seconds: u64) -> io::Result<()> {
    if !is_there(path) {
        return Ok(());
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path)?.into_parts().0.set_modified(time)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_folders_of_a_blob_have_places() {
        let folders = folders_of("ab".repeat(32).parse().unwrap());
        assert_eq!(folders, ["", "blobs", "blobs/sha256", "blobs/sha256/ab"]);
    }

    #[test]
    fn records_of_another_format_are_none() {
        assert!(parse_records(br#"{"version": 1, "blobs": {}}"#).is_ok());
        assert!(parse_records(br#"{"version": 2, "blobs": {}}"#).unwrap_err().contains("format 1"));
        assert!(parse_records(b"{").is_err());
    }
}
