//! The mirrors of an export: which spec goes into which, and what is published about the blobs: keys, metadata, and an index of
//! both this run's specs and earlier ones.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;

use super::{ExportError, ExportFolder, ExportRecord};
use crate::mirror::{
    Document, Fingerprint, Layout, MirrorError, Published, PublishedBlob, SpecNodes, indexes, key_files, keys_at,
};
use crate::transport::Transport;
use crate::types::{Mirror, MirrorPath, SpecId};

/// A spec, and where it goes.
pub struct Exported<'a> {
    /// The spec whose binary it is.
    pub spec: &'a SpecId,
    published: &'a Published,
    document: &'a Document,
    folder: String,
}

/// A blob, and where it goes.
pub struct Copy {
    /// What it is called in messages.
    pub name: String,
    /// Where it goes, below the export.
    pub path: MirrorPath,
    /// What it is.
    pub blob: PublishedBlob,
}

/// The public keys for each mirror of the export, by the mirror's folder.
#[derive(Default)]
pub struct Keys(BTreeMap<String, BTreeMap<Fingerprint, Vec<u8>>>);

impl<'a> Exported<'a> {
    /// Find the mirror for each spec; made known in `record` where it is new. There is one even where there is no spec: a
    /// configuration without mirrors is an error.
    pub fn all(
        record: &mut ExportRecord,
        specs: impl Iterator<Item = (&'a SpecId, &'a Published, &'a Document)>,
    ) -> Vec<Self> {
        let specs: Vec<_> = specs.collect();
        if record.mirrors.is_empty() {
            let demanded = specs.iter().map(|(_, published, _)| published.mirror.demanded_signatures());
            record.folder_for(demanded.min().unwrap_or_default());
        }
        let exported = |(spec, published, document): (_, &'a Published, _)| {
            let folder = record.folder_for(published.mirror.demanded_signatures());
            Self { spec, published, document, folder }
        };
        specs.into_iter().map(exported).collect()
    }

    /// The path in the export of a file of the mirror.
    fn place_of(&self, path: &MirrorPath) -> MirrorPath {
        inside(&self.folder, path)
    }
}

/// A path in one of the export's mirrors.
fn inside(folder: &str, path: &MirrorPath) -> MirrorPath {
    MirrorPath::new([folder].into_iter().chain(path.parts()))
}

/// The blobs of these specs, each once.
pub fn copies(specs: &[Exported<'_>]) -> Vec<Copy> {
    let mut seen = HashSet::new();
    let mut copies = Vec::new();
    for exported in specs {
        for blob in &exported.published.blobs {
            let path = exported.place_of(&blob.path);
            if seen.insert(path.to_string()) {
                let name = format!("{}@{}", exported.spec.name, exported.spec.version);
                copies.push(Copy { name, path, blob: blob.clone() });
            }
        }
    }
    copies
}

/// Ask each mirror that something comes from for its keys, in the layouts in which it has the specs. `warn` is told what is left
/// out.
pub async fn keys(specs: &[Exported<'_>], transport: &Transport, warn: &dyn Fn(&str)) -> Result<Keys, MirrorError> {
    let mut asked: Vec<(&Mirror, Layout)> = Vec::new();
    let mut keys = Keys::default();
    for Exported { published, folder, .. } in specs {
        let (mirror, layout) = (&*published.mirror, published.layout);
        if asked.contains(&(mirror, layout)) {
            continue;
        }
        asked.push((mirror, layout));
        let published = mirror.keys(layout, transport).await?;
        for reason in published.refused {
            warn(&format!("mirror `{}`: left out {reason}", mirror.name));
        }
        let keys = keys.0.entry(folder.clone()).or_default();
        for (fingerprint, armored) in published.found {
            keys.entry(fingerprint).or_insert(armored);
        }
    }
    Ok(keys)
}

/// Write the keys in each layout of each mirror, and say which there are.
pub async fn write_keys(
    folder: &ExportFolder,
    specs: &[Exported<'_>],
    mut keys: Keys,
) -> Result<Vec<String>, ExportError> {
    let mut fingerprints = BTreeSet::new();
    for mirror in &folder.record.mirrors {
        let mut keys = keys.0.remove(&mirror.folder).unwrap_or_default();
        let read = async |path: &MirrorPath| Ok::<_, Infallible>(folder.read(&inside(&mirror.folder, path)));
        for layout in Layout::ALL {
            // What an earlier run exported may be signed with a key of another mirror, which the index must not lose.
            let Ok(earlier) = keys_at(&mirror.folder, layout, &read).await;
            for (fingerprint, armored) in earlier.found {
                keys.entry(fingerprint).or_insert(armored);
            }
        }
        fingerprints.extend(keys.keys().map(ToString::to_string));
        let here = specs.iter().filter(|exported| exported.folder == mirror.folder);
        let layouts: BTreeSet<Layout> = here.map(|exported| exported.published.layout).collect();
        for layout in layouts.into_iter().filter(|_| !keys.is_empty()) {
            for (path, bytes) in key_files(layout, &keys) {
                folder.write(&inside(&mirror.folder, &path), &bytes)?;
            }
        }
    }
    Ok(fingerprints.into_iter().collect())
}

/// Write the metadata, byte for byte, and then the index of all of it.
pub fn write_metadata(folder: &ExportFolder, specs: &[Exported<'_>]) -> Result<(), ExportError> {
    for mirror in &folder.record.mirrors {
        let mut listed: BTreeMap<Layout, Vec<SpecNodes>> = BTreeMap::new();
        for exported in specs.iter().filter(|exported| exported.folder == mirror.folder) {
            let Exported { spec, published, document, .. } = exported;
            let document = document.read().map_err(ExportError::io("read metadata"))?;
            let locate = |blob: &PublishedBlob| folder.locate(&exported.place_of(&blob.path));
            listed.entry(published.layout).or_default().push(published.nodes(spec, &document, &locate)?);
            folder.write(&exported.place_of(&published.path), &document)?;
        }
        for index in indexes(listed, &|path| folder.read(&inside(&mirror.folder, path))) {
            for (path, bytes) in &index.files {
                folder.write(&inside(&mirror.folder, path), bytes)?;
            }
            if let Some(obsolete) = index.obsolete {
                folder.remove(&inside(&mirror.folder, &obsolete))?;
            }
        }
    }
    Ok(())
}
