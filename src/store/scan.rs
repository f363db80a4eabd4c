//! What lies in a cache folder, seen without following a link.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;

use super::records::FILE_NAME;
use crate::fs::{Folder, Kind, entries, kind};
use crate::types::{MirrorPath, Sha256Digest};

/// A blob by its name. Whether its bytes are right is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundBlob {
    /// Its name.
    pub digest: Sha256Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last written: a stand-in for the date it was last used where no record has one.
    pub modified: Timestamp,
}

/// Everything in a cache folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// The blobs, in the order of their digests.
    pub blobs: Vec<FoundBlob>,
    /// What larder did not put there: links, files with other names. GitLab uploads it all the same.
    pub foreign: Vec<PathBuf>,
}

impl Contents {
    /// The size of all blobs.
    pub(crate) fn bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.bytes).sum()
    }
}

/// Look at every entry. A missing folder is empty.
pub(super) fn scan(folder: &Folder) -> io::Result<Contents> {
    let root = folder.root();
    let mut contents = Contents::default();
    for entry in entries(root)? {
        match name_of(&entry) {
            FILE_NAME => {}
            "blobs" if kind(&entry)? == Kind::Folder => {
                for entry in entries(&entry)? {
                    if name_of(&entry) == "sha256" && kind(&entry)? == Kind::Folder {
                        scan_shards(root, &entry, &mut contents)?;
                    } else {
                        contents.foreign.push(entry);
                    }
                }
            }
            _ => contents.foreign.push(entry),
        }
    }
    contents.blobs.sort_by_key(|blob| blob.digest);
    Ok(contents)
}

fn scan_shards(root: &Path, folder: &Path, contents: &mut Contents) -> io::Result<()> {
    for shard in entries(folder)? {
        if kind(&shard)? != Kind::Folder {
            contents.foreign.push(shard);
            continue;
        }
        for entry in entries(&shard)? {
            let digest = name_of(&entry).parse::<Sha256Digest>().ok();
            let digest = digest.filter(|digest| MirrorPath::of_blob(*digest).below(root) == entry);
            match (digest, kind(&entry)?) {
                (Some(digest), Kind::File(bytes)) => {
                    let modified = fs::symlink_metadata(&entry)?.modified()?;
                    let modified = Timestamp::try_from(modified).unwrap_or_default();
                    contents.blobs.push(FoundBlob { digest, bytes, modified });
                }
                _ => contents.foreign.push(entry),
            }
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
