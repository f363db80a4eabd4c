//! The sha256 of a blob: its name in a cache, and the only reason to believe its bytes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A sha256 digest.
///
/// Written as 64 lowercase hex digits, as Spack writes it. Uppercase is refused: a mirror could otherwise publish two
/// spellings of one digest, and the job mirror, which repeats metadata byte for byte, would lack one of the two names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

/// A text that is not a sha256 digest.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{found}` is not a sha256 digest: expected 64 lowercase hex digits")]
pub struct InvalidDigest {
    /// What was found, cut to a length that fits a message.
    pub found: String,
}

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
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDigest { found: shorten(text) };
        if text.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (high, low) = (hex_digit(pair[0]), hex_digit(pair[1]));
            *byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(invalid)?;
        }
        Ok(Self(bytes))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Hostile text in an error message: one line, and short.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
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

super::serde_as_text::serde_as_text!(Sha256Digest);

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
