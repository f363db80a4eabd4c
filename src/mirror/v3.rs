//! Layout v3 (Spack 1.0 and later): a manifest per spec, blobs by digest.
//!
//! The manifest names two blobs that Spack reads to install: the binary and the spec's own JSON. The index and the public keys
//! are blobs with manifests as well. Source: `spack/url_buildcache.py` of Spack 1.1.0, which takes the first record of each
//! media type.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::MirrorError;
use super::metadata::{Metadata, PublishedBlob};
use super::rules::{Extra, Find, Place, Promises, Rules, Survey, hash_at_end};
use super::spec_file::SpecNodes;
use crate::types::{BlobRole, MirrorPath, Sha256Digest, SpecId};
use crate::verified::{Expected, Size};

/// Media types, as Spack writes them.
const BINARY: &str = "application/vnd.spack.install.v2.tar+gzip";
const SPEC_PREFIX: &str = "application/vnd.spack.spec.v";
const INDEX_PREFIX: &str = "application/vnd.spack.db.v";
const KEY_INDEX: &str = "application/vnd.spack.keyindex.v1+json";
const KEY: &str = "application/pgp-keys";

/// The formats of spec files that Spack writes in this layout: 5 from 1.0 on, 6 from 1.3 on. Each Spack reads those up to its own.
/// What says that it is in another one is shown under the nearest: a mirror can't make larder write any number of indexes.
const SPEC_FORMATS: RangeInclusive<u32> = 5..=6;

/// The version of the database that lists specs of a format: both numbers rise together, in every Spack since 0.18.
const fn database_of(spec_format: u32) -> u32 {
    spec_format + 3
}

/// The most indexes of one manifest: stops one that names thousands of blobs. Spack writes one for each version of its database.
const MOST_INDEXES: usize = 4;

/// How the name of a spec's manifest ends.
const SPEC_MANIFEST: &str = ".spec.manifest.json";

/// The most bytes of a spec's JSON: stops a manifest from declaring a huge blob to be one, which the index of the job mirror
/// would then unpack. The largest real ones have some hundred kilobytes.
const MAX_SPEC_BYTES: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u64,
    data: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    content_length: u64,
    media_type: String,
    /// Looked at by Spack only.
    #[serde(skip_deserializing)]
    compression: &'static str,
    checksum_algorithm: String,
    checksum: String,
}

/// The rules of layout v3.
pub(super) struct V3;

impl Rules for V3 {
    fn places(&self, spec: &SpecId) -> Vec<MirrorPath> {
        vec![place_of_spec(spec)]
    }

    fn promises(&self, _: &SpecId, _: &MirrorPath, metadata: Metadata<'_>) -> Result<Promises, MirrorError> {
        promises(metadata)
    }

    fn survey(&self, path: &[&str], metadata: Metadata<'_>, _: Find<'_>) -> Result<Survey, String> {
        let blobs = promises(metadata).map_err(|error| error.to_string())?.blobs;
        // `NAME/NAME-VERSION-HASH…`: a manifest says nothing of its spec.
        let package = || {
            let [.., name, file] = path else { return None };
            let rest = file.strip_suffix(SPEC_MANIFEST)?.strip_prefix(name)?.strip_prefix('-')?;
            let (version, _hash) = rest.rsplit_once('-')?;
            Some((name.parse().ok()?, version.parse().ok()?))
        };
        Ok(Survey { package: package(), blobs })
    }

    fn nodes(&self, _: Metadata<'_>, spec_blob: Option<(PathBuf, u64)>) -> Result<SpecNodes, String> {
        let (path, length) = spec_blob.ok_or("there is none")?;
        let bytes = crate::fs::read_capped(&path, length).map_err(|error| error.to_string())?;
        SpecNodes::read(&bytes.ok_or("there is none")?)
    }

    fn recognise(&self, path: &[&str]) -> Option<Place> {
        match path {
            ["blobs", "sha256", _, name] => {
                let blob = MirrorPath::of_blob(name.parse().ok()?);
                blob.parts().eq(path.iter().copied()).then_some(Place::Blob)
            }
            ["v3", "manifests", "spec", _, file] => hash_at_end(file.strip_suffix(SPEC_MANIFEST)?).map(Place::Metadata),
            _ => None,
        }
    }

    fn place_of(&self, extra: Extra<'_>) -> MirrorPath {
        let (folder, file) = match extra {
            Extra::Index => ("index", "index.manifest.json".to_owned()),
            Extra::KeyIndex => ("key", "keys.manifest.json".to_owned()),
            Extra::Key(fingerprint) => ("key", format!("{fingerprint}.key.manifest.json")),
        };
        MirrorPath::new(["v3", "manifests", folder, &file])
    }

    fn publish(&self, extra: Extra<'_>, content: Vec<u8>) -> Vec<(MirrorPath, Vec<u8>)> {
        let digest = Sha256Digest::of(&content);
        let manifest = manifest([Record::new(&media_type(extra), "none", digest, content.len() as u64)].into());
        vec![(MirrorPath::of_blob(digest), content), (self.place_of(extra), manifest)]
    }

    fn content_of(&self, extra: Extra<'_>, metadata: Metadata<'_>) -> Result<Option<Expected>, String> {
        let Manifest { version, data } =
            serde_json::from_slice(metadata.document).map_err(|error| error.to_string())?;
        let wanted = media_type(extra);
        let record = data.iter().find(|record| record.media_type == wanted && version == 3);
        let record = record.ok_or_else(|| format!("`{}` names no `{wanted}`", metadata.at))?;
        record.promise(metadata).map(Some).map_err(|error| error.to_string())
    }

    fn index_version(&self, node_format: u32) -> u32 {
        database_of(known_format(node_format))
    }

    /// One manifest names all of them; Spack 1.3 and later writes such manifests as well.
    fn publish_indexes(&self, versions: BTreeMap<u32, Vec<u8>>) -> Vec<(MirrorPath, Vec<u8>)> {
        let mut records = Vec::new();
        let mut files = Vec::new();
        for (version, content) in versions {
            let digest = Sha256Digest::of(&content);
            records.push(Record::new(&media_type_of_index(version), "none", digest, content.len() as u64));
            files.push((MirrorPath::of_blob(digest), content));
        }
        files.push(layout_file());
        files.push((self.place_of(Extra::Index), manifest(records)));
        files
    }

    fn indexes_of(&self, metadata: Metadata<'_>) -> Result<BTreeMap<u32, Option<Expected>>, String> {
        let Manifest { version, data } =
            serde_json::from_slice(metadata.document).map_err(|error| error.to_string())?;
        if version != 3 {
            return Err(format!("a manifest of version {version} where 3 was expected"));
        }
        let mut indexes = BTreeMap::new();
        for version in SPEC_FORMATS.map(database_of) {
            let wanted = media_type_of_index(version);
            if let Some(record) = data.iter().find(|record| record.media_type == wanted) {
                indexes.insert(version, Some(record.promise(metadata).map_err(|error| error.to_string())?));
            }
        }
        Ok(indexes)
    }
}

/// The file that says that a mirror has this layout.
pub(super) fn layout_file() -> (MirrorPath, Vec<u8>) {
    (MirrorPath::new(["v3", "layout.json"]), br#"{"signing": "gpg"}"#.to_vec())
}

/// The indexes that the manifest of an index names, whatever their version: which of them Spack takes is its business.
pub(super) fn indexes(metadata: Metadata<'_>) -> Result<Vec<Expected>, MirrorError> {
    let (manifest, _) = metadata.signed_json::<Manifest>()?;
    if manifest.version != 3 {
        return Err(metadata.wrong(format!("a manifest of version {} where 3 was expected", manifest.version)));
    }
    let records = manifest.data.iter().filter(|record| record.media_type.starts_with(INDEX_PREFIX));
    let indexes = records.map(|record| record.promise(metadata)).collect::<Result<Vec<_>, _>>()?;
    match indexes.len() {
        0 => Err(metadata.wrong("the manifest names no index")),
        1..=MOST_INDEXES => Ok(indexes),
        many => Err(metadata.wrong(format!("the manifest names {many} indexes"))),
    }
}

/// The manifest of an index that is stored as a registry stores it, in this version of the database.
pub(super) fn index_manifest(index: Expected, version: u32) -> Vec<u8> {
    manifest([Record::new(&media_type_of_index(version), "none", index.digest, index.size.limit())].into())
}

/// Where the manifest of a spec lies below a mirror.
pub(super) fn place_of_spec(spec: &SpecId) -> MirrorPath {
    let SpecId { name, version, hash, .. } = spec;
    MirrorPath::new(["v3", "manifests", "spec", name.as_str(), &format!("{name}-{version}-{hash}{SPEC_MANIFEST}")])
}

/// What a manifest promises.
fn promises(metadata: Metadata<'_>) -> Result<Promises, MirrorError> {
    let (manifest, signature) = metadata.signed_json::<Manifest>()?;
    if manifest.version != 3 {
        return Err(metadata.wrong(format!("a manifest of version {} where 3 was expected", manifest.version)));
    }
    let promise = |what: &str, is_it: &dyn Fn(&str) -> bool| {
        let record = manifest.data.iter().find(|record| is_it(&record.media_type));
        record.ok_or_else(|| metadata.wrong(format!("the manifest names no {what}")))?.promise(metadata)
    };
    let binary = promise("binary", &|media_type| media_type == BINARY)?;
    let spec = promise("spec file", &|media_type| media_type.starts_with(SPEC_PREFIX))?;
    Ok(Promises { signature, blobs: blobs(metadata, binary, spec)? })
}

/// The two blobs of a spec, as both a manifest and a registry's image have them.
pub(super) fn blobs(
    metadata: Metadata<'_>,
    binary: Expected,
    spec: Expected,
) -> Result<Vec<PublishedBlob>, MirrorError> {
    if spec.size.limit() > MAX_SPEC_BYTES {
        return Err(metadata.wrong(format!("a spec file of {} bytes", spec.size.limit())));
    }
    let blob = |(role, expected): (_, Expected)| {
        let path = MirrorPath::of_blob(expected.digest);
        PublishedBlob { role, expected, path }
    };
    Ok([(BlobRole::Binary, binary), (BlobRole::Spec, spec)].map(blob).into())
}

impl Record {
    fn new(media_type: &str, compression: &'static str, digest: Sha256Digest, content_length: u64) -> Self {
        let (media_type, checksum_algorithm) = (media_type.to_owned(), "sha256".to_owned());
        Self { content_length, media_type, compression, checksum_algorithm, checksum: digest.to_string() }
    }

    fn promise(&self, metadata: Metadata<'_>) -> Result<Expected, MirrorError> {
        metadata.promise(&self.checksum_algorithm, &self.checksum, Size::Exactly(self.content_length))
    }
}

/// In the newest version that there is.
fn media_type(extra: Extra<'_>) -> String {
    match extra {
        Extra::Index => media_type_of_index(database_of(*SPEC_FORMATS.end())),
        Extra::KeyIndex => KEY_INDEX.to_owned(),
        Extra::Key(_) => KEY.to_owned(),
    }
}

fn media_type_of_index(version: u32) -> String {
    format!("{INDEX_PREFIX}{version}+json")
}

/// The format under which a spec file is shown that says that it is in this one.
fn known_format(spec_format: u32) -> u32 {
    spec_format.clamp(*SPEC_FORMATS.start(), *SPEC_FORMATS.end())
}

/// The manifest of a spec with these blobs, which are stored as a registry stores them: the spec's JSON is not compressed there.
/// Spack looks at its first bytes. A registry does not tell the format of the JSON, which is known only once that was read: until
/// then it is the oldest.
pub(super) fn spec_manifest(blobs: &[PublishedBlob], spec_format: Option<u32>) -> Vec<u8> {
    let spec_format = known_format(spec_format.unwrap_or_default());
    let record = |blob: &PublishedBlob| {
        let (media_type, compression) = match blob.role {
            BlobRole::Binary => (BINARY.to_owned(), "gzip"),
            BlobRole::Spec => (format!("{SPEC_PREFIX}{spec_format}+json"), "none"),
        };
        Record::new(&media_type, compression, blob.expected.digest, blob.expected.size.limit())
    };
    manifest(blobs.iter().map(record).collect())
}

fn manifest(data: Vec<Record>) -> Vec<u8> {
    serde_json::to_vec(&Manifest { version: 3, data }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Signature;
    use crate::types::PublicUrl;
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

    fn read(text: &str) -> Result<Promises, MirrorError> {
        promises(Metadata { at: &PublicUrl::of_text("https://mirror/x.json"), document: text.as_bytes() })
    }

    fn complaint(change: impl FnOnce(&mut Value)) -> String {
        let mut value = manifest();
        change(&mut value);
        read(&value.to_string()).err().unwrap().to_string()
    }

    #[test]
    fn both_blobs_are_found_with_digest_and_size() {
        let Promises { signature, blobs } = read(&manifest().to_string()).unwrap();
        assert_eq!(signature, Signature::Absent);
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
        let error = read("<!DOCTYPE html><html>Please log in").err().unwrap();
        let MirrorError::NotMetadata { hint, .. } = error else { panic!("{error}") };
        assert!(hint.contains("captive portal"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = promises(Metadata { at: &PublicUrl::of_text("x"), document: &text });
        }
    }
}
