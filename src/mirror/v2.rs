//! Layout v2 (Spack 0.18 to 0.23; older ones named the files alike, but the digest was that of something inside): a spec file and an archive in `build_cache/`, named after the spec.
//!
//! The archive keeps its name when a mirror rebuilds it; only the digest in the spec file changes. The spec file states no
//! size. It names its spec, which is compared with the one asked for: a signature says that the file comes from a trusted key,
//! not that it belongs under this name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::MirrorError;
use super::metadata::{Metadata, PublishedBlob, Signature};
use super::rules::{Extra, Find, Place, Promises, Rules, Survey, hash_at_end};
use super::spec_file::{SpecGraph, SpecNodes};
use crate::types::{BlobRole, MirrorPath, PackageName, Sha256Digest, SpecId, VersionText, path_part};
use crate::verified::{Expected, Size};

const SIGNED: &str = ".spec.json.sig";
const PLAIN: &str = ".spec.json";
const ARCHIVE: &str = ".spack";

/// The version of the index: that of Spack 0.21 to 0.23, which wrote this layout last.
const INDEX_VERSION: u32 = 7;

/// What a spec file says, as far as larder cares.
#[derive(Deserialize)]
struct SpecFile {
    spec: SpecGraph,
    binary_cache_checksum: Checksum,
    buildcache_layout_version: Option<u64>,
}

#[derive(Deserialize)]
struct Checksum {
    hash_algorithm: String,
    hash: String,
}

#[derive(Deserialize)]
struct NodeHash {
    hash: String,
}

#[derive(Deserialize)]
struct Node {
    name: PackageName,
    version: VersionText,
}

/// The names of a spec's files: the stem of all of them, and the folders of the archive.
struct Names {
    stem: String,
    folders: [String; 3],
}

impl Names {
    fn of(spec: &SpecId) -> Self {
        let SpecId { name, version, hash, arch, compiler } = spec;
        let arch = format!("{}-{}-{}", arch.platform, arch.platform_os, arch.target);
        let compiler = compiler.as_ref().map(|compiler| format!("{}-{}", compiler.name, compiler.version));
        let folders = [arch, compiler.unwrap_or_else(|| "none-none".to_owned()), format!("{name}-{version}")];
        // Spack applies its rule for file names to the whole stem, then appends the extension.
        let stem = path_part(&format!("{}-{hash}", folders.join("-")));
        Self { stem, folders }
    }

    fn metadata(&self, extension: &str) -> MirrorPath {
        MirrorPath::new(["build_cache", &format!("{}{extension}", self.stem)])
    }

    fn archive(&self) -> MirrorPath {
        let [arch, compiler, package] = &self.folders;
        MirrorPath::new(["build_cache", arch, compiler, package, &format!("{}{ARCHIVE}", self.stem)])
    }
}

/// The rules of layout v2.
pub(super) struct V2;

impl Rules for V2 {
    /// The signed spec file comes first.
    fn places(&self, spec: &SpecId) -> Vec<MirrorPath> {
        let names = Names::of(spec);
        [SIGNED, PLAIN].map(|extension| names.metadata(extension)).into()
    }

    /// Spack looks for a signature in a spec file with the name of a signed one, and in no other.
    fn promises(&self, spec: &SpecId, path: &MirrorPath, metadata: Metadata<'_>) -> Result<Promises, MirrorError> {
        let is_named_signed = path.parts().last().is_some_and(|file| file.ends_with(SIGNED));
        let (file, signature): (SpecFile, _) = metadata.signed_json()?;
        let signature = match (is_named_signed, signature) {
            (false, _) => Signature::Absent,
            (true, Signature::Present) => Signature::Present,
            (true, _) => Signature::InNameOnly,
        };
        let (expected, path) = (file.promise_for(spec, metadata)?, Names::of(spec).archive());
        Ok(Promises { signature, blobs: vec![PublishedBlob { role: BlobRole::Binary, expected, path }] })
    }

    fn survey(&self, path: &[&str], metadata: Metadata<'_>, find: Find<'_>) -> Result<Survey, String> {
        let file = SpecFile::read(metadata).map_err(|error| error.to_string())?;
        let expected = file.promise(metadata).map_err(|_| "it states no sha256")?;
        let stem = path.last().and_then(|file| stem(file)).unwrap_or_default();
        let path = find(&format!("{stem}{ARCHIVE}")).ok_or("its archive is missing")?;
        let package = file.spec.first::<Node>().ok().map(|node| (node.name, node.version));
        Ok(Survey { package, blobs: vec![PublishedBlob { role: BlobRole::Binary, expected, path }] })
    }

    fn nodes(&self, metadata: Metadata<'_>, _: Option<(PathBuf, u64)>) -> Result<SpecNodes, String> {
        SpecFile::read(metadata).map_err(|error| error.to_string())?.spec.nodes()
    }

    fn recognise(&self, path: &[&str]) -> Option<Place> {
        match path {
            ["build_cache", file] => hash_at_end(stem(file)?).map(Place::Metadata),
            ["build_cache", _, _, _, file] => hash_at_end(file.strip_suffix(ARCHIVE)?).map(|_| Place::Blob),
            _ => None,
        }
    }

    fn place_of(&self, extra: Extra<'_>) -> MirrorPath {
        match extra {
            Extra::Index => MirrorPath::new(["build_cache", "index.json"]),
            Extra::KeyIndex => MirrorPath::new(["build_cache", "_pgp", "index.json"]),
            Extra::Key(fingerprint) => MirrorPath::new(["build_cache", "_pgp", &format!("{fingerprint}.pub")]),
        }
    }

    fn publish(&self, extra: Extra<'_>, content: Vec<u8>) -> Vec<(MirrorPath, Vec<u8>)> {
        vec![(self.place_of(extra), content)]
    }

    fn content_of(&self, _: Extra<'_>, _: Metadata<'_>) -> Result<Option<Expected>, String> {
        Ok(None)
    }

    fn index_version(&self, _: u32) -> u32 {
        INDEX_VERSION
    }

    fn publish_indexes(&self, versions: BTreeMap<u32, Vec<u8>>) -> Vec<(MirrorPath, Vec<u8>)> {
        let Some((_, content)) = versions.into_iter().next_back() else { return Vec::new() };
        let digest = Sha256Digest::of(&content).to_string().into_bytes();
        vec![(self.place_of(Extra::Index), content), (place_of_index_hash(), digest)]
    }

    fn indexes_of(&self, _: Metadata<'_>) -> Result<BTreeMap<u32, Option<Expected>>, String> {
        Ok([(INDEX_VERSION, None)].into())
    }

    /// Nodes of format 3 (Spack before 0.21) differ from format 4, which the index has, in their edges only.
    fn index_node(&self, mut node: Value, version: u32) -> Value {
        if let (3, Some(Value::Array(edges))) = (version, node.get_mut("dependencies")) {
            for edge in edges.iter_mut().filter_map(Value::as_object_mut) {
                if let Some(types) = edge.remove("type") {
                    edge.insert("parameters".to_owned(), json!({"deptypes": types, "virtuals": []}));
                }
            }
        }
        node
    }
}

/// The sha256 of the index.
pub(super) fn place_of_index_hash() -> MirrorPath {
    MirrorPath::new(["build_cache", "index.json.hash"])
}

/// What the file with the sha256 of the index says: Spack reads 64 characters of it, and takes anything else for none.
pub(super) fn index(hash: &[u8]) -> Option<Sha256Digest> {
    std::str::from_utf8(hash.get(..64)?).ok()?.parse().ok()
}

/// What the names of all files of a spec begin with.
fn stem(metadata: &str) -> Option<&str> {
    metadata.strip_suffix(SIGNED).or_else(|| metadata.strip_suffix(PLAIN))
}

impl SpecFile {
    fn read(metadata: Metadata<'_>) -> Result<Self, MirrorError> {
        metadata.signed_json().map(|(file, _)| file)
    }

    /// What it promises of the archive, whatever the spec.
    fn promise(&self, metadata: Metadata<'_>) -> Result<Expected, MirrorError> {
        let Checksum { hash_algorithm, hash } = &self.binary_cache_checksum;
        metadata.promise(hash_algorithm, hash, Size::AtMost(u64::MAX))
    }

    fn promise_for(&self, spec: &SpecId, metadata: Metadata<'_>) -> Result<Expected, MirrorError> {
        let node: NodeHash = self.spec.first().map_err(|reason| metadata.wrong(reason))?;
        if node.hash != spec.hash.as_str() {
            let found = node.hash.chars().take(64).flat_map(char::escape_debug).collect();
            return Err(MirrorError::OtherSpec { url: metadata.at.clone(), expected: spec.hash, found });
        }
        // Source: `extract_tarball` of Spack 0.23, which takes an absent version for 0.
        if self.buildcache_layout_version.unwrap_or(0) == 0 {
            return Err(metadata.wrong("it is from before Spack 0.18, when the digest was not yet that of the archive"));
        }
        self.promise(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Arch, Compiler, PublicUrl};

    const HASH: &str = "oqvyxleilmspgrgriztrdotnu2d4pemb";

    fn spec(version: &str, compiler: Option<(&str, &str)>) -> SpecId {
        SpecId {
            name: "app".parse().unwrap(),
            version: version.parse().unwrap(),
            hash: HASH.parse().unwrap(),
            arch: Arch {
                platform: "linux".parse().unwrap(),
                platform_os: "debian12".parse().unwrap(),
                target: "x86_64_v3".parse().unwrap(),
            },
            compiler: compiler
                .map(|(name, version)| Compiler { name: name.parse().unwrap(), version: version.parse().unwrap() }),
        }
    }

    #[test]
    fn files_are_named_as_spack_names_them() {
        let names = Names::of(&spec("3.1.4", Some(("gcc", "12.2.0"))));
        insta::assert_snapshot!(
            names.metadata(".spec.json.sig"),
            @"build_cache/linux-debian12-x86_64_v3-gcc-12.2.0-app-3.1.4-oqvyxleilmspgrgriztrdotnu2d4pemb.spec.json.sig"
        );
        insta::assert_snapshot!(
            names.archive(),
            @"build_cache/linux-debian12-x86_64_v3/gcc-12.2.0/app-3.1.4/linux-debian12-x86_64_v3-gcc-12.2.0-app-3.1.4-oqvyxleilmspgrgriztrdotnu2d4pemb.spack"
        );
    }

    #[test]
    fn a_git_version_and_no_compiler_are_named_as_spack_names_them() {
        insta::assert_snapshot!(
            Names::of(&spec("git.feature/x=0.4", None)).archive(),
            @"build_cache/linux-debian12-x86_64_v3/none-none/app-git.feature_x_0.4/linux-debian12-x86_64_v3-none-none-app-git.feature_x_0.4-oqvyxleilmspgrgriztrdotnu2d4pemb.spack"
        );
    }

    fn complaint(change: impl FnOnce(&mut Value)) -> String {
        let mut value = json!({
            "spec": {"_meta": {"version": 4}, "nodes": [{"name": "app", "hash": HASH}]},
            "buildcache_layout_version": 2,
            "binary_cache_checksum": {"hash_algorithm": "sha256", "hash": "ab".repeat(32)},
        });
        change(&mut value);
        let document = value.to_string();
        let at = PublicUrl::of_text("https://mirror/x.json");
        let metadata = Metadata { at: &at, document: document.as_bytes() };
        match V2.promises(&spec("1", None), &MirrorPath::new(["x.json"]), metadata) {
            Ok(_) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wrong_with_a_spec_file_is_said() {
        assert_eq!(complaint(|_| ()), "nothing");
        insta::assert_snapshot!(
            complaint(|value| value["spec"]["nodes"][0]["hash"] = json!("a".repeat(32))),
            @"`https://mirror/x.json` describes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa instead of oqvyxleilmspgrgriztrdotnu2d4pemb"
        );
        insta::assert_snapshot!(
            complaint(|value| value["binary_cache_checksum"]["hash_algorithm"] = json!("md5")),
            @"`https://mirror/x.json` vouches for the binary with `md5`; only sha256 counts"
        );
        insta::assert_snapshot!(
            complaint(|value| value["binary_cache_checksum"]["hash"] = json!("AB".repeat(32))),
            @"`https://mirror/x.json` is not Spack's metadata: `ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB` is not a sha256 digest: expected 64 lowercase hex digits"
        );
        assert!(complaint(|value| value["spec"]["nodes"] = json!([])).contains("holds no spec"));
        assert!(complaint(|value| value["buildcache_layout_version"] = json!(0)).contains("before Spack 0.18"));
        assert_eq!(complaint(|value| value["buildcache_layout_version"] = json!(1)), "nothing");
    }
}
