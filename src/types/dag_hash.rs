//! Spack's name for one concrete spec.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::digest::shorten;

/// A DAG hash: 32 characters of Spack's lowercase base32 alphabet (`a`–`z`, `2`–`7`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DagHash([u8; 32]);

/// A text that is not a DAG hash.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{found}` is not a DAG hash: expected 32 characters out of a-z and 2-7")]
pub struct InvalidDagHash {
    /// What was found, cut to a length that fits a message.
    pub found: String,
}

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
    type Err = InvalidDagHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 32]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) => Ok(Self(bytes)),
            _ => Err(InvalidDagHash { found: shorten(text) }),
        }
    }
}

impl fmt::Display for DagHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DagHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

super::serde_as_text::serde_as_text!(DagHash);

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
}
