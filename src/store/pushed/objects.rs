//! A bucket, as something in which room is made: metadata of specs, and blobs that metadata refers to.
//!
//! Metadata goes first, so that nothing promises a blob that is gone. Then everything is looked at once more, and blobs that nothing
//! refers to any more go if they are older than a day. Each object is looked at right before it is removed: one that was written anew
//! meanwhile stays. What the index and the public keys refer to stays as well, and where it is not known what something refers to, no
//! blob is removed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::{GRACE, PushedMirror, name_of};
use crate::mirror::{Layout, Place};
use crate::report::BlobReport;
use crate::store::error::StoreError;
use crate::store::inventory::{Item, Key, Purpose, Stray};
use crate::store::policy::Removal;
use crate::transport::{Listed, TransportError};
use crate::types::{DagHash, MirrorPath, Request};

/// The length of a sha256 in hexadecimal digits.
const DIGEST_LENGTH: usize = 64;

/// What a bucket holds below the mirror's prefix.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// The specs, whose names are the paths of their metadata.
    pub items: Vec<Item>,
    /// Blobs that nothing refers to and that are old enough to go.
    pub strays: Vec<Stray>,
    /// Every object of a spec, by its path below the mirror.
    listed: HashMap<String, Listed>,
}

/// The objects, by what their place says that they are.
#[derive(Default)]
struct Sorted {
    metadata: Vec<(Layout, DagHash, String)>,
    blobs: BTreeMap<String, u64>,
    /// Manifests of the index and of keys.
    others: Vec<String>,
}

impl PushedMirror<'_> {
    /// List everything, and read all metadata.
    pub(crate) async fn objects(&self, now: Timestamp) -> Result<Objects, StoreError> {
        let failed = |source| self.failed(source);
        let root = self.entry.mirror.location(&MirrorPath::new([]));
        let prefix = percent_decode_str(root.url.path().trim_matches('/')).decode_utf8_lossy().into_owned();
        let below = |object: Listed| {
            let path =
                if prefix.is_empty() { &object.key } else { object.key.strip_prefix(&prefix)?.strip_prefix('/')? };
            Some((path.to_owned(), object))
        };
        let all = self.transport.list(&root).await.map_err(failed)?.into_iter().filter_map(below);
        let listed: HashMap<String, Listed> = all.collect();
        let sorted = Sorted::of(&listed);

        let reads = sorted.metadata.iter().map(|(_, _, path)| path).chain(&sorted.others);
        let read = async |path: String| {
            let document = self.transport.document(&self.entry.mirror.location(&path_of(&path))).await?;
            Ok::<_, TransportError>(document.map(|document| (path, document)))
        };
        let reading = futures::stream::iter(reads.cloned()).map(read).buffer_unordered(self.requests());
        let documents: Vec<Option<(String, Vec<u8>)>> = reading.try_collect().await.map_err(failed)?;
        let documents: HashMap<String, Vec<u8>> = documents.into_iter().flatten().collect();

        let by_name: HashMap<&str, &String> =
            sorted.blobs.keys().map(|path| (path.rsplit('/').next().unwrap_or_default(), path)).collect();
        let find = |name: &str| by_name.get(name).map(|path| path_of(path));
        let mut kept: HashSet<String> = HashSet::new();
        let (mut items, mut is_clear) = (Vec::new(), true);
        for (layout, hash, path) in &sorted.metadata {
            let Some(document) = documents.get(path.as_str()) else { continue };
            match self.item((*layout, *hash, path), document, &sorted.blobs, &find, &listed) {
                Some(item) => {
                    kept.extend(item.files.iter().filter_map(|file| file.to_str().map(str::to_owned)));
                    items.push(item);
                }
                None => is_clear = false,
            }
        }
        let digests: Vec<&str> =
            sorted.others.iter().flat_map(|path| digests_in(documents.get(path.as_str()))).collect();
        kept.extend(digests.iter().filter_map(|digest| by_name.get(digest).map(|path| (*path).clone())));
        let is_old = |path: &str| listed.get(path).is_some_and(|object| now.duration_since(object.modified) >= GRACE);
        let strays = sorted.blobs.iter().filter(|(path, _)| is_clear && !kept.contains(*path) && is_old(path));
        let strays = strays.map(|(path, bytes)| Stray { path: PathBuf::from(path), bytes: *bytes }).collect();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Objects { items, strays, listed })
    }

    /// A spec. `None` for metadata that is not understood: a newer Spack may have pushed it.
    fn item(
        &self,
        (layout, hash, path): (Layout, DagHash, &str),
        document: &[u8],
        blobs: &BTreeMap<String, u64>,
        find: &dyn Fn(&str) -> Option<MirrorPath>,
        listed: &HashMap<String, Listed>,
    ) -> Option<Item> {
        let mirror = &self.entry.mirror;
        let survey = mirror.survey(layout, &path.split('/').collect::<Vec<_>>(), document, find).ok()?;
        let last_used = listed.get(path)?.modified;
        let (mut reports, mut files, mut bytes) = (Vec::new(), Vec::new(), document.len() as u64);
        for blob in survey.blobs {
            let file = blob.path.to_string();
            let size = blobs.get(&file).copied().unwrap_or_default();
            let request = survey.package.clone().map(|(name, version)| {
                let (mirror, role) = (mirror.url.to_string(), blob.role);
                Request { name, version, hash, mirror, role }
            });
            let requests = request.into_iter().collect();
            let digest = blob.expected.digest;
            reports.push(BlobReport { digest, bytes: size, intact: None, last_used, requests, indexes: Vec::new() });
            files.push(PathBuf::from(file));
            bytes += size;
        }
        let key = Key::Spec(hash, PathBuf::from(path));
        Some(Item { key, blobs: reports, files, bytes, last_used, purpose: Purpose::Known, damage: None })
    }

    /// Remove the metadata of specs. Returns those that are gone; `on_stay` is told of those that were written anew.
    pub(crate) async fn remove_metadata<'i>(
        &self,
        objects: &Objects,
        removals: Vec<Removal<'i>>,
        now: Timestamp,
        on_stay: &dyn Fn(&str),
    ) -> Result<Vec<Removal<'i>>, StoreError> {
        let removing = futures::stream::iter(removals).map(async |removal| {
            let name = name_of(removal.item);
            let gone = self.remove_old(objects, name, now).await?;
            if !gone {
                on_stay(name);
            }
            Ok(gone.then_some(removal))
        });
        let removed = removing.buffer_unordered(self.requests()).try_filter_map(async |removal| Ok(removal));
        removed.try_collect().await.map_err(|source| self.failed(source))
    }

    /// Remove what nothing refers to. Returns what is gone.
    pub(crate) async fn remove_strays(&self, objects: &Objects, now: Timestamp) -> Result<Vec<Stray>, StoreError> {
        let removing = futures::stream::iter(&objects.strays).map(async |stray| {
            let path = stray.path.to_str().unwrap_or_default();
            Ok(self.remove_old(objects, path, now).await?.then(|| stray.clone()))
        });
        let removed = removing.buffer_unordered(self.requests()).try_filter_map(async |stray| Ok(stray));
        removed.try_collect().await.map_err(|source| self.failed(source))
    }

    /// Remove an object, if it is still the one that was listed.
    async fn remove_old(&self, objects: &Objects, path: &str, now: Timestamp) -> Result<bool, TransportError> {
        let at = self.entry.mirror.location(&path_of(path));
        let Some(found) = self.transport.stat(&at).await? else { return Ok(true) };
        let is_same = objects.listed.get(path).is_some_and(|listed| !listed.is_another(&found));
        if !is_same || now.duration_since(found.modified) < GRACE {
            return Ok(false);
        }
        self.transport.delete(&at).await?;
        Ok(true)
    }
}

impl Objects {
    /// The blobs that nothing would refer to if these specs were gone, with what nothing refers to by now.
    pub(crate) fn strays_without(&self, removals: &[Removal<'_>], now: Timestamp) -> Vec<Stray> {
        let leaving: HashSet<&str> = removals.iter().map(|removal| name_of(removal.item)).collect();
        let staying = self.items.iter().filter(|item| !leaving.contains(name_of(item)));
        let kept: HashSet<&PathBuf> = staying.flat_map(|item| &item.files).collect();
        let mut freed = BTreeMap::new();
        for file in removals.iter().flat_map(|removal| &removal.item.files).filter(|file| !kept.contains(file)) {
            let object = file.to_str().and_then(|path| self.listed.get(path));
            let object = object.filter(|object| now.duration_since(object.modified) >= GRACE);
            freed.extend(object.map(|object| (file.clone(), object.bytes)));
        }
        let freed = freed.into_iter().map(|(path, bytes)| Stray { path, bytes });
        freed.chain(self.strays.iter().cloned()).collect()
    }
}

impl Sorted {
    fn of(listed: &HashMap<String, Listed>) -> Self {
        let mut sorted = Self::default();
        // A name that Spack would not give can't be asked for, and is not larder's.
        for (path, object) in listed.iter().filter(|(path, _)| path_of(path).to_string() == **path) {
            let parts: Vec<&str> = path.split('/').collect();
            match Layout::recognise(&parts) {
                Some((layout, Place::Metadata(hash))) => sorted.metadata.push((layout, hash, path.clone())),
                Some((_, Place::Blob)) => drop(sorted.blobs.insert(path.clone(), object.bytes)),
                None if path.starts_with("v3/manifests/") => sorted.others.push(path.clone()),
                None => {}
            }
        }
        sorted
    }
}

fn path_of(path: &str) -> MirrorPath {
    MirrorPath::new(path.split('/'))
}

/// Every word of a text that has the form of a sha256.
fn digests_in(document: Option<&Vec<u8>>) -> impl Iterator<Item = &str> {
    let text = document.and_then(|document| std::str::from_utf8(document).ok()).unwrap_or_default();
    text.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == DIGEST_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_unknown_manifest_names_is_kept() {
        let digest = "0123456789abcdef".repeat(4);
        let document = format!("-----BEGIN PGP-----\n{{\"data\":[{{\"checksum\":\"{digest}\"}}]}}").into_bytes();
        assert_eq!(digests_in(Some(&document)).collect::<Vec<_>>(), [digest.as_str()]);
        assert_eq!(digests_in(None).count(), 0);
    }
}
