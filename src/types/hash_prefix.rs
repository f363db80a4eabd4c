//! How people name a spec by its hash.

use std::str::FromStr;

use thiserror::Error;

use super::dag_hash::{DagHash, is_base32};

/// The beginning of a DAG hash, or a whole one, without the `/` that Spack writes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPrefix(String);

/// A text that no DAG hash begins with.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a DAG hash has up to 32 characters out of a-z and 2-7")]
pub struct InvalidHashPrefix;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_may_be_short_and_have_a_slash() {
        assert_eq!("/abc".parse::<HashPrefix>().unwrap().as_str(), "abc");
        assert!("htwdxxsuw2el2xq772xifvrsdng4li3u".parse::<HashPrefix>().is_ok());
        for bad in ["", "/", "//a", "ABC", "a1", "htwdxxsuw2el2xq772xifvrsdng4li3ua"] {
            assert_eq!(bad.parse::<HashPrefix>(), Err(InvalidHashPrefix), "{bad}");
        }
    }
}
