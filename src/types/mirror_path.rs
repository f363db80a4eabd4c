//! A path below a mirror's root: as part of a URL, and as a path of a job mirror.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Sha256Digest;
use super::names::path_part;

/// A relative path that can't leave the folder it is applied to: its parts were made by [`path_part`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorPath(Vec<String>);

impl MirrorPath {
    /// A path of these parts, each cleaned by Spack's rule for file names.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(parts.into_iter().map(path_part).collect())
    }

    /// Where a blob lies below a v3 mirror and below a cache: the one place where a digest becomes a path.
    pub fn of_blob(digest: Sha256Digest) -> Self {
        Self::new(["blobs", "sha256", &digest.shard(), &digest.to_string()])
    }

    /// The blob that lies here, if it is the place of one.
    pub(super) fn blob(&self) -> Option<Sha256Digest> {
        let digest = self.parts().last()?.parse().ok()?;
        (*self == Self::of_blob(digest)).then_some(digest)
    }

    /// The path below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(self.parts());
        path
    }

    /// The parts as text.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for MirrorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}
