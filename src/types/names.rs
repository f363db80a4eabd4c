//! Package names and versions, and how Spack makes a file name of them.

use std::str::FromStr;

use super::text_type::{InvalidText, text_like};

/// The name of a package, platform, operating system, target or compiler: what Spack may use as a whole path part.
///
/// Starts with a letter, a digit or `_`, goes on with those and `.`, `+`, `-`, and has at most 128 characters. So it can
/// be neither `.` nor `..`, holds no separator, and is never taken for an option by a program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

/// A version as Spack writes it. It may hold `/` and `=` (`git.feature/x=0.4`), so it is no path part: see [`path_part`].
///
/// Printable characters only, at most 256: a version is shown in terminals and job logs, where a control character could
/// write over other lines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionText(String);

/// One part of a path below a mirror, by Spack's rule for file names: each character outside `[A-Za-z0-9_+.-]` becomes `_`.
///
/// Source: `Spec.format_path` of Spack 0.19 to 1.1. A text that would come out as `.` or `..`, or empty, gets a leading
/// `_`, so that no lockfile can make larder read or write outside the folder it is in.
pub fn path_part(formatted: &str) -> String {
    let mut part: String = formatted
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-') { c } else { '_' })
        .collect();
    if matches!(part.as_str(), "" | "." | "..") {
        part.insert(0, '_');
    }
    part
}

impl FromStr for PackageName {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let goes_on_well =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-'));
        if starts_well && goes_on_well && text.len() <= 128 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new("name", text, "letters, digits, `_`, `.`, `+` and `-`, at most 128 of them"))
        }
    }
}

impl FromStr for VersionText {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.is_empty() && text.len() <= 256 && !text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new("version", text, "at most 256 printable characters without spaces"))
        }
    }
}

text_like!(PackageName);
text_like!(VersionText);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_becomes_a_path_part_that_leaves_its_folder(text in ".*") {
            let part = path_part(&text);
            prop_assert!(!part.as_str().contains(['/', '\\', '\0']));
            prop_assert!(!matches!(part.as_str(), "" | "." | ".."));
        }

        #[test]
        fn every_name_is_its_own_path_part(text in "[A-Za-z0-9_.+/-]{0,12}") {
            if let Ok(name) = text.parse::<PackageName>() {
                let part = path_part(name.as_str());
                prop_assert_eq!(part.as_str(), name.as_str());
            }
        }
    }

    #[test]
    fn names_that_would_leave_a_folder_or_look_like_an_option_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "-rf", "a\nb", "a b", "\u{1b}[2J"] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad:?}");
        }
        for good in ["py-tool", "libbase", "7zip", "gtk+", "r.utils", "x86_64_v3"] {
            assert!(good.parse::<PackageName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_git_version_becomes_the_file_name_that_spack_uses() {
        let version: VersionText = "git.feature/x=0.4".parse().unwrap();
        assert_eq!(path_part(version.as_str()).as_str(), "git.feature_x_0.4");
    }
}
