//! Whether a mirror is there for good, or for one branch or merge request: its URL tells.

use crate::types::{MirrorUrl, PlainHttp, PublicUrl};

/// Words in the path of a URL that say that the mirror is temporary.
const WORDS: [&str; 22] = [
    "branch",
    "branches",
    "feature",
    "features",
    "job",
    "jobs",
    "merge",
    "mr",
    "mrs",
    "pipeline",
    "pipelines",
    "pr",
    "preview",
    "prs",
    "pull",
    "pulls",
    "review",
    "temp",
    "temporary",
    "tmp",
    "topic",
    "topics",
];

/// A mirror that `init` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundMirror {
    /// Its name.
    pub name: String,
    /// Its URL, without credentials, as it is compared with the prefixes of `caches:`.
    pub url: String,
    /// Whether its binaries carry signatures.
    pub signed: bool,
    /// Whether larder reads such mirrors without being told more.
    pub is_readable: bool,
    /// For a temporary mirror, the part of the URL that all of its kind begin with.
    pub temporary_prefix: Option<String>,
}

impl FoundMirror {
    pub(super) fn new(name: &str, url: &str, signed: bool) -> Self {
        let parsed = url.parse::<MirrorUrl>().ok();
        let shown = parsed
            .as_ref()
            .map_or_else(|| PublicUrl::bare_text(url).trim_end_matches('/').to_owned(), MirrorUrl::public_text);
        let temporary_prefix = temporary_prefix(&shown);
        let is_readable = parsed.is_some_and(|url| !url.is_refused_by(PlainHttp::LoopbackOnly));
        Self { name: name.to_owned(), url: shown, signed, is_readable, temporary_prefix }
    }
}

/// The text up to the variable or number that differs between branches; nothing for a mirror that is there for good.
fn temporary_prefix(url: &str) -> Option<String> {
    // A host may well be named `pr` (the top-level domain, say): only for buckets does its name count.
    let is_bucket =
        !["https://", "http://", "file://", "oci://", "oci+http://"].iter().any(|scheme| url.starts_with(scheme));
    let host = url.find("://").map_or(0, |at| at + 3);
    let start = if is_bucket { host } else { host + url[host..].find('/')? };
    let variable = url[start..].find('$').map(|at| start + at).filter(|at| names_a_branch(&url[*at..]));
    let word = words(url, start).find_map(|(at, word)| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let end = at + letters.len();
        // `pr-17` begins as `pr-18` does.
        let separator = url[end..].chars().next().filter(|c| matches!(c, '-' | '_' | '/' | '.'));
        WORDS.contains(&letters.to_ascii_lowercase().as_str()).then(|| end + separator.map_or(0, char::len_utf8))
    });
    let end = match (variable, word) {
        (Some(variable), Some(word)) => variable.min(word),
        (variable, word) => variable.or(word)?,
    };
    Some(url[..end].to_owned())
}

/// Whether the variable at the start of a text is one of GitLab's for the job at hand, or is named like one.
fn names_a_branch(text: &str) -> bool {
    let name = words(text, 1).map(|(_, word)| word).find(|word| !word.is_empty()).unwrap_or_default();
    // In a parsed URL, the brace is `%7B`.
    let name = name.strip_prefix("7B").unwrap_or(name);
    let rest = text.trim_start_matches(['$', '{']).trim_start_matches("%7B");
    let name_parts = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    name == "CI"
        || name_parts.split('_').any(|part| WORDS.contains(&part.to_ascii_lowercase().as_str()) || part == "CI")
}

/// The words of a text from a place on, each with where it begins.
fn words(text: &str, start: usize) -> impl Iterator<Item = (usize, &str)> {
    let mut at = start;
    text[start..].split(|c: char| !c.is_ascii_alphanumeric()).map(move |word| {
        let begin = at;
        at += word.len() + text[begin + word.len()..].chars().next().map_or(0, char::len_utf8);
        (begin, word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_of_a_branch_is_known_by_its_url_and_gives_the_prefix_of_its_kind() {
        for (url, prefix) in [
            ("https://h.example/pr-17", "https://h.example/pr-"),
            ("https://h.example/pr17/x", "https://h.example/pr"),
            ("https://h.example/spack/MR/17", "https://h.example/spack/MR/"),
            ("https://h.example/branches/topic-x", "https://h.example/branches/"),
            ("https://h.example/x-${CI_COMMIT_REF_SLUG}/y", "https://h.example/x-"),
            ("https://h.example/$CI_PIPELINE_ID", "https://h.example/"),
            ("https://h.example/${BRANCH}", "https://h.example/"),
            ("s3://pr-binaries/x", "s3://pr-"),
            ("s3://key:secret@bucket/pr-1", "s3://bucket/pr-"),
            ("oci://registry.pr.example/spack/mr-7", "oci://registry.pr.example/spack/mr-"),
            ("file:///srv/tmp", "file:///srv/tmp"),
        ] {
            assert_eq!(FoundMirror::new("m", url, true).temporary_prefix.as_deref(), Some(prefix), "{url}");
        }
    }

    #[test]
    fn a_mirror_that_is_there_for_good_is_not_taken_for_one() {
        for url in [
            "https://binaries.spack.io/develop",
            "https://mirror.university.pr/spack",
            "https://ci-binaries.example/releases",
            "https://h.example/prod/v1",
            "https://h.example/$USER",
            "https://h.example",
            "/srv/mirror",
            "s3://bucket",
        ] {
            assert_eq!(FoundMirror::new("m", url, true).temporary_prefix, None, "{url}");
        }
    }
}
