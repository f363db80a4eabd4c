//! The mirrors of an export: which spec goes into which, and what is published about the blobs: keys, metadata, and an index of
//! both this run's specs and earlier ones.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{ExportError, ExportFolder, ExportRecord};
use crate::mirror::{
    Fingerprint, Layout, MirrorError, Published, PublishedBlob, SpecNodes, indexes, key_files, keys_at,
};
use crate::transport::Transport;
use crate::types::{Mirror, MirrorPath};
use crate::verified::Expected;

/// What goes into one of the export's mirrors in this run.
pub struct Batch<'a> {
    folder: String,
    specs: Vec<&'a Published>,
    keys: BTreeMap<Fingerprint, Vec<u8>>,
}

/// A blob, and where it goes.
pub struct Copy {
    /// What it is called in messages.
    pub name: String,
    /// Where it goes, below the export.
    pub path: MirrorPath,
    /// What it is.
    pub expected: Expected,
}

impl<'a> Batch<'a> {
    /// Find the mirror for each spec; made known in `record` where it is new. There is one even where there is no spec: a
    /// configuration without mirrors is an error.
    pub fn all(record: &mut ExportRecord, specs: &[&'a Published]) -> Vec<Self> {
        let demanded = |published: &Published| published.mirror.demanded_signatures();
        if record.mirrors.is_empty() {
            record.folder_for(specs.iter().map(|published| demanded(published)).min().unwrap_or_default());
        }
        let mut by_folder: BTreeMap<String, Vec<&Published>> = BTreeMap::new();
        for published in specs {
            by_folder.entry(record.folder_for(demanded(published))).or_default().push(published);
        }
        let batch = |folder: String| Self {
            specs: by_folder.remove(&folder).unwrap_or_default(),
            folder,
            keys: BTreeMap::new(),
        };
        record.mirrors.iter().map(|mirror| mirror.folder.clone()).map(batch).collect()
    }

    /// The path in the export of a file of the mirror.
    fn place_of(&self, path: &MirrorPath) -> MirrorPath {
        MirrorPath::new([self.folder.as_str()].into_iter().chain(path.parts()))
    }

    /// The blobs of its specs, each once.
    pub fn copies(&self) -> Vec<Copy> {
        let mut seen = HashSet::new();
        let mut copies = Vec::new();
        for published in &self.specs {
            for blob in published.blobs.iter().filter(|blob| seen.insert(blob.path.to_string())) {
                let name = format!("{}@{}", published.spec.name, published.spec.version);
                copies.push(Copy { name, path: self.place_of(&blob.path), expected: blob.expected });
            }
        }
        copies
    }

    /// Ask each mirror that something comes from for its keys, in the layouts in which it has the specs. `warn` is told what is
    /// left out.
    pub async fn ask_for_keys(&mut self, transport: &Transport, warn: &dyn Fn(&str)) -> Result<(), MirrorError> {
        let mut asked: Vec<(&Mirror, Layout)> = Vec::new();
        for published in &self.specs {
            let (mirror, layout) = (&*published.mirror, published.layout);
            if asked.contains(&(mirror, layout)) {
                continue;
            }
            asked.push((mirror, layout));
            let keys = mirror.keys(layout, transport).await?;
            for reason in keys.refused {
                warn(&format!("mirror `{}`: left out {reason}", mirror.name));
            }
            for (fingerprint, armored) in keys.found {
                self.keys.entry(fingerprint).or_insert(armored);
            }
        }
        Ok(())
    }

    /// Write what is published about the blobs, and say which keys there are.
    pub async fn publish(mut self, folder: &ExportFolder) -> Result<Vec<String>, ExportError> {
        for layout in Layout::ALL {
            // What an earlier run exported may be signed with a key of another mirror, which the index must not lose.
            let read = async |path: &MirrorPath| Ok::<_, MirrorError>(folder.read(&self.place_of(path)));
            for (fingerprint, armored) in keys_at(&self.folder, layout, &read).await?.found {
                self.keys.entry(fingerprint).or_insert(armored);
            }
        }
        let layouts: BTreeSet<Layout> = self.specs.iter().map(|published| published.layout).collect();
        for layout in layouts.into_iter().filter(|_| !self.keys.is_empty()) {
            self.write_all(folder, &key_files(layout, &self.keys))?;
        }
        self.write_metadata(folder)?;
        Ok(self.keys.keys().map(ToString::to_string).collect())
    }

    /// Write the metadata, byte for byte, and then the index of all of it.
    fn write_metadata(&self, folder: &ExportFolder) -> Result<(), ExportError> {
        let locate = |blob: &PublishedBlob| folder.locate(&self.place_of(&blob.path));
        let mut listed: BTreeMap<Layout, Vec<SpecNodes>> = BTreeMap::new();
        for published in &self.specs {
            let document = published.document.read().map_err(ExportError::io("read metadata"))?;
            let nodes = published.nodes(&document, &locate)?;
            folder.write(&self.place_of(&published.path), &published.shown(document, &nodes))?;
            listed.entry(published.layout).or_default().push(nodes);
        }
        for index in indexes(listed, &|path| folder.read(&self.place_of(path))) {
            self.write_all(folder, &index.files)?;
            for obsolete in index.obsolete {
                folder.remove(&self.place_of(&obsolete))?;
            }
        }
        Ok(())
    }

    fn write_all(&self, folder: &ExportFolder, files: &[(MirrorPath, Vec<u8>)]) -> Result<(), ExportError> {
        files.iter().try_for_each(|(path, bytes)| folder.write(&self.place_of(path), bytes))
    }
}
