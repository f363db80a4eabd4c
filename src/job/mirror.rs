//! Building the job mirror: metadata byte for byte, blobs as relative links, an index of exactly these entries.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::scope;
use super::{JobError, JobFolder};
use crate::mirror::{Document, Layout, Published, PublishedBlob, SpecNodes, indexes};
use crate::store::StoredBlob;
use crate::types::{MirrorPath, Signatures, SpecId};

/// One spec of the job mirror.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The spec whose binary it is.
    pub spec: &'a SpecId,
    /// What a mirror published for it.
    pub published: &'a Published,
    /// The metadata.
    pub document: Document,
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
    let mut scopes = Vec::new();
    for ((name, subfolder), (signatures, entries)) in names.into_iter().zip(kinds) {
        let (built, place) = (folder.partial().join(subfolder), folder.root().join(subfolder));
        build_one(folder, &built, entries)?;
        fs::rename(&built, &place).map_err(folder.failed("put the job mirror in place"))?;
        scopes.push((name, place, signatures));
    }
    let write_scope = || -> io::Result<()> {
        fs::create_dir_all(folder.scope())?;
        let path = folder.scope().join(scope::FILE_NAME);
        crate::fs::write_atomically(&path, scope::text(&scopes).as_bytes(), &folder.partial())
    };
    write_scope().map_err(folder.failed("write the configuration scope"))
}

fn build_one(folder: &JobFolder, root: &Path, entries: Vec<Entry<'_>>) -> Result<(), JobError> {
    let failed = folder.failed("build the job mirror");
    fs::create_dir_all(root).map_err(&failed)?;
    let mut listed: BTreeMap<Layout, Vec<SpecNodes>> = BTreeMap::new();
    for entry in entries {
        let Entry { spec, published, document, blobs } = entry;
        let locate = |blob: &PublishedBlob| {
            let stored = blobs.iter().find(|stored| stored.digest() == blob.expected.digest)?;
            Some((stored.path().to_owned(), stored.bytes()))
        };
        let document = document.read().map_err(&failed)?;
        listed.entry(published.layout).or_default().push(published.nodes(spec, &document, &locate)?);
        let place = || -> io::Result<()> {
            for (blob, stored) in published.blobs.iter().zip(&blobs) {
                link(folder, root, &blob.path, stored)?;
            }
            fs::write(make_place(root, &published.path)?, &document)
        };
        place().map_err(&failed)?;
    }
    for (path, bytes) in indexes(listed, &|_| None).into_iter().flat_map(|index| index.files) {
        make_place(root, &path).and_then(|place| fs::write(place, bytes)).map_err(&failed)?;
    }
    Ok(())
}

/// A relative link to a blob of a cache, from the mirror where it will lie in the end: it is built in `partial/`, one level deeper.
fn link(folder: &JobFolder, root: &Path, path: &MirrorPath, blob: &StoredBlob) -> io::Result<()> {
    let at = make_place(root, path)?;
    let subfolder = root.file_name().unwrap_or_default();
    // Real paths: `..` behind a link would lead elsewhere.
    let from = path.below(&fs::canonicalize(folder.root())?.join(subfolder));
    let from = from.parent().unwrap_or(Path::new("/"));
    let blob = fs::canonicalize(blob.path())?;
    let target = pathdiff::diff_paths(&blob, from).unwrap_or(blob);
    match make_link(&target, &at) {
        // Two specs with the very same blob.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

#[cfg(unix)]
fn make_link(target: &Path, at: &Path) -> io::Result<()> {
    fs_err::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
fn make_link(target: &Path, at: &Path) -> io::Result<()> {
    fs_err::os::windows::fs::symlink_file(target, at)
}

/// Make the folders above a file, and say where it goes.
fn make_place(root: &Path, path: &MirrorPath) -> io::Result<PathBuf> {
    let place = path.below(root);
    place.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(place)
}
