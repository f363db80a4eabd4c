//! Everything in the folder, without following a link.
//!
//! A spec is its metadata with the blobs that belong to it. What belongs to none, and has a name as Spack gives it, is a stray:
//! a run that was killed left it. Anything else is foreign, and nobody touches it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;

use crate::fs::{Kind, kind};
use crate::mirror::{Layout, Place, PublishedBlob, Survey};
use crate::store::built::{BuiltError, Folder, entries};
use crate::types::{DagHash, MirrorPath, Request, Sha256Digest};

/// A spec in the folder.
#[derive(Clone, Debug)]
pub struct BuiltSpec {
    /// Its hash, as the metadata's name has it.
    pub hash: DagHash,
    /// Its metadata, below the folder.
    pub metadata: PathBuf,
    /// Its blobs that are there. Another spec may have the same one.
    pub blobs: Vec<BuiltBlob>,
    /// The size of all of its files.
    pub bytes: u64,
    /// When it was pushed.
    pub modified: Timestamp,
    /// What is plainly wrong with it, without hashing anything.
    pub damage: Option<String>,
}

/// A blob of a spec.
#[derive(Clone, Debug)]
pub struct BuiltBlob {
    /// Where it lies, below the folder.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its sha256, as the metadata has it.
    pub digest: Sha256Digest,
    /// For which spec it is.
    pub request: Option<Request>,
}

/// A file that belongs to no spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Where it lies, below the folder.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Everything in a folder.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The specs, in the order of their hashes.
    pub specs: Vec<BuiltSpec>,
    /// Blobs that belong to none of them.
    pub strays: Vec<Stray>,
    /// What larder did not put there: links, files with other names. GitLab uploads it all the same.
    pub foreign: Vec<PathBuf>,
}

/// Regular files, by what their place says that they are.
#[derive(Default)]
struct Files {
    metadata: Vec<(Layout, DagHash, PathBuf)>,
    /// With their sizes.
    blobs: BTreeMap<PathBuf, u64>,
    foreign: Vec<PathBuf>,
}

impl Folder {
    /// Look at every entry. A missing folder is empty.
    pub fn contents(&self) -> Result<Contents, BuiltError> {
        let mut files = Files::default();
        self.list(Path::new(""), &mut files).map_err(self.failed("list the files of"))?;
        let by_name: HashMap<&str, &PathBuf> = files.blobs.keys().map(|path| (name_of(path), path)).collect();
        let find = |name: &str| by_name.get(name).map(|path| MirrorPath::new(parts(path)));
        let mut specs = Vec::new();
        for (layout, hash, path) in &files.metadata {
            specs.push(self.spec(*layout, *hash, path, &files.blobs, &find)?);
        }
        specs.sort_by(|a, b| (a.hash, &a.metadata).cmp(&(b.hash, &b.metadata)));
        let owned: HashSet<&PathBuf> = specs.iter().flat_map(|spec| spec.blobs.iter().map(|blob| &blob.path)).collect();
        let strays = files.blobs.iter().filter(|(path, _)| !owned.contains(path));
        let strays = strays.map(|(path, bytes)| Stray { path: path.clone(), bytes: *bytes }).collect();
        Ok(Contents { specs, strays, foreign: files.foreign })
    }

    fn spec(
        &self,
        layout: Layout,
        hash: DagHash,
        metadata: &Path,
        blobs: &BTreeMap<PathBuf, u64>,
        find: &dyn Fn(&str) -> Option<MirrorPath>,
    ) -> Result<BuiltSpec, BuiltError> {
        let parts: Vec<&str> = parts(metadata).collect();
        let path = MirrorPath::new(parts.iter().copied());
        let meta = fs::symlink_metadata(self.root.join(metadata)).map_err(self.failed("look into"))?;
        let modified = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
        let mut spec = BuiltSpec {
            hash,
            metadata: metadata.to_owned(),
            blobs: Vec::new(),
            bytes: meta.len(),
            modified,
            damage: None,
        };
        let document = self.read(&path).and_then(|document| document.ok_or_else(|| "it is gone".to_owned()));
        let surveyed = document.and_then(|document| self.mirror.survey(layout, &parts, &document, find));
        let Survey { package, blobs: promised } = match surveyed {
            Ok(survey) => survey,
            Err(reason) => {
                spec.damage = Some(reason);
                return Ok(spec);
            }
        };
        for PublishedBlob { path, expected, role } in promised {
            let path = path.below(Path::new(""));
            let Some(bytes) = blobs.get(&path).copied() else {
                spec.damage = Some(format!("`{}` is missing", path.display()));
                continue;
            };
            if !expected.size.allows(bytes) {
                let limit = expected.size.limit();
                spec.damage = Some(format!("`{}` has {bytes} bytes instead of {limit}", path.display()));
            }
            let mirror = self.mirror.url.to_string();
            let request = package.clone().map(|(name, version)| Request { name, version, hash, mirror, role });
            spec.bytes += bytes;
            spec.blobs.push(BuiltBlob { path, bytes, digest: expected.digest, request });
        }
        Ok(spec)
    }

    /// Sort the files below a folder, which is given below the root.
    fn list(&self, folder: &Path, files: &mut Files) -> std::io::Result<()> {
        for full in entries(&self.root.join(folder))? {
            let path = folder.join(full.file_name().unwrap_or_default());
            let recognised = path.to_str().and_then(|_| Layout::recognise(&parts(&path).collect::<Vec<_>>()));
            match (kind(&full)?, recognised) {
                (Kind::Missing, _) => {}
                (Kind::Folder, _) => self.list(&path, files)?,
                (Kind::File(_), Some((layout, Place::Metadata(hash)))) => files.metadata.push((layout, hash, path)),
                (Kind::File(bytes), Some((_, Place::Blob))) => drop(files.blobs.insert(path, bytes)),
                _ => files.foreign.push(path),
            }
        }
        Ok(())
    }
}

/// The parts of a path of the folder; a part that is no text is left out.
fn parts(path: &Path) -> impl Iterator<Item = &str> {
    path.iter().filter_map(|part| part.to_str())
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
