//! Layout v3 (Spack 1.0 and later): a manifest per spec, blobs by digest.
//!
//! The manifest names two blobs that Spack reads to install: the binary and the spec's own JSON. Source:
//! `spack/url_buildcache.py` of Spack 1.1.0, which takes the first record of each media type.

use std::sync::Arc;

use serde::Deserialize;

use super::clearsign::signed_text;
use super::{Answer, Layout, MirrorError, Published, PublishedBlob};
use crate::transport::{Transport, public};
use crate::types::BlobRole;
use crate::types::{Mirror, MirrorPath, Sha256Digest, SpecId};
use crate::verified::{Expected, Size};

pub(super) const BINARY: &str = "application/vnd.spack.install.v2.tar+gzip";
const SPEC_PREFIX: &str = "application/vnd.spack.spec.v";

/// The most bytes of a spec's JSON: stops a manifest from declaring a huge blob to be one, which the job mirror's index
/// would then unpack. The largest real ones have some hundred kilobytes.
pub(super) const MAX_SPEC_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u64,
    pub(super) data: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    content_length: u64,
    pub(super) media_type: String,
    checksum_algorithm: String,
    checksum: String,
}

/// Where the manifest of a spec lies below a mirror.
pub(super) fn manifest_path(spec: &SpecId) -> MirrorPath {
    let SpecId { name, version, hash, .. } = spec;
    let file = format!("{name}-{version}-{hash}.spec.manifest.json");
    MirrorPath::new(["v3", "manifests", "spec", name.as_str(), &file])
}

pub(super) async fn find(mirror: &Arc<Mirror>, spec: &SpecId, transport: &Transport) -> Result<Answer, MirrorError> {
    let path = manifest_path(spec);
    let Some(document) = mirror.document(spec, &path, transport).await? else { return Ok(Answer::Lacks) };
    answer(mirror, path, document)
}

/// What a manifest means.
pub(super) fn answer(mirror: &Arc<Mirror>, path: MirrorPath, document: Vec<u8>) -> Result<Answer, MirrorError> {
    let url = mirror.url.join(&path);
    let (is_signed, blobs) = parse(&document, &url)?;
    let published = Published { mirror: Arc::clone(mirror), layout: Layout::V3, path, document, blobs };
    Ok(mirror.has(published, is_signed))
}

/// Whether the manifest is signed, and what it promises.
pub(super) fn parse(document: &[u8], url: &url::Url) -> Result<(bool, Vec<PublishedBlob>), MirrorError> {
    let wrong = |reason: String| MirrorError::not_metadata(url, document, reason);
    let text = std::str::from_utf8(document).map_err(|error| wrong(error.to_string()))?;
    let signed = signed_text(text).map_err(|reason| wrong(reason.to_owned()))?;
    let json = signed.as_deref().unwrap_or(text);
    let manifest: Manifest = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
    if manifest.version != 3 {
        return Err(wrong(format!("a manifest of version {} where 3 was expected", manifest.version)));
    }
    let blob = |role, what: &str, is_it: &dyn Fn(&str) -> bool| {
        let record = manifest.data.iter().find(|record| is_it(&record.media_type));
        let record = record.ok_or_else(|| wrong(format!("the manifest names no {what}")))?;
        record.promise(url, document).map(|expected| {
            let path = MirrorPath::of_blob(expected.digest);
            PublishedBlob { role, expected, path }
        })
    };
    let binary = blob(BlobRole::Binary, "binary", &|media_type| media_type == BINARY)?;
    let spec = blob(BlobRole::Spec, "spec file", &|media_type| media_type.starts_with(SPEC_PREFIX))?;
    if spec.expected.size.limit() > MAX_SPEC_BYTES {
        return Err(wrong(format!("a spec file of {} bytes", spec.expected.size.limit())));
    }
    Ok((signed.is_some(), vec![binary, spec]))
}

impl Record {
    pub(super) fn promise(&self, url: &url::Url, document: &[u8]) -> Result<Expected, MirrorError> {
        if self.checksum_algorithm != "sha256" {
            let algorithm = self.checksum_algorithm.escape_debug().to_string();
            return Err(MirrorError::WeakDigest { url: public(url), algorithm });
        }
        let digest: Sha256Digest =
            self.checksum.parse().map_err(|error| MirrorError::not_metadata(url, document, format!("{error}")))?;
        Ok(Expected { digest, size: Size::Exactly(self.content_length) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const DIGEST: &str = "61fcc8f74b9cacdf4bae6fe73adba482be2c68a74b11445cb287b7c40f7e4b8b";

    fn manifest() -> Value {
        let record = |media_type: &str| {
            json!({"contentLength": 3, "mediaType": media_type, "compression": "gzip",
                   "checksumAlgorithm": "sha256", "checksum": DIGEST})
        };
        json!({"version": 3, "data": [record(BINARY), record("application/vnd.spack.spec.v5+json")]})
    }

    fn read(text: &str) -> Result<(bool, Vec<PublishedBlob>), MirrorError> {
        parse(text.as_bytes(), &"https://mirror/x.json".parse().unwrap())
    }

    fn complaint(change: impl FnOnce(&mut Value)) -> String {
        let mut value = manifest();
        change(&mut value);
        read(&value.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn both_blobs_are_found_with_digest_and_size() {
        let (signed, blobs) = read(&manifest().to_string()).unwrap();
        assert!(!signed);
        assert_eq!(blobs.iter().map(|blob| blob.role).collect::<Vec<_>>(), [BlobRole::Binary, BlobRole::Spec]);
        assert_eq!(blobs[0].path.to_string(), format!("blobs/sha256/61/{DIGEST}"));
        assert_eq!(blobs[0].expected.size, Size::Exactly(3));
    }

    #[test]
    fn what_is_wrong_with_a_manifest_is_said() {
        insta::assert_snapshot!(
            complaint(|value| value["data"][0]["checksum"] = json!("../../../../etc/passwd")),
            @"`https://mirror/x.json` is not Spack's metadata: `../../../../etc/passwd` is not a sha256 digest: expected 64 lowercase hex digits"
        );
        insta::assert_snapshot!(
            complaint(|value| value["data"][0]["checksumAlgorithm"] = json!("md5")),
            @"`https://mirror/x.json` vouches for the binary with `md5`; only sha256 counts"
        );
        insta::assert_snapshot!(
            complaint(|value| value["version"] = json!(4)),
            @"`https://mirror/x.json` is not Spack's metadata: a manifest of version 4 where 3 was expected"
        );
        insta::assert_snapshot!(
            complaint(|value| value["data"] = json!([])),
            @"`https://mirror/x.json` is not Spack's metadata: the manifest names no binary"
        );
        insta::assert_snapshot!(
            complaint(|value| value["data"][1]["contentLength"] = json!(1u64 << 40)),
            @"`https://mirror/x.json` is not Spack's metadata: a spec file of 1099511627776 bytes"
        );
        assert!(complaint(|value| value["data"][0]["contentLength"] = json!(-1)).contains("invalid value"));
    }

    #[test]
    fn a_web_page_is_recognised() {
        let error = read("<!DOCTYPE html><html>Please log in").unwrap_err();
        let MirrorError::NotMetadata { hint, .. } = error else { panic!("{error}") };
        assert!(hint.contains("captive portal"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&text, &"https://mirror/x.json".parse().unwrap());
        }
    }
}
