//! Everything in the folder, without following a link.
//!
//! A spec is its metadata with the blobs that belong to it. What belongs to none, and has a name as Spack gives it, is a stray:
//! a run that was killed left it. Anything else is foreign, and is never touched.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;

use super::folder::BuiltFolder;
use crate::fs::{Kind, entries, kind};
use crate::mirror::{Layout, Place, PublishedBlob, Survey};
use crate::report::BlobReport;
use crate::store::StoreError;
use crate::store::inventory::{Inventory, Item, Key, Purpose, Stray};
use crate::types::{DagHash, MirrorPath, Request};

/// Regular files, by what their place says that they are.
#[derive(Default)]
struct Files {
    metadata: Vec<(Layout, DagHash, PathBuf)>,
    /// With their sizes.
    blobs: BTreeMap<PathBuf, u64>,
    foreign: Vec<PathBuf>,
}

impl BuiltFolder {
    /// Look at every entry. A missing folder is empty.
    pub(crate) fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut files = Files::default();
        self.list(Path::new(""), &mut files).map_err(self.failed("list the files"))?;
        let by_name: HashMap<&str, &PathBuf> = files.blobs.keys().map(|path| (name_of(path), path)).collect();
        let find = |name: &str| by_name.get(name).map(|path| MirrorPath::new(parts(path)));
        let mut items = Vec::new();
        for (layout, hash, path) in &files.metadata {
            items.push(self.item(*layout, *hash, path, &files.blobs, &find)?);
        }
        items.sort_by(|a, b| a.key.cmp(&b.key));
        let owned: HashSet<&PathBuf> = items.iter().flat_map(|item| &item.files).collect();
        let strays = files.blobs.iter().filter(|(path, _)| !owned.contains(path));
        let strays = strays.map(|(path, bytes)| Stray { path: path.clone(), bytes: *bytes }).collect();
        Ok(Inventory { items, strays, foreign: files.foreign, ..Inventory::default() })
    }

    fn item(
        &self,
        layout: Layout,
        hash: DagHash,
        metadata: &Path,
        blobs: &BTreeMap<PathBuf, u64>,
        find: &dyn Fn(&str) -> Option<MirrorPath>,
    ) -> Result<Item, StoreError> {
        let parts: Vec<&str> = parts(metadata).collect();
        let path = MirrorPath::new(parts.iter().copied());
        let meta = fs::symlink_metadata(self.folder.path_of(&path)).map_err(self.failed("look at metadata"))?;
        // No file says when a spec was last used: writing that down would be an upload in each pipeline. So it ages from the push.
        let last_used = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
        let (key, purpose, bytes) = (Key::Spec(hash, metadata.to_owned()), Purpose::Known, meta.len());
        let (blobs_of, files) = (Vec::new(), Vec::new());
        let mut item = Item { key, blobs: blobs_of, files, bytes, last_used, purpose, damage: None };
        let document = self.read(&path).and_then(|document| document.ok_or_else(|| "it is gone".to_owned()));
        let surveyed = document.and_then(|document| self.mirror.survey(layout, &parts, &document, find));
        let Survey { package, blobs: promised } = match surveyed {
            Ok(survey) => survey,
            Err(reason) => return Ok(Item { damage: Some(reason), ..item }),
        };
        for PublishedBlob { path, expected, role } in promised {
            let path = path.below(Path::new(""));
            let Some(bytes) = blobs.get(&path).copied() else {
                item.damage = Some(format!("`{}` is missing", path.display()));
                continue;
            };
            if !expected.size.allows(bytes) {
                let limit = expected.size.limit();
                item.damage = Some(format!("`{}` has {bytes} bytes instead of {limit}", path.display()));
            }
            let mirror = self.mirror.url.to_string();
            let request = package.clone().map(|(name, version)| Request { name, version, hash, mirror, role });
            let requests = request.into_iter().collect();
            item.bytes += bytes;
            item.blobs.push(BlobReport {
                digest: expected.digest,
                bytes,
                intact: None,
                last_used,
                requests,
                indexes: Vec::new(),
            });
            item.files.push(path);
        }
        Ok(item)
    }

    /// Sort the files below a folder, which is given below the root.
    fn list(&self, folder: &Path, files: &mut Files) -> std::io::Result<()> {
        for full in entries(&self.root().join(folder))? {
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
