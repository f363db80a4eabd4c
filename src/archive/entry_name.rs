//! The name of an entry: parsed before it is compared with any path.
//!
//! What is refused here was written outside the project folder by one extractor or another: `../x`, `/x`, `C:\x`.

use std::fmt;

use super::error::Problem;

/// A relative path of plain parts. It never begins or ends with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryName(String);

impl EntryName {
    /// Parse a name without the `/` that marks a folder.
    pub(super) fn parse(bytes: &[u8], limit: usize) -> Result<Self, Problem> {
        if bytes.len() > limit {
            return Err(Problem::Foreign(format!("its name is longer than {limit} bytes").into()));
        }
        // Programs read other bytes in different ways.
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::Foreign("its name is not UTF-8".into()))?;
        let drive = matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
        let parts = || text.split('/');
        let problems = [
            ("it has no name", text.is_empty()),
            ("its name is absolute", text.starts_with('/') || drive),
            // A folder to some programs and part of a name to others.
            ("there is a backslash in its name", text.contains('\\')),
            // A NUL, at which some programs end the name, a line break, a terminal sequence.
            ("there is a control character in its name", text.chars().any(char::is_control)),
            ("its name leads out of the folder", parts().any(|part| part == "..")),
            // `a//b` or `a/./b`: other spellings of a name.
            ("there is an empty part in its name", parts().any(|part| matches!(part, "" | "."))),
        ];
        match problems.into_iter().find(|(_, is_so)| *is_so) {
            Some((problem, _)) => Err(Problem::Foreign(problem.into())),
            None => Ok(Self(text.to_owned())),
        }
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

    fn parse(name: &str) -> Result<EntryName, String> {
        EntryName::parse(name.as_bytes(), 100).map_err(|problem| problem.to_string())
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
            ("../x", "leads out"),
            ("a/../../x", "leads out"),
            ("/etc/passwd", "absolute"),
            ("C:x", "absolute"),
            ("a\\..\\x", "backslash"),
            ("a\0b", "control character"),
            ("a//b", "empty part"),
            ("./a", "empty part"),
            ("", "no name"),
            (&"a".repeat(101), "longer than 100 bytes"),
        ] {
            assert!(parse(name).unwrap_err().contains(error), "{name}");
        }
        assert!(EntryName::parse(b"\xff", 100).unwrap_err().to_string().contains("not UTF-8"));
    }

    #[test]
    fn a_name_is_below_a_folder_only_at_a_slash() {
        let name = parse(".larder/shared/larder.json").unwrap();
        assert_eq!(name.below(".larder/shared"), Some("larder.json"));
        assert_eq!(name.below(".larder/sha"), None);
        assert_eq!(parse("a").unwrap().below("a"), Some(""));
    }
}
