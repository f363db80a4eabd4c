//! Building the job mirror: metadata byte for byte, blobs as relative links, an index of exactly these entries.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use super::index::{IndexFormat, Listed, SpecNodes, index, read_spec_blob, spec_nodes};
use super::scope;
use super::{JobError, JobFolder};
use crate::mirror::{Layout, parse_v2};
use crate::store::StoredBlob;
use crate::types::BlobRole;
use crate::types::{DagHash, Mirror, MirrorPath, Sha256Digest, Signatures, SpecId};

/// A metadata document between its arrival and the building of the mirror. Large ones (layout v2 repeats the whole graph in
/// each) wait on disk, so that a thousand specs do not fill the memory.
#[derive(Debug)]
pub enum Document {
    /// In memory.
    Kept(Vec<u8>),
    /// In a file of `partial/`.
    Spooled(TempPath),
}

/// One spec of the job mirror.
#[derive(Debug)]
pub struct Entry {
    /// The spec whose binary it is.
    pub spec: SpecId,
    /// The mirror that published it.
    pub mirror: Arc<Mirror>,
    /// In which layout.
    pub layout: Layout,
    /// Where the metadata lies below the mirror.
    pub path: MirrorPath,
    /// The metadata.
    pub document: Document,
    /// The blobs, validated or downloaded in this run.
    pub blobs: Vec<EntryBlob>,
}

/// One blob of an entry.
#[derive(Clone, Debug)]
pub struct EntryBlob {
    /// What it is to the spec.
    pub role: BlobRole,
    /// Where it lies below the mirror.
    pub path: MirrorPath,
    /// The verified bytes.
    pub blob: StoredBlob,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobMirror {
    /// The configuration scope for `spack -C`.
    pub scope: PathBuf,
    /// How many specs Spack will find in it.
    pub specs: usize,
}

/// Documents larger than this wait on disk.
const KEEP_IN_MEMORY: usize = 16 << 10;

impl Document {
    /// Take a document; large ones go to a file in `spool`.
    pub fn new(bytes: Vec<u8>, spool: &Path) -> io::Result<Self> {
        if bytes.len() <= KEEP_IN_MEMORY {
            return Ok(Self::Kept(bytes));
        }
        let mut file = crate::fs::temporary_file(spool)?;
        io::Write::write_all(&mut file, &bytes)?;
        Ok(Self::Spooled(file.into_temp_path()))
    }

    /// The bytes.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Kept(bytes) => Ok(bytes.clone()),
            Self::Spooled(path) => fs::read(path),
        }
    }

    fn publish(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Kept(bytes) => fs::write(path, bytes),
            Self::Spooled(file) => crate::fs::publish(file, path),
        }
    }
}

/// Build the mirror and its configuration scope, in a job folder that was cleared.
pub fn build(folder: &JobFolder, entries: Vec<Entry>) -> Result<JobMirror, JobError> {
    let specs = entries.len();
    let (unsigned, signed): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.mirror.demanded_signatures() == Signatures::NotRequired);
    // Each kind needs a mirror of its own where both occur: `signed:` holds for a whole mirror, and neither demanding
    // signatures that do not exist nor waiving those that do would be right.
    let mirrors = if unsigned.is_empty() {
        vec![("larder", "mirror", Signatures::Required, signed)]
    } else if signed.is_empty() {
        vec![("larder", "mirror", Signatures::NotRequired, unsigned)]
    } else {
        vec![
            ("larder", "mirror", Signatures::Required, signed),
            ("larder-unsigned", "mirror-unsigned", Signatures::NotRequired, unsigned),
        ]
    };
    let mut scopes = Vec::new();
    for (name, subfolder, signatures, entries) in mirrors {
        let built = folder.partial().join(subfolder);
        build_one(folder, &built, entries)?;
        fs::rename(&built, folder.mirror(subfolder)).map_err(folder.failed("put the job mirror in place"))?;
        scopes.push((name, folder.mirror(subfolder), signatures));
    }
    let write_scope = || -> io::Result<()> {
        fs::create_dir_all(folder.scope())?;
        let path = folder.scope().join(scope::FILE_NAME);
        crate::fs::write_atomically(&path, scope::text(&scopes).as_bytes(), &folder.partial())
    };
    write_scope().map_err(folder.failed("write the configuration scope"))?;
    Ok(JobMirror { scope: folder.scope(), specs })
}

fn build_one(folder: &JobFolder, root: &Path, entries: Vec<Entry>) -> Result<(), JobError> {
    let failed = folder.failed("build the job mirror");
    fs::create_dir_all(root).map_err(&failed)?;
    let place = |path: &MirrorPath| path.below(root);
    let mut v3: Vec<SpecNodes> = Vec::new();
    let mut v2: Vec<SpecNodes> = Vec::new();
    for entry in entries {
        let nodes = entry.nodes()?;
        match entry.layout {
            Layout::V3 => v3.push(nodes),
            Layout::V2 => v2.push(nodes),
        }
        // The mirror is built in `partial/` and lies one level higher in the end, which the links must allow for.
        let write = || -> io::Result<()> {
            for blob in &entry.blobs {
                link(&place(&blob.path), root, folder, &blob.path, blob.blob.path())?;
            }
            Ok(())
        };
        write().map_err(&failed)?;
        let path = place(&entry.path);
        make_parent(&path).and_then(|()| entry.document.publish(&path)).map_err(&failed)?;
    }
    let write = || -> io::Result<()> {
        // An empty mirror is a v3 mirror: Spack complains about one without any index.
        if !v3.is_empty() || v2.is_empty() {
            let files = v3_index_files(index(&v3, &Listed::default(), IndexFormat::V8));
            files.iter().try_for_each(|(path, bytes)| write(&place(path), bytes))?;
        }
        if !v2.is_empty() {
            let files = v2_index_files(index(&v2, &Listed::default(), IndexFormat::V7));
            files.iter().try_for_each(|(path, bytes)| write(&place(path), bytes))?;
        }
        Ok(())
    };
    write().map_err(failed)
}

impl Entry {
    /// The nodes that the metadata describes, the spec itself first.
    fn nodes(&self) -> Result<SpecNodes, JobError> {
        let spec_blob = self.blobs.iter().find(|blob| blob.role == BlobRole::Spec);
        let spec_blob = spec_blob.map(|blob| (blob.blob.path(), blob.blob.bytes()));
        nodes_of(&self.spec, &self.mirror, self.layout, &self.path, &self.document, spec_blob)
    }
}

/// The nodes that a spec's metadata describes, the spec itself first. Layout v3 keeps them in a blob: a verified file of so
/// many bytes.
pub(crate) fn nodes_of(
    spec: &SpecId,
    mirror: &Mirror,
    layout: Layout,
    path: &MirrorPath,
    document: &Document,
    spec_blob: Option<(&Path, u64)>,
) -> Result<SpecNodes, JobError> {
    let wrong = |reason: String| JobError::SpecFile { mirror: mirror.name.clone(), spec: spec.to_string(), reason };
    let nodes = match layout {
        Layout::V3 => nodes_of_blob(spec_blob),
        Layout::V2 => {
            let document = document.read().map_err(|error| wrong(error.to_string()))?;
            nodes_of_document(&document, &mirror.url.join(path))
        }
    };
    let nodes = nodes.map_err(wrong)?;
    match nodes.nodes.first() {
        Some((hash, _)) if *hash == spec.hash => Ok(nodes),
        Some((hash, _)) => Err(wrong(format!("it describes {hash}"))),
        None => Err(wrong("it holds no spec".to_owned())),
    }
}

/// The spec that metadata describes, found as the index of a job mirror finds it: metadata that passes here can't keep a
/// mirror from being built. `blob` is the spec's own blob, which layout v3 has.
pub fn described_spec(layout: Layout, document: &[u8], blob: Option<&StoredBlob>) -> Result<DagHash, String> {
    let nodes = match layout {
        Layout::V3 => nodes_of_blob(blob.map(|blob| (blob.path(), blob.bytes())))?,
        Layout::V2 => {
            let url = url::Url::parse("file:///").map_err(|error| error.to_string())?;
            nodes_of_document(document, &url)?
        }
    };
    nodes.nodes.first().map(|(hash, _)| *hash).ok_or_else(|| "it holds no spec".to_owned())
}

/// The spec's own blob in layout v3: a verified file of so many bytes.
fn nodes_of_blob(blob: Option<(&Path, u64)>) -> Result<SpecNodes, String> {
    let (file, length) = blob.ok_or("there is none")?;
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|file| file.take(length).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    read_spec_blob(&bytes)
}

fn nodes_of_document(document: &[u8], url: &url::Url) -> Result<SpecNodes, String> {
    let metadata = parse_v2(document, url).map_err(|error| error.to_string())?;
    spec_nodes(metadata.spec.meta.version, &metadata.spec.nodes)
}

/// A relative link from the mirror, where it will lie in the end, to a blob of a cache.
fn link(at: &Path, root: &Path, folder: &JobFolder, path: &MirrorPath, blob: &Path) -> io::Result<()> {
    make_parent(at)?;
    let subfolder = root.file_name().unwrap_or_default();
    // Real paths: `..` behind a link would lead elsewhere.
    let from = path.below(&fs::canonicalize(folder.root())?.join(subfolder));
    let from = from.parent().unwrap_or(Path::new("/"));
    let blob = fs::canonicalize(blob)?;
    let target = pathdiff::diff_paths(&blob, from).unwrap_or(blob);
    match make_link(&target, at) {
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

/// The files of an index in layout v3, below the mirror, in the order in which they may appear.
pub(crate) fn v3_index_files(index: Vec<u8>) -> [(MirrorPath, Vec<u8>); 3] {
    let digest = Sha256Digest::from_bytes(Sha256::digest(&index).into());
    let manifest = json!({"version": 3, "data": [{
        "contentLength": index.len(),
        "mediaType": "application/vnd.spack.db.v8+json",
        "compression": "none",
        "checksumAlgorithm": "sha256",
        "checksum": digest,
    }]});
    [
        (MirrorPath::of_blob(digest), index),
        (MirrorPath::new(["v3", "layout.json"]), br#"{"signing": "gpg"}"#.to_vec()),
        (v3_index_manifest(), manifest.to_string().into_bytes()),
    ]
}

/// Where the manifest of the index lies.
pub(crate) fn v3_index_manifest() -> MirrorPath {
    MirrorPath::new(["v3", "manifests", "index", "index.manifest.json"])
}

/// The files of an index in layout v2, below the mirror, in the order in which they may appear.
pub(crate) fn v2_index_files(index: Vec<u8>) -> [(MirrorPath, Vec<u8>); 2] {
    let digest = Sha256Digest::from_bytes(Sha256::digest(&index).into());
    [
        (MirrorPath::new(["build_cache", "index.json"]), index),
        (MirrorPath::new(["build_cache", "index.json.hash"]), digest.to_string().into_bytes()),
    ]
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_parent(path)?;
    fs::write(path, bytes)
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
