//! Spack's name for one concrete spec, and its beginning, by which people name it.

use std::str::FromStr;

use thiserror::Error;

use super::text_type::{InvalidText, printed_as_str};

/// A DAG hash: 32 characters of Spack's lowercase base32 alphabet (`a`–`z`, `2`–`7`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DagHash([u8; 32]);

/// The beginning of a DAG hash, or a whole one, without the `/` that Spack writes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPrefix(String);

/// A text that no DAG hash begins with.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a DAG hash has up to 32 characters out of a-z and 2-7")]
pub struct InvalidHashPrefix;

impl DagHash {
    /// The hash as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The first seven characters, as Spack shows a hash to people.
    pub fn short(&self) -> &str {
        &self.as_str()[..7]
    }
}

impl FromStr for DagHash {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes().try_into().ok().filter(|_| text.bytes().all(is_base32));
        bytes.map(Self).ok_or_else(|| InvalidText::new("DAG hash", text, "32 characters out of a-z and 2-7"))
    }
}

impl HashPrefix {
    /// The characters, without `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HashPrefix {
    type Err = InvalidHashPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let is_prefix = text.bytes().all(is_base32) && (1..=32).contains(&text.len());
        if is_prefix { Ok(Self(text.to_owned())) } else { Err(InvalidHashPrefix) }
    }
}

impl From<DagHash> for HashPrefix {
    fn from(hash: DagHash) -> Self {
        Self(hash.to_string())
    }
}

/// Whether Spack's hashes may have this character.
fn is_base32(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'2'..=b'7')
}

printed_as_str!(DagHash);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_read_is_printed_alike(text in "[a-z2-7]{32}|.*") {
            if let Ok(hash) = text.parse::<DagHash>() {
                prop_assert_eq!(hash.to_string(), text);
            }
        }
    }

    #[test]
    fn only_spacks_alphabet_and_length_are_a_hash() {
        assert_eq!("htwdxxsuw2el2xq772xifvrsdng4li3u".parse::<DagHash>().unwrap().short(), "htwdxxs");
        for bad in ["", "htwdxxs", "htwdxxsuw2el2xq772xifvrsdng4li3/", "HTWDXXSUW2EL2XQ772XIFVRSDNG4LI3U", "é"] {
            assert!(bad.parse::<DagHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hash_may_be_short_and_have_a_slash() {
        assert_eq!("/abc".parse::<HashPrefix>().unwrap().as_str(), "abc");
        assert!("htwdxxsuw2el2xq772xifvrsdng4li3u".parse::<HashPrefix>().is_ok());
        for bad in ["", "/", "//a", "ABC", "a1", "htwdxxsuw2el2xq772xifvrsdng4li3ua"] {
            assert_eq!(bad.parse::<HashPrefix>(), Err(InvalidHashPrefix), "{bad}");
        }
    }
}
