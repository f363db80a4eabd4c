//! The folder that collects what a pipeline built from source, so that the branch's next pipeline installs it instead.
//!
//! ```text
//! <folder>/v3/manifests/spec/NAME/….spec.manifest.json   metadata as Spack 1.x pushed it
//! <folder>/blobs/sha256/ab/abcd…                          its blobs
//! <folder>/build_cache/….spec.json[.sig]                  metadata as Spack 0.x pushed it
//! <folder>/build_cache/ARCH/COMPILER/PACKAGE/….spack      its archive
//! ```
//!
//! It is a mirror without index, layout file and keys, and GitLab restores it from an archive that anybody who can push to the
//! branch may have written. That is the one place where metadata comes out of a cache, so it is never trusted more than need be:
//! it is asked after all mirrors, no link in it is followed, every blob is hashed in place before a job mirror may link to it,
//! the metadata must describe the very spec that was asked for, and with `signed: true` it must carry a signature, which Spack
//! verifies. Whatever is wrong with it, the answer is that the folder does not have the spec: then Spack builds it, as it
//! would have without the folder.
//!
//! Metadata and blobs come and go together. Blobs are there before the metadata that promises them, and metadata goes before its
//! blobs, so that a run that is killed half-way leaves at worst blobs that nothing mentions, which the next pruning removes.
//!
//! | module | what it is for |
//! |---|---|
//! | `find` | one spec, checked |
//! | `scan` | everything in the folder |
//! | [`prune`] | which specs it no longer needs |
//! | `change` | adding and removing |

mod change;
mod error;
mod find;
pub mod prune;
mod scan;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

pub use error::BuiltError;
pub use find::{Depth, FoundSpec, Lookup};
pub use scan::{BuiltBlob, BuiltSpec, Contents, Stray};

use crate::config::BuiltEntry;
use crate::fs::{Kind, kind};
use crate::types::{Mirror, MirrorPath, MirrorUrl, PlainHttp, Signatures};

/// The most bytes of one metadata document: stops a file of gigabytes from filling the memory.
const MAX_DOCUMENT: u64 = 8 << 20;

/// A folder of collected binaries, which may not exist yet.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    mirror: Arc<Mirror>,
}

impl Folder {
    /// The folder of this entry. Folders between `project` and it must not be links either: an archive could hold one.
    pub fn open(entry: &BuiltEntry, project: &Path) -> Result<Self, BuiltError> {
        for path in entry.path.ancestors().take_while(|folder| *folder != project) {
            let look = |source| BuiltError::Io { path: path.to_owned(), what: "look at", source };
            match kind(path).map_err(look)? {
                Kind::Folder | Kind::Missing => {}
                Kind::File(_) | Kind::Other => return Err(BuiltError::NotAFolder { path: path.to_owned() }),
            }
        }
        Self::at(&entry.path, &entry.name, entry.signatures)
    }

    /// A folder that Spack is to push into, judged as the entry's own would be.
    pub fn scratch(entry: &BuiltEntry, path: &Path) -> Result<Self, BuiltError> {
        Self::at(path, &entry.name, entry.signatures)
    }

    fn at(path: &Path, name: &str, signatures: Signatures) -> Result<Self, BuiltError> {
        let odd = |reason| BuiltError::Io { path: path.to_owned(), what: "name", source: io::Error::other(reason) };
        let url = MirrorUrl::parse(&path.to_string_lossy(), Path::new("/")).map_err(odd)?;
        let plain_http = PlainHttp::LoopbackOnly;
        let mirror = Mirror { name: name.to_owned(), url, signatures, plain_http, access: Arc::default() };
        Ok(Self { root: path.to_owned(), mirror: Arc::new(mirror) })
    }

    /// The folder's own path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.mirror.name
    }

    /// The folder as a mirror.
    pub fn mirror(&self) -> &Arc<Mirror> {
        &self.mirror
    }

    /// What lies at a path, seen without following a link in any part below the folder.
    fn kind_of(&self, path: &MirrorPath) -> io::Result<Kind> {
        let mut full = self.root.clone();
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            full.push(part);
            let found = kind(&full)?;
            if parts.peek().is_none() {
                return Ok(found);
            }
            if found != Kind::Folder {
                // A link in place of a folder: nothing below it is ours.
                return Ok(if found == Kind::Missing { Kind::Missing } else { Kind::Other });
            }
        }
        Ok(Kind::Missing)
    }

    fn failed<'a>(&'a self, what: &'static str) -> impl Fn(io::Error) -> BuiltError + 'a {
        move |source| BuiltError::Io { path: self.root.clone(), what, source }
    }
}

/// The entries of a folder in the order of their names; none where it is missing or no folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if kind(folder)? != Kind::Folder {
        return Ok(Vec::new());
    }
    let mut entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}
