//! Everything in the folder, without following a link.
//!
//! A spec is its metadata with the blobs that belong to it. What belongs to none, and has a name as Spack gives it, is a stray:
//! a run that was killed left it. Anything else is foreign, and is never touched.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;
use serde::Deserialize;

use super::folder::BuiltFolder;
use crate::fs::{Kind, entries, kind};
use crate::mirror::{parse_v2, parse_v3};
use crate::report::BlobReport;
use crate::store::StoreError;
use crate::store::inventory::{Inventory, Item, Key, Purpose, Stray};
use crate::types::{BlobRole, DagHash, MirrorPath, PackageName, Request, Sha256Digest, VersionText};
use crate::verified::Size;

/// Regular files, by what their place says that they are.
#[derive(Default)]
struct Files {
    /// Manifests of layout v3.
    v3: Vec<PathBuf>,
    /// Spec files of layout v2.
    v2: Vec<PathBuf>,
    /// Blobs of layout v3 and archives of layout v2, with their sizes.
    blobs: BTreeMap<PathBuf, u64>,
    foreign: Vec<PathBuf>,
}

/// What the metadata of a spec promises: where, how large, which digest, what it is.
type Promise = (PathBuf, Size, Sha256Digest, BlobRole);

#[derive(Deserialize)]
struct Node {
    name: PackageName,
    version: VersionText,
}

const V3: &str = ".spec.manifest.json";

impl BuiltFolder {
    /// Look at every entry. A missing folder is empty.
    pub(crate) fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut files = Files::default();
        self.list(Path::new(""), &mut files).map_err(self.failed("list the files"))?;
        let mut archives: HashMap<&str, &PathBuf> = HashMap::new();
        for path in files.blobs.keys() {
            if let Some(stem) = name_of(path).strip_suffix(".spack") {
                archives.insert(stem, path);
            }
        }
        let mut owned: HashSet<PathBuf> = HashSet::new();
        let mut items = Vec::new();
        for path in &files.v3 {
            items.extend(self.item(path, &files.blobs, &mut owned, |document, url| promises_v3(path, document, url))?);
        }
        for path in &files.v2 {
            let archive = archives.get(stem_v2(path).unwrap_or_default()).copied();
            items.extend(
                self.item(path, &files.blobs, &mut owned, |document, url| promises_v2(archive, document, url))?,
            );
        }
        items.sort_by(|a, b| a.key.cmp(&b.key));
        let strays = files.blobs.iter().filter(|(path, _)| !owned.contains(*path));
        let strays = strays.map(|(path, bytes)| Stray { path: path.clone(), bytes: *bytes }).collect();
        Ok(Inventory { items, strays, foreign: files.foreign, ..Inventory::default() })
    }

    fn item(
        &self,
        metadata: &Path,
        blobs: &BTreeMap<PathBuf, u64>,
        owned: &mut HashSet<PathBuf>,
        read: impl FnOnce(&[u8], &url::Url) -> Result<(Option<Node>, Vec<Promise>), String>,
    ) -> Result<Option<Item>, StoreError> {
        let Some(hash) = hash_of(metadata) else { return Ok(None) };
        let path = MirrorPath::new(metadata.iter().filter_map(|part| part.to_str()));
        let meta = fs::symlink_metadata(self.folder.path_of(&path)).map_err(self.failed("look at metadata"))?;
        // No file says when a spec was last used: writing that down would be an upload in each pipeline. So it ages from the push.
        let last_used = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
        let (key, purpose) = (Key::Spec(hash, metadata.to_owned()), Purpose::Known);
        let (blobs_of, files, bytes) = (Vec::new(), Vec::new(), meta.len());
        let mut item = Item { key, blobs: blobs_of, files, bytes, last_used, purpose, damage: None };
        let document = self.read(&path).and_then(|document| document.ok_or_else(|| "it is gone".to_owned()));
        let promised = document.and_then(|document| read(&document, &self.mirror.url.join(&path)));
        let (node, promised) = match promised {
            Ok(promised) => promised,
            Err(reason) => return Ok(Some(Item { damage: Some(reason), ..item })),
        };
        for (path, size, digest, role) in promised {
            let Some(bytes) = blobs.get(&path).copied() else {
                item.damage = Some(format!("`{}` is missing", path.display()));
                continue;
            };
            if matches!(size, Size::Exactly(stated) if stated != bytes) {
                item.damage = Some(format!("`{}` has {bytes} bytes instead of {}", path.display(), size.limit()));
            }
            let mirror = self.mirror.url.to_string();
            let request = node.as_ref().map(|Node { name, version }| {
                let (name, version) = (name.clone(), version.clone());
                Request { name, version, hash, mirror, role }
            });
            let requests = request.into_iter().collect();
            item.bytes += bytes;
            item.blobs.push(BlobReport { digest, bytes, intact: None, last_used, requests });
            owned.insert(path.clone());
            item.files.push(path);
        }
        Ok(Some(item))
    }

    /// Sort the files below a folder, which is given below the root.
    fn list(&self, folder: &Path, files: &mut Files) -> std::io::Result<()> {
        for full in entries(&self.root().join(folder))? {
            let path = folder.join(full.file_name().unwrap_or_default());
            match (kind(&full)?, place(&path)) {
                (Kind::Missing, _) => {}
                (Kind::Folder, _) => self.list(&path, files)?,
                (Kind::File(_), Some(Place::V3)) => files.v3.push(path),
                (Kind::File(_), Some(Place::V2)) => files.v2.push(path),
                (Kind::File(bytes), Some(Place::Blob)) => drop(files.blobs.insert(path, bytes)),
                _ => files.foreign.push(path),
            }
        }
        Ok(())
    }
}

enum Place {
    V3,
    V2,
    Blob,
}

/// What a file is by its place below the folder; `None` for what no Spack puts there.
fn place(path: &Path) -> Option<Place> {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    match parts[..] {
        ["blobs", "sha256", _, name] => {
            let digest: Sha256Digest = name.parse().ok()?;
            (MirrorPath::of_blob(digest).below(Path::new("")) == path).then_some(Place::Blob)
        }
        ["v3", "manifests", "spec", _, _] => hash_of(path).map(|_| Place::V3),
        ["build_cache", _] => hash_of(path).map(|_| Place::V2),
        ["build_cache", _, _, _, name] => {
            let stem = name.strip_suffix(".spack")?;
            stem.rsplit('-').next()?.parse::<DagHash>().ok().map(|_| Place::Blob)
        }
        _ => None,
    }
}

/// The hash at the end of the name of metadata.
fn hash_of(path: &Path) -> Option<DagHash> {
    let stem = if path.starts_with("v3") { name_of(path).strip_suffix(V3)? } else { stem_v2(path)? };
    stem.rsplit('-').next()?.parse().ok()
}

fn stem_v2(path: &Path) -> Option<&str> {
    let name = name_of(path);
    name.strip_suffix(".sig").unwrap_or(name).strip_suffix(".spec.json")
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Name and version as the path of a manifest has them: `NAME/NAME-VERSION-HASH…`.
fn node_of(path: &Path) -> Option<Node> {
    let name = path.parent()?.file_name()?.to_str()?;
    let rest = name_of(path).strip_suffix(V3)?.strip_prefix(name)?.strip_prefix('-')?;
    let (version, _hash) = rest.rsplit_once('-')?;
    Some(Node { name: name.parse().ok()?, version: version.parse().ok()? })
}

fn promises_v3(path: &Path, document: &[u8], url: &url::Url) -> Result<(Option<Node>, Vec<Promise>), String> {
    let blobs = parse_v3(document, url).map_err(|error| error.to_string())?;
    let promise = |blob: crate::mirror::PublishedBlob| {
        (blob.path.below(Path::new("")), blob.expected.size, blob.expected.digest, blob.role)
    };
    Ok((node_of(path), blobs.into_iter().map(promise).collect()))
}

fn promises_v2(
    archive: Option<&PathBuf>,
    document: &[u8],
    url: &url::Url,
) -> Result<(Option<Node>, Vec<Promise>), String> {
    let metadata = parse_v2(document, url).map_err(|error| error.to_string())?;
    let digest = metadata.stated_digest().ok_or("it states no sha256")?;
    let archive = archive.ok_or("its archive is missing")?;
    let node = metadata.spec.nodes.first().and_then(|node| serde_json::from_str::<Node>(node.get()).ok());
    Ok((node, vec![(archive.clone(), Size::AtMost(u64::MAX), digest, BlobRole::Binary)]))
}
