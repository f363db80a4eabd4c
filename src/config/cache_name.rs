//! The name of a cache.

use std::path::Path;
use std::str::FromStr;

use super::text::{not, schema_of_text};
use crate::types::text_like;
use crate::yaml::{Problem, Result};

/// The name of a cache: `[a-z0-9][a-z0-9._-]*`, at most 64 characters.
///
/// It is part of paths (`.larder/<name>`), so it is strict: no separator, not hidden, the same on file systems that know
/// no case. It does not end in `.lock`, because the lock of the cache `a` is the file `.larder/a.lock`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheName(String);

impl CacheName {
    /// A name that is none of the user's.
    pub(super) fn of_larder(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

/// Whether a file of this name could be the lock of a cache.
pub(super) fn is_lock(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("lock"))
}

impl FromStr for CacheName {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts_well = text.bytes().next().is_some_and(small);
        let goes_on_well = text.bytes().all(|byte| small(byte) || matches!(byte, b'.' | b'_' | b'-'));
        if starts_well && goes_on_well && text.len() <= 64 && !is_lock(Path::new(text)) {
            Ok(Self(text.to_owned()))
        } else {
            let what = "the name of a cache: expected lowercase letters, digits, `.`, `_` and `-`, a letter or digit first, \
                        at most 64 of them, and no `.lock` at the end";
            Err(not(text, what))
        }
    }
}

text_like!(CacheName);
schema_of_text!(CacheName => ["string", "number"]);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_one_part_of_a_path(text in "[a-z./\\\\-]{0,8}|.*") {
            if let Ok(name) = text.parse::<CacheName>() {
                let path = std::path::Path::new(name.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert_eq!(path.file_name().unwrap(), name.as_str());
            }
        }
    }

    #[test]
    fn names_that_would_not_do_in_a_path_are_refused() {
        for good in ["shared", "branch-2", "7", "a.b_c"] {
            assert_eq!(good.parse::<CacheName>().unwrap().to_string(), good);
        }
        for bad in ["", ".", "..", ".a", "-a", "A", "a/b", "a b", "é", "a.lock", &"a".repeat(65)] {
            assert!(bad.parse::<CacheName>().is_err(), "{bad}");
        }
    }
}
