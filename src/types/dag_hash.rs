//! Spack's name for one concrete spec.

use std::str::FromStr;

use super::text_type::{InvalidText, text_type};

/// A DAG hash: 32 characters of Spack's lowercase base32 alphabet (`a`–`z`, `2`–`7`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DagHash([u8; 32]);

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

/// Whether Spack's hashes may have this character.
pub(super) fn is_base32(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'2'..=b'7')
}

text_type!(DagHash);

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
