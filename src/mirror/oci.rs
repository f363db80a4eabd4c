//! Mirrors in a container registry: a tag per spec, an image behind it.
//!
//! The image's last layer is the binary; the layers before it are those of its dependencies, so that the image can be run. Its
//! configuration is the spec's JSON, with what makes it an image beside it. Source: `_oci_put_manifest` and `download_tarball`
//! in `spack/binary_distribution.py` of Spack 1.1.0.
//!
//! Both are the same bytes that a v3 mirror has as blobs, so the job mirror shows them in layout v3, under a manifest that
//! larder writes from what the registry says. It can carry no signature, and registries have none
//! (see [`Mirror::demanded_signatures`]).

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::MirrorError;
use super::metadata::{Metadata, PublishedBlob};
use super::rules::hash_at_end;
use super::spec_file::SpecNodes;
use super::v3::blobs;
use crate::transport::Location;
use crate::types::{DagHash, Mirror, PublicUrl, Sha256Digest, SpecId};
use crate::verified::{Expected, Size};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u64,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
}

/// The URL of a spec's image, by its tag (`_oci_default_tag`); `None` for a mirror that is no registry.
pub(super) fn image_url(mirror: &Mirror, spec: &SpecId) -> Option<Url> {
    let SpecId { name, version, hash, .. } = spec;
    mirror.url.manifest(&format!("{name}-{version}-{hash}.spack"))
}

impl Mirror {
    /// Where a registry lists the tags of the repository; `None` for a mirror that is no registry.
    pub fn tags_location(&self) -> Option<Location> {
        self.url.tags().map(|url| self.located(url))
    }

    /// Where a registry has the manifest with this digest.
    pub fn manifest_location(&self, digest: Sha256Digest) -> Option<Location> {
        self.url.manifest_with(digest).map(|url| self.located(url))
    }

    /// Where a registry has the manifest with this tag.
    pub fn tag_location(&self, tag: &str) -> Option<Location> {
        self.url.manifest(tag).map(|url| self.located(url))
    }
}

/// What pruning has to know of an image that Spack pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSurvey {
    /// The spec's JSON, and what makes it an image.
    pub config: Expected,
    /// The binary.
    pub binary: Expected,
}

/// What a manifest says; `None` where it is not of an image that Spack pushed.
pub fn survey_image(at: &PublicUrl, document: &[u8]) -> Option<ImageSurvey> {
    let image = Metadata { at, document };
    let manifest: Manifest = image.json().ok()?;
    let binary = manifest.layers.last()?.promise(image).ok()?;
    Some(ImageSurvey { config: manifest.config.promise(image).ok()?, binary })
}

/// The spec that an image's configuration describes, and when Spack pushed it. Nothing in a registry says when a binary was last
/// used.
pub fn survey_config(document: &[u8]) -> Option<(DagHash, Option<Timestamp>)> {
    #[derive(Deserialize)]
    struct Config {
        archive_timestamp: Option<Timestamp>,
    }
    let spec = SpecNodes::read(document).ok()?;
    let pushed = serde_json::from_slice::<Config>(document).ok().and_then(|config| config.archive_timestamp);
    Some((spec.hash(), pushed))
}

/// The spec whose image has this tag.
pub fn spec_of_tag(tag: &str) -> Option<DagHash> {
    hash_at_end(tag.strip_suffix(".spack")?)
}

/// The tag of the index (`default_index_tag`), which is an image whose only layer is the JSON itself.
pub(super) const INDEX_TAG: &str = "index.spack";

/// What the image of the index promises: Spack takes its first layer.
pub(super) fn index(image: Metadata<'_>) -> Result<Expected, MirrorError> {
    let manifest: Manifest = image.json()?;
    manifest.layers.first().ok_or_else(|| image.wrong("the image has no layers"))?.promise(image)
}

/// What an image promises.
pub(super) fn promises(image: Metadata<'_>) -> Result<Vec<PublishedBlob>, MirrorError> {
    let manifest: Manifest = image.json()?;
    if manifest.schema_version != 2 {
        let version = manifest.schema_version;
        return Err(image.wrong(format!("an image manifest of version {version} where 2 was expected")));
    }
    let binary = manifest.layers.last().ok_or_else(|| image.wrong("the image has no layers"))?;
    blobs(image, binary.promise(image)?, manifest.config.promise(image)?)
}

impl Descriptor {
    fn promise(&self, image: Metadata<'_>) -> Result<Expected, MirrorError> {
        let (algorithm, digest) = self.digest.split_once(':').unwrap_or((&self.digest, ""));
        image.promise(algorithm, digest, Size::Exactly(self.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::mirror::v3::spec_manifest;
    use crate::types::BlobRole;

    fn manifest() -> Value {
        let blob = |letter: &str, size: u64| json!({"mediaType": "x", "digest": format!("sha256:{}", letter.repeat(64)), "size": size});
        json!({"schemaVersion": 2, "config": blob("c", 3), "layers": [blob("a", 1), blob("b", 2)]})
    }

    fn read(text: &str) -> Result<Vec<PublishedBlob>, MirrorError> {
        promises(Metadata { at: &PublicUrl::of_text("oci://host.example/v2/x/manifests/y"), document: text.as_bytes() })
    }

    #[test]
    fn the_last_layer_is_the_binary_and_the_configuration_is_the_spec() {
        let blobs = read(&manifest().to_string()).unwrap();
        assert_eq!(blobs.iter().map(|blob| blob.role).collect::<Vec<_>>(), [BlobRole::Binary, BlobRole::Spec]);
        assert_eq!(blobs[0].expected.digest.to_string(), "b".repeat(64));
        assert_eq!((blobs[0].expected.size, blobs[1].expected.size), (Size::Exactly(2), Size::Exactly(3)));
        let media_types = |spec_format| {
            let shown: Value = serde_json::from_slice(&spec_manifest(&blobs, spec_format)).unwrap();
            [&shown["data"][0]["mediaType"], &shown["data"][1]["mediaType"]]
                .map(|text| text.as_str().unwrap().to_owned())
        };
        let binary = "application/vnd.spack.install.v2.tar+gzip";
        for (spec_format, shown) in [(None, 5), (Some(4), 5), (Some(5), 5), (Some(6), 6), (Some(u32::MAX), 6)] {
            let spec = format!("application/vnd.spack.spec.v{shown}+json");
            assert_eq!(media_types(spec_format), [binary.to_owned(), spec]);
        }
        let shown: Value = serde_json::from_slice(&spec_manifest(&blobs, None)).unwrap();
        assert_eq!(shown["data"][1]["checksum"], "c".repeat(64));
    }

    #[test]
    fn what_is_wrong_with_an_image_is_said() {
        for (said, place, value) in [
            ("the image has no layers", "/layers", json!([])),
            ("version 1 where 2", "/schemaVersion", json!(1)),
            ("with `md5`; only sha256", "/layers/1/digest", json!("md5:00")),
            ("with `00`; only sha256", "/config/digest", json!("00")),
            ("not a sha256 digest", "/config/digest", json!("sha256:../../x")),
            ("a spec file of 1099511627776 bytes", "/config/size", json!(1u64 << 40)),
            ("missing field `config`", "", json!({"schemaVersion": 2, "layers": [], "manifests": []})),
        ] {
            let mut manifest = manifest();
            *manifest.pointer_mut(place).unwrap() = value;
            let text = read(&manifest.to_string()).unwrap_err().to_string();
            assert!(text.contains(said), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = promises(Metadata { at: &PublicUrl::of_text("x"), document: &text });
        }
    }
}
