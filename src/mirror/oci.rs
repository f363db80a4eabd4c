//! Mirrors in a container registry: a tag per spec, an image behind it.
//!
//! The image's last layer is the binary; the layers before it are those of its dependencies, so that the image can be run. Its
//! configuration is the spec's JSON, with what makes it an image beside it. Source: `_oci_put_manifest` and `download_tarball`
//! in `spack/binary_distribution.py` of Spack 1.1.0.
//!
//! Both are the same bytes that a v3 mirror has as blobs, so the job mirror shows them in layout v3, under a manifest that
//! larder writes from what the registry says. It can carry no signature, and registries have none
//! (see [`Mirror::demanded_signatures`]).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::v3::{BINARY, MAX_SPEC_BYTES, manifest_path};
use super::{Answer, Layout, MirrorError, Published, PublishedBlob};
use crate::transport::{Location, Transport, public};
use crate::types::BlobRole;
use crate::types::{Mirror, MirrorPath, Sha256Digest, SpecId};
use crate::verified::{Expected, Size};

/// The media type of a spec's JSON in layout v3.
const SPEC: &str = "application/vnd.spack.spec.v5+json";

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

pub(super) async fn find(mirror: &Arc<Mirror>, spec: &SpecId, transport: &Transport) -> Result<Answer, MirrorError> {
    let Some(url) = mirror.url.manifest(&tag(spec)) else { return Ok(Answer::Lacks) };
    let at = Location { url, plain_http: mirror.plain_http, access: Arc::clone(&mirror.access) };
    let Some(image) = mirror.ask(spec, &at, transport).await? else { return Ok(Answer::Lacks) };
    let blobs = parse(&image, &at.url)?;
    let document = v3_manifest(&blobs);
    let (mirror_of, path) = (Arc::clone(mirror), manifest_path(spec));
    let published = Published { mirror: mirror_of, layout: Layout::V3, path, document, blobs };
    Ok(mirror.has(published, false))
}

/// The tag of a spec (`_oci_default_tag`).
fn tag(spec: &SpecId) -> String {
    let SpecId { name, version, hash, .. } = spec;
    format!("{name}-{version}-{hash}.spack")
}

/// What an image manifest promises.
fn parse(document: &[u8], url: &Url) -> Result<Vec<PublishedBlob>, MirrorError> {
    let wrong = |reason: String| MirrorError::not_metadata(url, document, reason);
    let manifest: Manifest = serde_json::from_slice(document).map_err(|error| wrong(error.to_string()))?;
    if manifest.schema_version != 2 {
        return Err(wrong(format!("an image manifest of version {} where 2 was expected", manifest.schema_version)));
    }
    let blob = |role, descriptor: &Descriptor| {
        descriptor.promise(url, document).map(|expected| {
            let path = MirrorPath::of_blob(expected.digest);
            PublishedBlob { role, expected, path }
        })
    };
    let binary = manifest.layers.last().ok_or_else(|| wrong("the image has no layers".to_owned()))?;
    let (binary, spec) = (blob(BlobRole::Binary, binary)?, blob(BlobRole::Spec, &manifest.config)?);
    if spec.expected.size.limit() > MAX_SPEC_BYTES {
        return Err(wrong(format!("a spec file of {} bytes", spec.expected.size.limit())));
    }
    Ok(vec![binary, spec])
}

impl Descriptor {
    fn promise(&self, url: &Url, document: &[u8]) -> Result<Expected, MirrorError> {
        let (algorithm, digest) = self.digest.split_once(':').unwrap_or_default();
        if algorithm != "sha256" {
            let algorithm = crate::types::shorten(if algorithm.is_empty() { &self.digest } else { algorithm });
            return Err(MirrorError::WeakDigest { url: public(url), algorithm });
        }
        let digest: Sha256Digest =
            digest.parse().map_err(|error| MirrorError::not_metadata(url, document, format!("{error}")))?;
        Ok(Expected { digest, size: Size::Exactly(self.size) })
    }
}

/// The manifest of layout v3 for these blobs. The spec's JSON is not compressed in a registry; Spack looks at its first bytes.
fn v3_manifest(blobs: &[PublishedBlob]) -> Vec<u8> {
    let records = blobs.iter().map(|blob| {
        let (media_type, compression) = match blob.role {
            BlobRole::Binary => (BINARY, "gzip"),
            BlobRole::Spec => (SPEC, "none"),
        };
        json!({
            "contentLength": blob.expected.size.limit(),
            "mediaType": media_type,
            "compression": compression,
            "checksumAlgorithm": "sha256",
            "checksum": blob.expected.digest,
        })
    });
    json!({"version": 3, "data": records.collect::<Vec<_>>()}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn manifest() -> Value {
        let blob = |letter: &str, size: u64| json!({"mediaType": "x", "digest": format!("sha256:{}", letter.repeat(64)), "size": size});
        json!({"schemaVersion": 2, "config": blob("c", 3), "layers": [blob("a", 1), blob("b", 2)]})
    }

    fn read(text: &str) -> Result<Vec<PublishedBlob>, MirrorError> {
        parse(text.as_bytes(), &"oci://host.example/v2/x/manifests/y".parse().unwrap())
    }

    #[test]
    fn the_last_layer_is_the_binary_and_the_configuration_is_the_spec() {
        let blobs = read(&manifest().to_string()).unwrap();
        assert_eq!(blobs.iter().map(|blob| blob.role).collect::<Vec<_>>(), [BlobRole::Binary, BlobRole::Spec]);
        assert_eq!(blobs[0].expected.digest.to_string(), "b".repeat(64));
        assert_eq!((blobs[0].expected.size, blobs[1].expected.size), (Size::Exactly(2), Size::Exactly(3)));
        let shown: Value = serde_json::from_slice(&v3_manifest(&blobs)).unwrap();
        assert_eq!((&shown["data"][0]["mediaType"], &shown["data"][1]["mediaType"]), (&json!(BINARY), &json!(SPEC)));
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
            let _ = parse(&text, &"oci://host.example/x".parse().unwrap());
        }
    }
}
