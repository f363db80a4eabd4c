//! Building the job mirror: metadata byte for byte, blobs as relative links, an index of exactly these entries.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use super::scope::{FILE_NAME, scope_text};
use super::{JobError, JobFolder};
use crate::fs::{Folder, Obstacle};
use crate::mirror::{Layout, Published, SpecNodes, indexes};
use crate::store::StoredBlob;
use crate::types::{MirrorPath, Signatures};

/// One spec of the job mirror.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What a mirror published for it.
    pub published: &'a Published,
    /// The blobs that the metadata promises, in its order, validated or downloaded in this run.
    pub blobs: Vec<StoredBlob>,
}

/// Build the mirror and its configuration scope, in a job folder that was cleared.
pub fn build(folder: &JobFolder, entries: Vec<Entry<'_>>) -> Result<(), JobError> {
    // Each kind needs a mirror of its own where both occur: `signed:` holds for a whole mirror, and neither demanding
    // signatures that do not exist nor waiving those that do would be right.
    let mut kinds: BTreeMap<Signatures, Vec<Entry<'_>>> = BTreeMap::new();
    for entry in entries {
        kinds.entry(entry.published.mirror.demanded_signatures()).or_default().push(entry);
    }
    if kinds.is_empty() {
        kinds.insert(Signatures::Required, Vec::new());
    }
    let names = [("larder", "mirror"), ("larder-unsigned", "mirror-unsigned")];
    let mut mirrors = Vec::new();
    for ((name, subfolder), (signatures, entries)) in names.into_iter().zip(kinds) {
        let (built, place) = (folder.partial().join(subfolder), folder.root().join(subfolder));
        build_one(folder, &built, &entries)?;
        fs::rename(&built, &place).map_err(folder.failed("put the job mirror in place"))?;
        let url = url::Url::from_file_path(&place).map_or_else(|()| place.display().to_string(), String::from);
        mirrors.push((name, url, signatures));
    }
    let scope = scope_text("Written by larder for one job; use it with `spack -C .larder/job/spack`.", mirrors);
    let write_scope = || -> io::Result<()> {
        fs::create_dir_all(folder.scope())?;
        crate::fs::write_atomically(&folder.scope().join(FILE_NAME), scope.as_bytes(), &folder.partial())
    };
    write_scope().map_err(folder.failed("write the configuration scope"))
}

fn build_one(folder: &JobFolder, root: &Path, entries: &[Entry<'_>]) -> Result<(), JobError> {
    let failed = folder.failed("build the job mirror");
    let mirror = Folder::at(root);
    fs::create_dir_all(root).map_err(&failed)?;
    let write = |path: &MirrorPath, bytes: &[u8]| {
        let place = mirror.make_place(path, Obstacle::Remove);
        place.and_then(|place| fs::write(place, bytes)).map_err(&failed)
    };
    let mut listed: BTreeMap<Layout, Vec<SpecNodes>> = BTreeMap::new();
    for Entry { published, blobs } in entries {
        let document = published.document.read().map_err(&failed)?;
        let nodes = published.nodes(&document, &|blob| StoredBlob::locate(blobs, blob.expected.digest))?;
        write(&published.path, &published.shown(document, &nodes))?;
        listed.entry(published.layout).or_default().push(nodes);
        for (blob, stored) in published.blobs.iter().zip(blobs) {
            link(folder, &mirror, Path::new(root.file_name().unwrap_or_default()), &blob.path, stored)
                .map_err(&failed)?;
        }
    }
    let indexes = indexes(listed, &|_| None);
    indexes.iter().flat_map(|index| &index.files).try_for_each(|(path, bytes)| write(path, bytes))
}

/// A relative link to a blob of a cache, from the mirror where it will lie in the end, in `subfolder` of the job folder: it is
/// built in `partial/`, one level deeper.
pub(super) fn link(
    folder: &JobFolder,
    mirror: &Folder,
    subfolder: &Path,
    path: &MirrorPath,
    blob: &StoredBlob,
) -> io::Result<()> {
    let at = mirror.make_place(path, Obstacle::Remove)?;
    // Real paths: `..` behind a link would lead elsewhere.
    let from = path.below(&fs::canonicalize(folder.root())?.join(subfolder));
    let from = from.parent().unwrap_or(Path::new("/"));
    let blob = fs::canonicalize(blob.path())?;
    let target = pathdiff::diff_paths(&blob, from).unwrap_or(blob);
    match symlink(target, at) {
        // Two specs with the very same blob.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}
