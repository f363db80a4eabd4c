//! Layout v2 (Spack 0.18 to 0.23; older ones named the files alike, but the digest was that of something inside): a spec file and an archive in `build_cache/`, named after the spec.
//!
//! The archive keeps its name when a mirror rebuilds it; only the digest in the spec file changes. The spec file states no
//! size. It names its spec, which is compared with the one asked for: a signature says that somebody trusted wrote the file,
//! not that it belongs under this name.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::clearsign::signed_text;
use super::{Answer, Layout, MirrorError, Published, PublishedBlob};
use crate::transport::{Transport, public};
use crate::types::BlobRole;
use crate::types::{Mirror, MirrorPath, Sha256Digest, SpecId, path_part};
use crate::verified::{Expected, Size};

const SIGNED: &str = ".spec.json.sig";
const PLAIN: &str = ".spec.json";

/// What a spec file says, as far as larder cares.
#[derive(Deserialize)]
pub struct V2Metadata {
    /// The spec and its dependencies.
    pub spec: V2Spec,
    binary_cache_checksum: V2Checksum,
    buildcache_layout_version: Option<u64>,
}

/// The spec and its dependencies.
#[derive(Deserialize)]
pub struct V2Spec {
    /// The version of the nodes' format.
    #[serde(rename = "_meta")]
    pub meta: V2Meta,
    /// The first is the spec itself.
    pub nodes: Vec<Box<RawValue>>,
}

/// The version of the nodes' format.
#[derive(Deserialize)]
pub struct V2Meta {
    /// 4 for Spack 0.21 to 0.23, lower before.
    pub version: u32,
}

#[derive(Deserialize)]
struct V2Checksum {
    hash_algorithm: String,
    hash: String,
}

#[derive(Deserialize)]
struct NodeHash {
    hash: String,
}

/// The names of a spec's files: the stem of all of them, and the folders of the archive.
struct Names {
    stem: String,
    arch: String,
    compiler: String,
    package: String,
}

impl Names {
    fn of(spec: &SpecId) -> Self {
        let SpecId { name, version, hash, arch, compiler } = spec;
        let arch = format!("{}-{}-{}", arch.platform, arch.platform_os, arch.target);
        let compiler = match compiler {
            Some(compiler) => format!("{}-{}", compiler.name, compiler.version),
            None => "none-none".to_owned(),
        };
        let package = format!("{name}-{version}");
        // Spack applies its rule for file names to the whole stem, then appends the extension.
        let stem = path_part(&format!("{arch}-{compiler}-{package}-{hash}")).as_str().to_owned();
        Self { stem, arch, compiler, package }
    }

    fn metadata(&self, extension: &str) -> MirrorPath {
        MirrorPath::new(["build_cache", &format!("{}{extension}", self.stem)])
    }

    fn archive(&self) -> MirrorPath {
        let file = format!("{}.spack", self.stem);
        MirrorPath::new(["build_cache", &self.arch, &self.compiler, &self.package, &file])
    }
}

pub(super) async fn find(mirror: &Arc<Mirror>, spec: &SpecId, transport: &Transport) -> Result<Answer, MirrorError> {
    for path in paths(spec) {
        if let Some(document) = mirror.document(spec, &path, transport).await? {
            return answer(mirror, spec, path, document);
        }
    }
    Ok(Answer::Lacks)
}

/// Where the spec file may lie below a mirror, the signed one first.
pub(super) fn paths(spec: &SpecId) -> [MirrorPath; 2] {
    let names = Names::of(spec);
    [SIGNED, PLAIN].map(|extension| names.metadata(extension))
}

/// What a spec file means. One that has the name of a signed one counts as signed: Spack would not install it otherwise.
pub(super) fn answer(
    mirror: &Arc<Mirror>,
    spec: &SpecId,
    path: MirrorPath,
    document: Vec<u8>,
) -> Result<Answer, MirrorError> {
    let names = Names::of(spec);
    let is_signed = path.parts().last().is_some_and(|file| file.ends_with(SIGNED));
    let url = mirror.url.join(&path);
    let metadata = parse(&document, &url)?;
    let expected = metadata.promise(spec, &url, &document)?;
    let blobs = vec![PublishedBlob { role: BlobRole::Binary, expected, path: names.archive() }];
    let published = Published { mirror: Arc::clone(mirror), layout: Layout::V2, path, document, blobs };
    Ok(mirror.has(published, is_signed))
}

/// Read a spec file, signed or not.
pub fn parse(document: &[u8], url: &url::Url) -> Result<V2Metadata, MirrorError> {
    let wrong = |reason: String| MirrorError::not_metadata(url, document, reason);
    let text = std::str::from_utf8(document).map_err(|error| wrong(error.to_string()))?;
    let signed = signed_text(text).map_err(|reason| wrong(reason.to_owned()))?;
    serde_json::from_str(signed.as_deref().unwrap_or(text)).map_err(|error| wrong(error.to_string()))
}

impl V2Metadata {
    /// The sha256 that it states of the archive, whatever the spec.
    pub fn stated_digest(&self) -> Option<Sha256Digest> {
        let checksum = &self.binary_cache_checksum;
        checksum.hash.parse().ok().filter(|_| checksum.hash_algorithm == "sha256")
    }

    fn promise(&self, spec: &SpecId, url: &url::Url, document: &[u8]) -> Result<Expected, MirrorError> {
        let wrong = |reason: String| MirrorError::not_metadata(url, document, reason);
        let node = self.spec.nodes.first().ok_or_else(|| wrong("it holds no spec".to_owned()))?;
        let node: NodeHash = serde_json::from_str(node.get()).map_err(|error| wrong(error.to_string()))?;
        if node.hash != spec.hash.as_str() {
            let found = node.hash.chars().take(64).flat_map(char::escape_debug).collect();
            return Err(MirrorError::OtherSpec { url: public(url), expected: spec.hash, found });
        }
        // Source: `extract_tarball` of Spack 0.23, which takes an absent version for 0.
        if self.buildcache_layout_version.unwrap_or(0) == 0 {
            return Err(wrong(
                "it is from before Spack 0.18, when the digest was not yet that of the archive".to_owned(),
            ));
        }
        let V2Checksum { hash_algorithm, hash } = &self.binary_cache_checksum;
        if hash_algorithm != "sha256" {
            let algorithm = hash_algorithm.escape_debug().to_string();
            return Err(MirrorError::WeakDigest { url: public(url), algorithm });
        }
        let digest: Sha256Digest = hash.parse().map_err(|error| wrong(format!("{error}")))?;
        Ok(Expected { digest, size: Size::AtMost(u64::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Arch, Compiler};
    use serde_json::{Value, json};

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
        let url = "https://mirror/x.json".parse().unwrap();
        let document = value.to_string().into_bytes();
        match parse(&document, &url).and_then(|read| read.promise(&spec("1", None), &url, &document)) {
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
