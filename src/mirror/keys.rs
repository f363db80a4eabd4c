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
use std::fmt::Display;

use serde::Deserialize;
use serde_json::json;

use super::MirrorError;
use super::fingerprint::Fingerprint;
use super::layout::Layout;
use super::metadata::Metadata;
use super::rules::Extra;
use crate::transport::Transport;
use crate::types::{Mirror, MirrorPath, PublicUrl, shorten};
use crate::verified::verify_reader;

/// The most keys that are taken from one mirror: stops an index of millions, each of which would be asked for. Real mirrors
/// have a handful.
const MOST_KEYS: usize = 64;

const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// What a mirror has of keys.
#[derive(Debug, Default)]
pub struct Keys {
    /// Those that can be used, as armored blocks.
    pub found: BTreeMap<Fingerprint, Vec<u8>>,
    /// Those that can't, each with the reason.
    pub refused: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Index {
    keys: serde_json::Map<String, serde_json::Value>,
}

impl Mirror {
    /// The keys that the mirror publishes in this layout. None is no error, and neither is one that can't be used; a mirror
    /// that can't be asked is.
    pub async fn keys(&self, layout: Layout, transport: &Transport) -> Result<Keys, MirrorError> {
        // What is never signed needs none.
        if self.url.is_registry() {
            return Ok(Keys::default());
        }
        let failed =
            |source| MirrorError::Ask { mirror: self.name.clone(), spec: "its public keys".to_owned(), source };
        let fetch = async |path: &MirrorPath| transport.document(&self.location(path)).await.map_err(failed);
        keys_at(&self.url, layout, &fetch).await
    }
}

/// The keys of the mirror at `base`, whose files `fetch` reads.
pub(crate) async fn keys_at<E>(
    base: impl Display,
    layout: Layout,
    fetch: &impl AsyncFn(&MirrorPath) -> Result<Option<Vec<u8>>, E>,
) -> Result<Keys, E> {
    let base = base.to_string();
    let mut keys = Keys::default();
    let parse = |index: Option<Vec<u8>>| match index {
        Some(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
        None => Ok(Index::default()),
    };
    let named = match read(&base, layout, Extra::KeyIndex, fetch).await?.and_then(parse) {
        Ok(index) => index.keys,
        Err(reason) => {
            keys.refused.push(format!("its index of keys: {reason}"));
            return Ok(keys);
        }
    };
    if named.len() > MOST_KEYS {
        let (left_out, all) = (named.len() - MOST_KEYS, named.len());
        keys.refused.push(format!("{left_out} of its {all} keys: more than a mirror needs"));
    }
    for name in named.keys().take(MOST_KEYS) {
        let key = match name.parse::<Fingerprint>() {
            Ok(fingerprint) => {
                let armored = read(&base, layout, Extra::Key(&fingerprint), fetch).await?;
                armored.and_then(check).map(|armored| keys.found.insert(fingerprint, armored))
            }
            Err(reason) => Err(reason),
        };
        if let Err(reason) = key {
            keys.refused.push(format!("key `{}`: {reason}", shorten(name)));
        }
    }
    Ok(keys)
}

/// What is published beside the specs, hashed where a manifest says how; `None` where there is none. The inner error says what is
/// wrong with it.
async fn read<E>(
    base: &str,
    layout: Layout,
    extra: Extra<'_>,
    fetch: &impl AsyncFn(&MirrorPath) -> Result<Option<Vec<u8>>, E>,
) -> Result<Result<Option<Vec<u8>>, String>, E> {
    let rules = layout.rules();
    let path = rules.place_of(extra);
    let Some(document) = fetch(&path).await? else { return Ok(Ok(None)) };
    let at = PublicUrl::of_text(&format!("{base}/{path}"));
    let expected = match rules.content_of(extra, Metadata { at: &at, document: &document }) {
        Ok(Some(expected)) => expected,
        Ok(None) => return Ok(Ok(Some(document))),
        Err(reason) => return Ok(Err(reason)),
    };
    let Some(bytes) = fetch(&MirrorPath::of_blob(expected.digest)).await? else {
        return Ok(Err(format!("its blob {} is not there", expected.digest)));
    };
    let verified = verify_reader(&bytes[..], expected, &|_| ());
    Ok(verified.map(|_| Some(bytes)).map_err(|error| error.to_string()))
}

/// One armored block of public keys and nothing else: what GnuPG would also take, such as a private key or a page of HTML, is
/// not carried on.
fn check(armored: Option<Vec<u8>>) -> Result<Vec<u8>, String> {
    let armored = armored.ok_or("the mirror lists it and does not have it")?;
    let text = std::str::from_utf8(&armored).map_err(|_| "it is not armored text")?;
    if !text.trim_start().starts_with(ARMOR) {
        return Err(format!("it does not begin with `{ARMOR}`"));
    }
    if text.contains("PRIVATE KEY BLOCK") {
        return Err("there is a private key in it: tell the mirror's administrators".to_owned());
    }
    Ok(armored)
}

/// The files that publish these keys, below a mirror, in the order in which they may appear.
pub(crate) fn key_files(layout: Layout, keys: &BTreeMap<Fingerprint, Vec<u8>>) -> Vec<(MirrorPath, Vec<u8>)> {
    let rules = layout.rules();
    let names: serde_json::Map<_, _> = keys.keys().map(|name| (name.to_string(), json!({}))).collect();
    let index = json!({ "keys": names }).to_string().into_bytes();
    let files = keys.iter().flat_map(|(name, armored)| rules.publish(Extra::Key(name), armored.clone()));
    files.chain(rules.publish(Extra::KeyIndex, index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_public_key_is_not_carried_on() {
        assert!(check(Some(format!("{ARMOR}\n\nx\n").into())).is_ok());
        let private = format!("{ARMOR}\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n");
        for bad in ["<html>", "", &private] {
            assert!(check(Some(bad.into())).is_err(), "{bad}");
        }
    }
}
