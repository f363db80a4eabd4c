//! The index that a mirror publishes: found by its small document, handed on unread.
//!
//! | where | small document | index |
//! |---|---|---|
//! | v3 | `v3/manifests/index/index.manifest.json` | a blob that it names, compressed or not |
//! | v2 | `build_cache/index.json.hash` | `build_cache/index.json` |
//! | registry | the image with the tag `index.spack` | its first layer |
//!
//! Spack reads both layouts of a mirror that has both, so both are handed on. Nothing of this is signed, and Spack checks no
//! signature on an index: with the digest, larder checks what Spack checks. An index decides which specs Spack reuses; what it
//! installs of them it takes from their own metadata.
//!
//! Source: `BinaryCacheIndex.update` and the classes `…IndexFetcher` in `spack/binary_distribution.py` of Spack 1.1.0 and 0.23.1.

use std::io;

use super::layout::Layout;
use super::metadata::Metadata;
use super::rules::Extra;
use super::{MirrorError, oci, v2, v3};
use crate::transport::{Location, Transport};
use crate::types::{Mirror, MirrorPath, PublicUrl, Sha256Digest};
use crate::verified::{Expected, Size};

/// The most bytes of an index: stops a mirror from filling the disk and the cache, which every job would then restore. The
/// largest public one has some hundred megabytes.
const MAX_BYTES: u64 = 4 << 30;

/// The version of Spack 1.0's database. Spack before it reads layout v2 only; 1.x reads that, too.
const FIRST_OF_V3: u32 = 8;

/// The bytes at the beginning of an index among which its version stands.
const BEGINNING: usize = 256;

/// An index, known by its small document.
#[derive(Debug)]
pub(crate) struct PublishedIndex {
    /// The small document, by its path below the mirror or its tag.
    pub(crate) document: String,
    /// The index itself, and where the mirror has it. A manifest may name one for each of several versions of Spack.
    pub(crate) blobs: Vec<(Expected, MirrorPath)>,
    form: Form,
}

/// The small document, byte for byte.
#[derive(Debug)]
enum Form {
    V3(Vec<u8>),
    V2(Vec<u8>),
    Registry,
}

/// An index as a mirror of its own that holds nothing else.
pub(crate) struct Shown {
    /// The small files.
    pub(crate) files: Vec<(MirrorPath, Vec<u8>)>,
    /// Where the index lies, by its digest.
    pub(crate) blobs: Vec<(MirrorPath, Sha256Digest)>,
}

impl Mirror {
    /// The indexes of the mirror, one for each layout, found by small documents only.
    pub(crate) async fn indexes(&self, transport: &Transport) -> Result<Vec<PublishedIndex>, MirrorError> {
        let ask = async |at: Location| {
            let failed = |source| MirrorError::Ask { mirror: self.name.clone(), spec: "its index".to_owned(), source };
            transport.document(&at).await.map_err(failed)
        };
        if let Some(url) = self.url.manifest(oci::INDEX_TAG) {
            let at = PublicUrl::from(&url);
            let Some(image) = ask(self.located(url)).await? else { return Ok(Vec::new()) };
            let metadata = Metadata { at: &at, document: &image };
            let blobs = content_addressed(metadata, vec![oci::index(metadata)?])?;
            return Ok(vec![PublishedIndex { document: oci::INDEX_TAG.to_owned(), blobs, form: Form::Registry }]);
        }
        let mut found = Vec::new();
        let place = Layout::V3.rules().place_of(Extra::Index);
        if let Some(document) = ask(self.location(&place)).await? {
            let at = PublicUrl::from(&self.url.join(&place));
            let metadata = Metadata { at: &at, document: &document };
            let blobs = content_addressed(metadata, v3::indexes(metadata)?)?;
            found.push(PublishedIndex { document: place.to_string(), blobs, form: Form::V3(document) });
        }
        let place = v2::place_of_index_hash();
        if let Some(document) = ask(self.location(&place)).await?
            && let Some(digest) = v2::index(&document)
        {
            let expected = Expected { digest, size: Size::AtMost(MAX_BYTES) };
            let blobs = vec![(expected, Layout::V2.rules().place_of(Extra::Index))];
            found.push(PublishedIndex { document: place.to_string(), blobs, form: Form::V2(document) });
        }
        Ok(found)
    }
}

/// Indexes that lie where blobs lie, none beyond reason.
fn content_addressed(
    metadata: Metadata<'_>,
    indexes: Vec<Expected>,
) -> Result<Vec<(Expected, MirrorPath)>, MirrorError> {
    let place = |expected: Expected| match expected.size.limit() {
        bytes if bytes > MAX_BYTES => Err(metadata.wrong(format!("an index of {bytes} bytes"))),
        _ => Ok((expected, MirrorPath::of_blob(expected.digest))),
    };
    indexes.into_iter().map(place).collect()
}

impl PublishedIndex {
    /// As a mirror of its own. `open` opens a blob, which is there by now.
    pub(crate) fn shown<R: io::Read>(&self, open: &dyn Fn(Sha256Digest) -> io::Result<R>) -> io::Result<Shown> {
        let digests = || self.blobs.iter().map(|(expected, _)| expected.digest);
        let as_blobs = || digests().map(|digest| (MirrorPath::of_blob(digest), digest)).collect();
        let index = Layout::V2.rules().place_of(Extra::Index);
        let as_index = || digests().map(|digest| (index.clone(), digest)).collect();
        let manifest = Layout::V3.rules().place_of(Extra::Index);
        Ok(match &self.form {
            Form::V3(document) => {
                Shown { files: vec![v3::layout_file(), (manifest, document.clone())], blobs: as_blobs() }
            }
            Form::V2(document) => {
                Shown { files: vec![(v2::place_of_index_hash(), document.clone())], blobs: as_index() }
            }
            Form::Registry => {
                let Some((expected, _)) = self.blobs.first() else {
                    return Ok(Shown { files: Vec::new(), blobs: Vec::new() });
                };
                let mut beginning = Vec::new();
                io::Read::read_to_end(&mut io::Read::take(open(expected.digest)?, BEGINNING as u64), &mut beginning)?;
                let version = version_of(&beginning).unwrap_or(FIRST_OF_V3);
                if version < FIRST_OF_V3 {
                    let hash = expected.digest.to_string().into_bytes();
                    Shown { files: vec![(v2::place_of_index_hash(), hash)], blobs: as_index() }
                } else {
                    Shown {
                        files: vec![v3::layout_file(), (manifest, v3::index_manifest(*expected, version))],
                        blobs: as_blobs(),
                    }
                }
            }
        })
    }
}

/// The version of an index, which a registry does not say.
fn version_of(beginning: &[u8]) -> Option<u32> {
    let text: String = beginning.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).map(char::from).collect();
    let version = text.split_once(r#""version":""#).and_then(|(_, rest)| rest.split_once('"'));
    version.and_then(|(version, _)| version.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_index_is_read_from_its_beginning() {
        for (text, version) in [
            (r#"{"database":{"version":"7","installs":{"#, 7),
            (r#"{ "database": { "version": "6", "inst"#, 6),
            (r#"{"database":{"version":"9","inst"#, 9),
        ] {
            assert_eq!(version_of(text.as_bytes()), Some(version));
        }
        for other in [r#"{"database":{"version":"9"#, r#"{"database":{"version":"x","#, "", "<html>", "\u{0}"] {
            assert_eq!(version_of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_hash_is_as_good_as_none() {
        let digest = "ab".repeat(32);
        assert!(v2::index(digest.as_bytes()).is_some());
        assert!(v2::index(format!("{digest}\n").as_bytes()).is_some());
        for bad in ["", "ab", "<html>", &"/../".repeat(20), &digest.to_uppercase()] {
            assert!(v2::index(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_manifest_of_huge_or_countless_indexes_is_refused() {
        let at = PublicUrl::of_text("https://m/x");
        let record = |bytes: u64| {
            format!(
                r#"{{"contentLength":{bytes},"mediaType":"application/vnd.spack.db.v8+json","compression":"none","checksumAlgorithm":"sha256","checksum":"{}"}}"#,
                "ab".repeat(32)
            )
        };
        let read = |records: &[String]| {
            let document = format!(r#"{{"version":3,"data":[{}]}}"#, records.join(","));
            let metadata = Metadata { at: &at, document: document.as_bytes() };
            v3::indexes(metadata)
                .and_then(|indexes| content_addressed(metadata, indexes))
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(&[record(80 << 20)]).unwrap().len(), 1);
        assert!(read(&[record(1 << 40)]).unwrap_err().contains("an index of 1099511627776 bytes"));
        assert!(read(&vec![record(1); 5]).unwrap_err().contains("names 5 indexes"));
        assert!(read(&[]).unwrap_err().contains("names no index"));
    }
}
