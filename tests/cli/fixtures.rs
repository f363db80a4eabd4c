//! The mirrors and environments that real Spack made, and what they hold, found out without larder's help.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A mirror of the demo environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    V3Signed,
    V3Unsigned,
    V2Signed,
    V2Unsigned,
}

/// One file of a mirror that is named by its digest, or whose digest the metadata states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub digest: String,
    /// Where the mirror serves it, with a `/` in front.
    pub path: String,
    pub bytes: u64,
}

/// What a mirror holds of one spec.
#[derive(Clone, Debug)]
pub struct Published {
    pub hash: String,
    /// Where the mirror serves the metadata, with a `/` in front.
    pub metadata: String,
    /// The binary first.
    pub blobs: Vec<Blob>,
}

/// A file or folder of `tests/fixtures`.
pub fn fixture(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(relative)
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Mirror {
    pub fn folder(self) -> PathBuf {
        match self {
            Self::V3Signed => fixture("v3/mirror-signed"),
            Self::V3Unsigned => Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/mirror"),
            Self::V2Signed => fixture("v2/mirror-signed"),
            Self::V2Unsigned => fixture("v2/mirror-unsigned"),
        }
    }

    pub fn is_v3(self) -> bool {
        matches!(self, Self::V3Signed | Self::V3Unsigned)
    }

    pub fn is_signed(self) -> bool {
        matches!(self, Self::V3Signed | Self::V2Signed)
    }

    /// The environment whose specs are all in the mirror, as a folder of `tests/fixtures`.
    pub fn environment(self) -> &'static str {
        if self.is_v3() { "v3/env-demo" } else { "v2/env-demo" }
    }

    /// What Spack installs with `--cache-only`: link and run dependencies of the roots, without externals.
    pub fn needed(self) -> &'static [&'static str] {
        const V3: &[&str] = &["app", "libbase", "libmid", "plotter", "rtdata"];
        const V2: &[&str] = &["app", "gcc-runtime", "libbase", "libmid", "plotter", "rtdata"];
        if self.is_v3() { V3 } else { V2 }
    }

    /// What the mirror holds of this package.
    pub fn published(self, name: &str) -> Published {
        published_in(&self.folder(), name)
    }

    /// The blobs of everything that is needed.
    pub fn needed_blobs(self) -> Vec<Blob> {
        self.needed().iter().flat_map(|name| self.published(name).blobs).collect()
    }

    /// The paths of those blobs, sorted.
    pub fn needed_paths(self) -> Vec<String> {
        let mut paths: Vec<String> = self.needed_blobs().into_iter().map(|blob| blob.path).collect();
        paths.sort();
        paths
    }
}

/// What a mirror in some folder holds of this package, of either layout.
pub fn published_in(root: &Path, name: &str) -> Published {
    let hash_of = |file: &str| file.split(".spec.").next().unwrap().rsplit('-').next().unwrap().to_owned();
    if root.join("v3").is_dir() {
        let folder = root.join("v3/manifests/spec").join(name);
        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
        let manifest = json_within(&fs::read_to_string(folder.join(&file)).unwrap());
        let blob = |record: &Value| {
            let digest = record["checksum"].as_str().unwrap();
            let bytes = record["contentLength"].as_u64().unwrap();
            Blob { digest: digest.into(), path: format!("/blobs/sha256/{}/{digest}", &digest[..2]), bytes }
        };
        return Published {
            hash: hash_of(&file),
            metadata: format!("/v3/manifests/spec/{name}/{file}"),
            blobs: manifest["data"].as_array().unwrap().iter().map(blob).collect(),
        };
    }
    let is_metadata = |file: &String| {
        let stem = file.split(".spec.json").next().unwrap_or_default();
        let (rest, _hash) = stem.rsplit_once('-').unwrap_or_default();
        let (rest, _version) = rest.rsplit_once('-').unwrap_or_default();
        file.contains(".spec.json") && rest.ends_with(&format!("12.2.0-{name}"))
    };
    let names = fs::read_dir(root.join("build_cache")).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let file = names.find(is_metadata).unwrap_or_else(|| panic!("{name} is not in {}", root.display()));
    let hash = hash_of(&file);
    let mut found = Vec::new();
    walk(&root.join("build_cache"), &mut |path| {
        if path.to_string_lossy().ends_with(&format!("-{hash}.spack")) {
            found.push(path.to_owned());
        }
    });
    let bytes = fs::read(&found[0]).unwrap();
    let path = format!("/{}", found[0].strip_prefix(root).unwrap().to_str().unwrap());
    let blob = Blob { digest: sha256(&bytes), path, bytes: bytes.len() as u64 };
    Published { hash, metadata: format!("/build_cache/{file}"), blobs: vec![blob] }
}

/// The JSON inside a clear-signed text, or the text itself.
fn json_within(text: &str) -> Value {
    serde_json::from_str(&text[text.find('{').unwrap()..=text.rfind('}').unwrap()]).unwrap()
}

/// Call `visit` with every entry below a folder, links not followed.
pub fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        visit(&path);
        if path.is_dir() && !path.is_symlink() {
            walk(&path, visit);
        }
    }
}

/// Copy a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of the mirror without signatures, with another manifest of `libmid`; and where that is.
pub fn mirror_with_manifest(change: impl Fn(String) -> String) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&Mirror::V3Unsigned.folder(), folder.path());
    let metadata = Mirror::V3Unsigned.published("libmid").metadata;
    let path = folder.path().join(&metadata[1..]);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    (folder, metadata)
}

/// A mirror in which the binary of `app` has so many bytes, and their digest.
pub fn large_mirror(bytes: usize) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&Mirror::V3Unsigned.folder(), folder.path());
    // Bytes that differ from place to place, so that a stretch in a wrong place is noticed.
    let content: Vec<u8> = (0..bytes / 4).flat_map(|number| u32::try_from(number).unwrap().to_le_bytes()).collect();
    let digest = sha256(&content);
    let path = folder.path().join(&blob_path(&digest)[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &content).unwrap();
    let published = Mirror::V3Unsigned.published("app");
    let manifest = folder.path().join(&published.metadata[1..]);
    let mut json: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    for record in json["data"].as_array_mut().unwrap() {
        if record["checksum"] == published.blobs[0].digest.as_str() {
            record["checksum"] = digest.clone().into();
            record["contentLength"] = content.len().into();
        }
    }
    fs::write(&manifest, json.to_string()).unwrap();
    (folder, digest)
}

/// Where a mirror, or a cache, has a blob, with a `/` in front.
pub fn blob_path(digest: &str) -> String {
    format!("/blobs/sha256/{}/{digest}", &digest[..2])
}
