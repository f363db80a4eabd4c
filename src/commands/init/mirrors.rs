//! Whether a mirror is there for good, or for one branch or merge request: its name tells, or a variable in its URL.

use crate::spack_config::SpackMirror;
use crate::types::{MirrorUrl, PlainHttp, PublicUrl};

/// What the name of a mirror for one branch or merge request is, or begins with: `pr`, `pr-17`.
const NAMES: [&str; 3] = ["branch", "mr", "pr"];

/// A mirror that `init` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundMirror {
    pub name: String,
    /// Its URL, without credentials, as it is compared with the prefixes of `caches:`.
    pub url: String,
    /// Whether its binaries carry signatures.
    pub signed: bool,
    /// Whether larder reads such mirrors without being told more.
    pub is_readable: bool,
    /// The variables that hold its credentials, as far as its entry names them and they are not set here.
    pub variables: Vec<String>,
    /// For a temporary mirror, the part of the URL that all of its kind begin with.
    pub temporary_prefix: Option<String>,
}

impl FoundMirror {
    pub(super) fn new(name: &str, url: &str, signed: bool) -> Self {
        let parsed = url.parse::<MirrorUrl>().ok();
        let shown = parsed
            .as_ref()
            .map_or_else(|| PublicUrl::bare_text(url).trim_end_matches('/').to_owned(), MirrorUrl::to_string);
        let temporary_prefix = temporary_prefix(name, &shown).map(str::to_owned);
        // The braces of a variable, which a URL escapes, as they were written.
        let url = if shown.contains("$%7B") { shown.replace("$%7B", "${").replace("%7D", "}") } else { shown };
        let is_readable = parsed.is_some_and(|url| !url.is_refused_by(PlainHttp::LoopbackOnly));
        Self { name: name.to_owned(), url, signed, is_readable, variables: Vec::new(), temporary_prefix }
    }

    /// As Spack's configuration has it.
    pub(super) fn from_spack(mirror: &SpackMirror) -> Self {
        let variables = mirror.access.unset_variables.clone();
        Self { variables, ..Self::new(&mirror.name, &mirror.url, mirror.signed) }
    }
}

/// The URL up to the variable that differs between branches, or to the number at its end; nothing for a mirror that is there
/// for good.
fn temporary_prefix<'a>(name: &str, url: &'a str) -> Option<&'a str> {
    let first = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let by_name = || NAMES.contains(&first.to_ascii_lowercase().as_str());
    match url.split_once('$') {
        Some((before, _)) => Some(before),
        None => by_name().then(|| url.trim_end_matches(|c: char| c.is_ascii_digit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_of_a_branch_is_known_by_a_variable_or_its_name_and_gives_the_prefix_of_its_kind() {
        for (name, url, prefix) in [
            ("m", "https://h.example/x-${CI_COMMIT_REF_SLUG}/y", "https://h.example/x-"),
            ("m", "https://h.example/$CI_PIPELINE_ID", "https://h.example/"),
            ("m", "https://h.example/${BRANCH}", "https://h.example/"),
            ("m", "s3://key:secret@bucket/${BRANCH}", "s3://bucket/"),
            ("m", "oci://registry.example/spack/mr-$ID", "oci://registry.example/spack/mr-"),
            ("pr", "https://h.example/pr-17", "https://h.example/pr-"),
            ("MR-17", "https://h.example/spack/mr/17", "https://h.example/spack/mr/"),
            ("branch", "https://h.example/branches/topic-x", "https://h.example/branches/topic-x"),
            ("pr17", "file:///srv/tmp", "file:///srv/tmp"),
        ] {
            assert_eq!(FoundMirror::new(name, url, true).temporary_prefix.as_deref(), Some(prefix), "{url}");
        }
    }

    #[test]
    fn a_mirror_that_is_there_for_good_is_not_taken_for_one() {
        for (name, url) in [
            ("develop", "https://binaries.spack.io/develop"),
            ("prod", "https://h.example/pr/17"),
            ("main-branch", "https://h.example/branches/main"),
            ("https://h.example/pr-17", "https://h.example/pr-17"),
            ("m", "/srv/mirror"),
            ("m", "s3://bucket"),
        ] {
            assert_eq!(FoundMirror::new(name, url, true).temporary_prefix, None, "{url}");
        }
    }
}
