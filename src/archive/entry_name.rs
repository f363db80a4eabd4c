//! The name of an entry: parsed before it is compared with any path.
//!
//! What is refused here was written outside the project folder by one extractor or another: `../x`, `/x`, `C:\x`.

use std::fmt;

use thiserror::Error;

/// A relative path of plain parts. It never begins or ends with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryName(String);

/// A name that is no such path.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidEntryName {
    /// Nothing.
    #[error("it has no name")]
    Empty,
    /// Longer than any file system takes.
    #[error("its name is longer than {limit} bytes")]
    TooLong { limit: usize },
    /// Bytes that programs read in different ways.
    #[error("its name is not UTF-8")]
    NotUtf8,
    /// `/x` or `C:x`.
    #[error("its name is absolute")]
    Absolute,
    /// `../x`.
    #[error("its name leads out of the folder")]
    LeadsOut,
    /// `a\b`: a folder to some programs and part of a name to others.
    #[error("there is a backslash in its name")]
    Backslash,
    /// A NUL, at which some programs end the name, a line break, a terminal sequence.
    #[error("there is a control character in its name")]
    Control,
    /// `a//b` or `a/./b`: other spellings of a name.
    #[error("there is an empty part in its name")]
    EmptyPart,
}

impl EntryName {
    /// Parse a name without the `/` that marks a folder.
    pub(super) fn parse(bytes: &[u8], limit: usize) -> Result<Self, InvalidEntryName> {
        if bytes.is_empty() {
            return Err(InvalidEntryName::Empty);
        }
        if bytes.len() > limit {
            return Err(InvalidEntryName::TooLong { limit });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidEntryName::NotUtf8)?;
        let drive = matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
        if text.starts_with('/') || drive {
            return Err(InvalidEntryName::Absolute);
        }
        if text.contains('\\') {
            return Err(InvalidEntryName::Backslash);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidEntryName::Control);
        }
        for part in text.split('/') {
            match part {
                ".." => return Err(InvalidEntryName::LeadsOut),
                "" | "." => return Err(InvalidEntryName::EmptyPart),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is left of the name below a folder; empty for the folder itself.
    pub fn below(&self, folder: &str) -> Option<&str> {
        let rest = self.0.strip_prefix(folder)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    fn parse(name: &str) -> Result<EntryName, InvalidEntryName> {
        EntryName::parse(name.as_bytes(), 100)
    }

    proptest! {
        #[test]
        fn a_name_has_nothing_but_plain_parts(bytes: Vec<u8>, text in "(\\.{0,3}/|[a-z]:?|\\\\|\0){0,6}") {
            for bytes in [bytes, text.into_bytes()] {
                if let Ok(name) = EntryName::parse(&bytes, 100) {
                    prop_assert!(Path::new(name.as_str()).components().all(|part| matches!(part, Component::Normal(_))));
                    prop_assert_eq!(name.as_str().as_bytes(), bytes);
                }
            }
        }
    }

    #[test]
    fn what_leaves_the_folder_is_refused() {
        for (name, error) in [
            ("../x", InvalidEntryName::LeadsOut),
            ("a/../../x", InvalidEntryName::LeadsOut),
            ("/etc/passwd", InvalidEntryName::Absolute),
            ("C:x", InvalidEntryName::Absolute),
            ("a\\..\\x", InvalidEntryName::Backslash),
            ("a\0b", InvalidEntryName::Control),
            ("a//b", InvalidEntryName::EmptyPart),
            ("./a", InvalidEntryName::EmptyPart),
            ("", InvalidEntryName::Empty),
        ] {
            assert_eq!(parse(name), Err(error), "{name}");
        }
        assert_eq!(EntryName::parse(&[b'a'; 101], 100), Err(InvalidEntryName::TooLong { limit: 100 }));
        assert_eq!(EntryName::parse(b"\xff", 100), Err(InvalidEntryName::NotUtf8));
    }

    #[test]
    fn a_name_is_below_a_folder_only_at_a_slash() {
        let name = parse(".larder/shared/larder.json").unwrap();
        assert_eq!(name.below(".larder/shared"), Some("larder.json"));
        assert_eq!(name.below(".larder/sha"), None);
        assert_eq!(parse("a").unwrap().below("a"), Some(""));
    }
}
