//! `prefix:` of a cache: which mirrors' binaries it keeps.

use std::str::FromStr;

use globset::Glob;
use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{OneOrMany, from_text, glob, line};
use crate::types::MirrorUrl;
use crate::yaml::{Problem, Result};

/// Which mirrors. Compared with the mirror's URL without credentials.
///
/// Any text will do, whether or not larder can read such mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MirrorPattern {
    /// Those whose URL begins so. It need not end at a `/`: `https://host/pr-` is for all mirrors `https://host/pr-17`.
    Prefix(String),
    /// Those whose whole URL is like this glob; `*` also crosses `/`.
    Glob(Glob),
}

impl FromStr for MirrorPattern {
    type Err = Problem;

    /// A glob if there is any of `*`, `?`, `[`, `{` in the text, and else a prefix. An absolute path stands for the
    /// `file://` URL of that folder, as it does for a mirror.
    fn from_str(text: &str) -> Result<Self> {
        let mut text = line(text)?;
        if text.starts_with('/') {
            text.insert_str(0, "file://");
        }
        if text.contains(['*', '?', '[', '{']) { glob(&text).map(Self::Glob) } else { Ok(Self::Prefix(text)) }
    }
}

from_text!(MirrorPattern => "string");

/// The mirrors whose binaries a cache keeps. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "OneOrMany<MirrorPattern>")]
pub struct Prefixes(Vec<MirrorPattern>);

impl TryFrom<OneOrMany<MirrorPattern>> for Prefixes {
    type Error = Problem;

    fn try_from(patterns: OneOrMany<MirrorPattern>) -> Result<Self> {
        let problem = Problem::new("there is no prefix in the list, so the cache would be for no mirror")
            .help("leave `prefix` out for a cache for all mirrors");
        patterns.some(problem).map(Self)
    }
}

impl Prefixes {
    /// Whether a cache with these is for binaries of this mirror.
    pub fn matches(&self, mirror: &MirrorUrl) -> bool {
        self.is_all() || self.0.iter().any(|pattern| pattern.matches(mirror))
    }

    /// Whether a cache with these is for binaries of all mirrors.
    pub(super) fn is_all(&self) -> bool {
        self.0.is_empty()
    }
}

impl MirrorPattern {
    /// Whether the mirror is one of these.
    fn matches(&self, mirror: &MirrorUrl) -> bool {
        let url = mirror.to_string();
        // `https://host/develop/` and `https://host/develop` are one mirror, and either may be written.
        let folder = format!("{url}/");
        match self {
            Self::Prefix(prefix) => folder.starts_with(prefix),
            Self::Glob(glob) => {
                let matcher = glob.compile_matcher();
                matcher.is_match(&url) || matcher.is_match(&folder)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, mirror: &str) -> bool {
        pattern.parse::<MirrorPattern>().unwrap().matches(&mirror.parse().unwrap())
    }

    #[test]
    fn a_prefix_is_the_beginning_of_the_url() {
        assert!(matches("https://host/pr-", "https://host/pr-17"));
        assert!(matches("https://host/develop/", "https://host/develop"));
        assert!(matches("https://host/develop", "https://host/develop/"));
        assert!(matches("https://host/", "https://user:secret@host/x"));
        assert!(matches("/srv/mirrors/", "/srv/mirrors/x"));
        assert!(!matches("https://host/pr-", "https://host/develop"));
        assert!(!matches("host", "https://host/"));
        assert!(!matches("s3://bucket/", "https://host/"));
    }

    #[test]
    fn a_glob_is_the_whole_url() {
        assert!(matches("https://*/pr-*", "https://host/a/b/pr-17/x"));
        assert!(matches("https://{a,b}.example/*", "https://b.example/x"));
        assert!(!matches("https://host/pr-?", "https://host/pr-17"));
        assert!(!matches("host/*", "https://host/x"));
        assert!("https://host/[".parse::<MirrorPattern>().is_err());
        assert!("".parse::<MirrorPattern>().is_err());
    }
}
