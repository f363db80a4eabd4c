//! The public keys that a mirror publishes beside its binaries, for `spack buildcache keys`.
//!
//! | layout | index | a key |
//! |---|---|---|
//! | v3 | `v3/manifests/key/keys.manifest.json` names a blob | `v3/manifests/key/<fingerprint>.key.manifest.json` names a blob |
//! | v2 | `build_cache/_pgp/index.json` | `build_cache/_pgp/<fingerprint>.pub` |
//!
//! Both indexes are `{"keys": {"<fingerprint>": {}}}`, and none of this is signed. A key is therefore only as trustworthy as the
//! mirror, until a person has compared its fingerprint: larder carries keys, it does not trust them. Source:
//! `spack/binary_distribution.py` (`get_keys`) of Spack 1.1.0 and 0.23.1.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::v3::Manifest;
use super::{Layout, MirrorError};
use crate::transport::{Transport, public};
use crate::types::{Mirror, MirrorPath, Sha256Digest, shorten};
use crate::verified::verify_reader;

/// The most keys that are taken from one mirror: stops an index of millions, each of which would be asked for. Real mirrors
/// have a handful.
const MOST_KEYS: usize = 64;

/// Media types, as Spack writes them.
const KEY: &str = "application/pgp-keys";
const KEY_INDEX: &str = "application/vnd.spack.keyindex.v1+json";

const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The name of a key: 40 hex digits (64 for keys of version 6), in upper case as Spack writes them. Part of file names, so
/// nothing else may get in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(String);

/// A text that is no fingerprint.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a fingerprint: expected 40 or 64 hex digits in upper case")]
pub struct InvalidFingerprint(String);

/// A public key as a mirror publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Under which name.
    pub fingerprint: Fingerprint,
    /// The key block, byte for byte.
    pub armored: Vec<u8>,
}

/// What a mirror has of keys.
#[derive(Debug, Default)]
pub struct Keys {
    /// Those that can be used.
    pub found: Vec<PublicKey>,
    /// Those that can't, each with the reason.
    pub refused: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    keys: serde_json::Map<String, serde_json::Value>,
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        if is_hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidFingerprint(shorten(text)))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Mirror {
    /// The keys that the mirror publishes in this layout. None is no error, and neither is one that can't be used; a mirror
    /// that can't be asked is.
    pub async fn keys(&self, layout: Layout, transport: &Transport) -> Result<Keys, MirrorError> {
        let mut keys = Keys::default();
        // What is never signed needs none.
        if self.url.is_registry() {
            return Ok(keys);
        }
        let index = match layout {
            Layout::V3 => self.v3_blob(&v3_path("keys.manifest.json"), KEY_INDEX, transport).await?,
            Layout::V2 => self.key_document(&v2_path("index.json"), transport).await?.map(Ok),
        };
        let index = match index {
            None => return Ok(keys),
            Some(index) => index.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())),
        };
        let Index { keys: named } = match index {
            Ok(index) => index,
            Err(reason) => {
                keys.refused.push(format!("its index of keys: {reason}"));
                return Ok(keys);
            }
        };
        if named.len() > MOST_KEYS {
            keys.refused.push(format!(
                "{} of its {} keys: more than anybody has",
                named.len() - MOST_KEYS,
                named.len()
            ));
        }
        for name in named.keys().take(MOST_KEYS) {
            match self.key(name, layout, transport).await? {
                Ok(key) => keys.found.push(key),
                Err(reason) => keys.refused.push(format!("key `{}`: {reason}", shorten(name))),
            }
        }
        Ok(keys)
    }

    async fn key(
        &self,
        name: &str,
        layout: Layout,
        transport: &Transport,
    ) -> Result<Result<PublicKey, String>, MirrorError> {
        let fingerprint: Fingerprint = match name.parse() {
            Ok(fingerprint) => fingerprint,
            Err(error) => return Ok(Err(format!("{error}"))),
        };
        let bytes = match layout {
            Layout::V3 => self.v3_blob(&v3_key_path(&fingerprint), KEY, transport).await?,
            Layout::V2 => self.key_document(&v2_key_path(&fingerprint), transport).await?.map(Ok),
        };
        let bytes = bytes.unwrap_or_else(|| Err("the mirror lists it and does not have it".to_owned()));
        Ok(bytes.and_then(|armored| check(&armored).map(|()| PublicKey { fingerprint, armored })))
    }

    /// The blob that a manifest of keys names, hashed; `None` where there is no manifest.
    async fn v3_blob(
        &self,
        path: &MirrorPath,
        media_type: &str,
        transport: &Transport,
    ) -> Result<Option<Result<Vec<u8>, String>>, MirrorError> {
        let Some(document) = self.key_document(path, transport).await? else { return Ok(None) };
        let url = self.url.join(path);
        let promised = || -> Result<_, String> {
            let manifest: Manifest = serde_json::from_slice(&document).map_err(|error| error.to_string())?;
            let record = manifest.data.iter().find(|record| record.media_type == media_type && manifest.version == 3);
            let record = record.ok_or_else(|| format!("`{}` names no `{media_type}`", public(&url)))?;
            record.promise(&url, &document).map_err(|error| error.to_string())
        };
        let expected = match promised() {
            Ok(expected) => expected,
            Err(reason) => return Ok(Some(Err(reason))),
        };
        let Some(bytes) = self.key_document(&MirrorPath::of_blob(expected.digest), transport).await? else {
            return Ok(Some(Err(format!("its blob {} is not there", expected.digest))));
        };
        let verified = verify_reader(&bytes[..], expected, &|_| ());
        Ok(Some(verified.map(|_| bytes).map_err(|error| error.to_string())))
    }

    async fn key_document(&self, path: &MirrorPath, transport: &Transport) -> Result<Option<Vec<u8>>, MirrorError> {
        let failed =
            |source| MirrorError::Ask { mirror: self.name.clone(), spec: "its public keys".to_owned(), source };
        transport.document(&self.location(path)).await.map_err(failed)
    }
}

/// One armored block of public keys and nothing else: what GnuPG would also take, such as a private key or a page of HTML, is
/// not carried on.
fn check(armored: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(armored).map_err(|_| "it is not armored text")?;
    if !text.trim_start().starts_with(ARMOR) {
        return Err(format!("it does not begin with `{ARMOR}`"));
    }
    if text.contains("PRIVATE KEY BLOCK") {
        return Err("there is a private key in it: tell whoever runs the mirror".to_owned());
    }
    Ok(())
}

fn v3_path(file: &str) -> MirrorPath {
    MirrorPath::new(["v3", "manifests", "key", file])
}

fn v3_key_path(fingerprint: &Fingerprint) -> MirrorPath {
    v3_path(&format!("{fingerprint}.key.manifest.json"))
}

fn v2_path(file: &str) -> MirrorPath {
    MirrorPath::new(["build_cache", "_pgp", file])
}

fn v2_key_path(fingerprint: &Fingerprint) -> MirrorPath {
    v2_path(&format!("{fingerprint}.pub"))
}

/// The files that publish these keys in layout v3, below a mirror, in the order in which they may appear.
pub fn v3_key_files(keys: &BTreeMap<Fingerprint, Vec<u8>>) -> Vec<(MirrorPath, Vec<u8>)> {
    let mut files = Vec::new();
    let mut publish = |manifest: MirrorPath, media_type: &str, blob: Vec<u8>| {
        let digest = Sha256Digest::from_bytes(Sha256::digest(&blob).into());
        let text = json!({"version": 3, "data": [{
            "contentLength": blob.len(),
            "mediaType": media_type,
            "compression": "none",
            "checksumAlgorithm": "sha256",
            "checksum": digest,
        }]});
        files.push((MirrorPath::of_blob(digest), blob));
        files.push((manifest, text.to_string().into_bytes()));
    };
    for (fingerprint, armored) in keys {
        publish(v3_key_path(fingerprint), KEY, armored.clone());
    }
    publish(v3_path("keys.manifest.json"), KEY_INDEX, index_of(keys));
    files
}

/// The files that publish these keys in layout v2, below a mirror, in the order in which they may appear.
pub fn v2_key_files(keys: &BTreeMap<Fingerprint, Vec<u8>>) -> Vec<(MirrorPath, Vec<u8>)> {
    let files = keys.iter().map(|(fingerprint, armored)| (v2_key_path(fingerprint), armored.clone()));
    files.chain([(v2_path("index.json"), index_of(keys))]).collect()
}

/// The keys that larder wrote into a mirror earlier, in either layout. `read` and `names` look at its files and folders. What is
/// not as larder writes it is passed over.
pub fn keys_in(
    read: &dyn Fn(&MirrorPath) -> Option<Vec<u8>>,
    names: &dyn Fn(&MirrorPath) -> Vec<String>,
) -> BTreeMap<Fingerprint, Vec<u8>> {
    let v3 = |name: String| {
        let fingerprint: Fingerprint = name.strip_suffix(".key.manifest.json")?.parse().ok()?;
        let manifest: Manifest = serde_json::from_slice(&read(&v3_key_path(&fingerprint))?).ok()?;
        let url = url::Url::parse("file:///").ok()?;
        let expected = manifest.data.first()?.promise(&url, &[]).ok()?;
        let armored = read(&MirrorPath::of_blob(expected.digest))?;
        verify_reader(&armored[..], expected, &|_| ()).ok().map(|_| (fingerprint, armored))
    };
    let v2 = |name: String| {
        let fingerprint: Fingerprint = name.strip_suffix(".pub")?.parse().ok()?;
        let armored = read(&v2_key_path(&fingerprint))?;
        Some((fingerprint, armored))
    };
    let v3 = names(&MirrorPath::new(["v3", "manifests", "key"])).into_iter().filter_map(v3);
    let v2 = names(&MirrorPath::new(["build_cache", "_pgp"])).into_iter().filter_map(v2);
    v3.chain(v2).filter(|(_, armored)| check(armored).is_ok()).collect()
}

fn index_of(keys: &BTreeMap<Fingerprint, Vec<u8>>) -> Vec<u8> {
    let keys: serde_json::Map<_, _> = keys.keys().map(|name| (name.to_string(), json!({}))).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_can_be_part_of_a_path() {
        assert!("937F2EBC11DEF221996D1B275B991DD117D848D9".parse::<Fingerprint>().is_ok());
        for bad in
            ["", "937f2ebc11def221996d1b275b991dd117d848d9", "937F2EBC", "../../../../../../../../etc/passwd/xxxxxx"]
        {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_public_key_is_not_carried_on() {
        assert!(check(format!("{ARMOR}\n\nx\n").as_bytes()).is_ok());
        let private = format!("{ARMOR}\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n");
        for bad in ["<html>", "", &private] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
