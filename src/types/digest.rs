//! The sha256 of a blob: its name in a cache, and the only reason to believe its bytes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::text_type::{InvalidText, serde_as_text};

/// A sha256 digest.
///
/// Written as 64 lowercase hex digits, as Spack writes it. Uppercase is refused: a mirror could otherwise publish two
/// spellings of one digest, and the job mirror, which repeats metadata byte for byte, would lack one of the two names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest that `sha256` computed.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first two hex digits: the folder in which Spack's layouts and larder's caches keep the blob.
    pub fn shard(&self) -> String {
        format!("{:02x}", self.0[0])
    }
}

impl FromStr for Sha256Digest {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidText::new("sha256 digest", text, "64 lowercase hex digits");
        // `from_str_radix` would take uppercase digits and signs, too.
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Sha256Digest);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(bytes: [u8; 32]) {
            let digest = Sha256Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }

        #[test]
        fn no_text_makes_it_panic_or_leaves_another_spelling(text in ".*") {
            if let Ok(digest) = text.parse::<Sha256Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }

    #[test]
    fn a_path_an_uppercase_digit_and_a_short_digest_are_refused() {
        let good = "61fcc8f74b9cacdf4bae6fe73adba482be2c68a74b11445cb287b7c40f7e4b8b";
        assert!(good.parse::<Sha256Digest>().is_ok());
        let uppercase = good.to_uppercase();
        for bad in ["", "../../etc/passwd", &good[1..], &uppercase] {
            assert!(bad.parse::<Sha256Digest>().is_err(), "{bad}");
        }
    }
}
