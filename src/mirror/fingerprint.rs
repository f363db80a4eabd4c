//! The name of a public key.

use std::fmt;
use std::str::FromStr;

use crate::types::shorten;

/// The name of a key: 40 hex digits (64 for keys of version 6), in upper case as Spack writes them. Part of file names, so
/// nothing else may get in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl FromStr for Fingerprint {
    /// What is wrong with a text that is none.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        if is_hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{}` is not a fingerprint: expected 40 or 64 hex digits in upper case", shorten(text)))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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
}
