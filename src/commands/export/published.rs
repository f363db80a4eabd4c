//! What an export publishes about its blobs: keys, metadata, and an index of both this run's specs and earlier ones.

use std::collections::{BTreeMap, HashMap};

use super::inside;
use crate::export::{ExportError, ExportFolder};
use crate::job::{
    IndexFormat, JobError, Listed, SpecNodes, index, nodes_of, v2_index_files, v3_index_files, v3_index_manifest,
};
use crate::mirror::{Fingerprint, Layout, v2_key_files, v3_key_files};
use crate::pipeline::resolve::Located;
use crate::pipeline::{RunError, Session};
use crate::transport::Transport;
use crate::types::BlobRole;
use crate::types::{DagHash, Mirror, MirrorPath, Sha256Digest};

/// The keys for each folder of the export.
pub(super) type KeysOf = BTreeMap<String, BTreeMap<Fingerprint, Vec<u8>>>;

/// Ask each mirror that something comes from for its keys, in the layouts in which it has the specs.
pub(super) async fn keys(
    session: &Session<'_>,
    found: &[&Located],
    folder_of: &HashMap<DagHash, String>,
    transport: &Transport,
) -> Result<KeysOf, RunError> {
    let mut asked: Vec<(&Mirror, Layout)> = Vec::new();
    let mut keys = KeysOf::new();
    for found in found {
        let (mirror, layout) = (&*found.published.mirror, found.published.layout);
        if asked.contains(&(mirror, layout)) {
            continue;
        }
        asked.push((mirror, layout));
        let published = mirror.keys(layout, transport).await?;
        for reason in published.refused {
            session.warn(&format!("mirror `{}`: left out {reason}", mirror.name));
        }
        let keys = keys.entry(folder_of[&found.spec.hash].clone()).or_default();
        for key in published.found {
            keys.entry(key.fingerprint).or_insert(key.armored);
        }
    }
    Ok(keys)
}

/// Write the keys in each layout of each mirror, and say which there are.
pub(super) fn write_keys(
    folder: &ExportFolder,
    found: &[&Located],
    folder_of: &HashMap<DagHash, String>,
    keys: &KeysOf,
) -> Result<Vec<String>, RunError> {
    let mut fingerprints = Vec::new();
    for mirror in &folder.record.mirrors {
        let mut keys = keys.get(&mirror.folder).cloned().unwrap_or_default();
        keep_earlier_keys(folder, &mirror.folder, &mut keys);
        fingerprints.extend(keys.keys().map(ToString::to_string));
        if keys.is_empty() {
            continue;
        }
        for layout in layouts(found, folder_of, &mirror.folder) {
            let files = match layout {
                Layout::V3 => v3_key_files(&keys),
                Layout::V2 => v2_key_files(&keys),
            };
            for (path, bytes) in files {
                folder.write(&inside(&mirror.folder, &path), &bytes)?;
            }
        }
    }
    fingerprints.sort();
    fingerprints.dedup();
    Ok(fingerprints)
}

/// What an earlier run exported may be signed with a key of another mirror, which its index must not lose.
fn keep_earlier_keys(folder: &ExportFolder, mirror: &str, keys: &mut BTreeMap<Fingerprint, Vec<u8>>) {
    for (fingerprint, armored) in crate::mirror::keys_in(&|path| folder.read(&inside(mirror, path)), &|path| {
        folder.names_in(&inside(mirror, path))
    }) {
        keys.entry(fingerprint).or_insert(armored);
    }
}

fn layouts(found: &[&Located], folder_of: &HashMap<DagHash, String>, folder: &str) -> Vec<Layout> {
    let has = |layout: &Layout| {
        found.iter().any(|found| found.published.layout == *layout && folder_of[&found.spec.hash] == folder)
    };
    [Layout::V3, Layout::V2].into_iter().filter(has).collect()
}

/// The metadata, byte for byte, and then the index of all of it.
pub(super) fn write_metadata(
    folder: &ExportFolder,
    found: &[&Located],
    folder_of: &HashMap<DagHash, String>,
) -> Result<(), RunError> {
    for mirror in &folder.record.mirrors {
        let (mut v3, mut v2) = (Vec::new(), Vec::new());
        for found in found.iter().filter(|found| folder_of[&found.spec.hash] == mirror.folder) {
            let published = &found.published;
            // Kept by `resolve`, as it was asked to.
            let Some(document) = &found.document else { continue };
            let spec_blob = published.blobs.iter().find(|blob| blob.role == BlobRole::Spec).and_then(|blob| {
                let path = inside(&mirror.folder, &blob.path);
                Some((folder.path_of(&path), folder.size_of(&path)?))
            });
            let spec_blob = spec_blob.as_ref().map(|(path, bytes)| (path.as_path(), *bytes));
            let nodes =
                nodes_of(&found.spec, &published.mirror, published.layout, &published.path, document, spec_blob)?;
            match published.layout {
                Layout::V3 => v3.push(nodes),
                Layout::V2 => v2.push(nodes),
            }
            let failed = |source| JobError::Io { path: folder.root().to_owned(), what: "read metadata", source };
            let bytes = document.read().map_err(failed)?;
            folder.write(&inside(&mirror.folder, &published.path), &bytes)?;
        }
        write_index(folder, &mirror.folder, &v3, &v2)?;
    }
    Ok(())
}

/// List what was exported now and before. An empty mirror gets an index as well: Spack complains about one without any.
fn write_index(folder: &ExportFolder, mirror: &str, v3: &[SpecNodes], v2: &[SpecNodes]) -> Result<(), ExportError> {
    let manifest = inside(mirror, &v3_index_manifest());
    let v2_index = inside(mirror, &MirrorPath::new(["build_cache", "index.json"]));
    let is_empty = folder.size_of(&manifest).is_none() && folder.size_of(&v2_index).is_none();
    if !v3.is_empty() || (v2.is_empty() && is_empty) {
        let old = folder.read(&manifest).and_then(|text| index_blob(&text)).map(|path| inside(mirror, &path));
        let earlier = old.as_ref().and_then(|path| folder.read(path)).unwrap_or_default();
        let files = v3_index_files(index(v3, &Listed::read(&earlier, IndexFormat::V8), IndexFormat::V8));
        for (path, bytes) in &files {
            folder.write(&inside(mirror, path), bytes)?;
        }
        // Nothing leads to it any more. Only what is an index goes: the manifest could have been changed to name a binary.
        let is_new = |old: &MirrorPath| files.iter().any(|(path, _)| inside(mirror, path) == *old);
        if let Some(old) = old.filter(|old| earlier.starts_with(b"{\"database\"") && !is_new(old)) {
            folder.remove(&old)?;
        }
    }
    if !v2.is_empty() {
        let earlier = folder.read(&v2_index).unwrap_or_default();
        let files = v2_index_files(index(v2, &Listed::read(&earlier, IndexFormat::V7), IndexFormat::V7));
        for (path, bytes) in &files {
            folder.write(&inside(mirror, path), bytes)?;
        }
    }
    Ok(())
}

/// The blob that the manifest of an index names.
fn index_blob(manifest: &[u8]) -> Option<MirrorPath> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    let digest: Sha256Digest = manifest["data"][0]["checksum"].as_str()?.parse().ok()?;
    Some(MirrorPath::of_blob(digest))
}
