//! `mirrors.yaml`: the configuration scope that makes Spack look into the job mirror first.
//!
//! Written for `spack -C .larder/job/spack`, whose scope outranks the environment's own, or as the first, optional include
//! of `spack.yaml`. It adds mirrors and replaces none, so that source mirrors go on working.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::types::Signatures;

/// The file's name in the scope.
pub(crate) const FILE_NAME: &str = "mirrors.yaml";

#[derive(Serialize)]
struct File {
    mirrors: serde_yaml::Mapping,
}

/// An entry of `mirrors:` for binaries only.
#[derive(Serialize)]
pub(crate) struct MirrorEntry {
    url: String,
    signed: Signatures,
    binary: bool,
    source: bool,
}

impl MirrorEntry {
    /// The mirror at this URL, or at this path relative to the file.
    pub(crate) fn new(url: String, signatures: Signatures) -> Self {
        Self { url, signed: signatures, binary: true, source: false }
    }
}

/// The file's text for these mirrors, in the order in which Spack is to look into them.
pub(super) fn text(mirrors: &[(&str, PathBuf, Signatures)]) -> String {
    let entries = mirrors.iter().map(|(name, path, signatures)| (*name, MirrorEntry::new(file_url(path), *signatures)));
    scope_text("Written by larder for one job; use it with `spack -C .larder/job/spack`.", entries)
}

/// The text of `mirrors.yaml` with these entries, in their order, below a line that says what it is.
pub(crate) fn scope_text<'a>(about: &str, entries: impl Iterator<Item = (&'a str, MirrorEntry)>) -> String {
    let entries = entries.filter_map(|(name, entry)| Some((name.into(), serde_yaml::to_value(entry).ok()?)));
    let file = File { mirrors: entries.collect() };
    format!("# {about}\n{}", serde_yaml::to_string(&file).unwrap_or_default())
}

fn file_url(path: &Path) -> String {
    url::Url::from_file_path(path).map_or_else(|()| path.display().to_string(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_demanded_where_the_mirror_demands_them() {
        let mirrors = [
            ("larder", PathBuf::from("/p/.larder/job/mirror"), Signatures::Required),
            ("larder-unsigned", PathBuf::from("/p/.larder/job/mirror-unsigned"), Signatures::NotRequired),
        ];
        insta::assert_snapshot!(text(&mirrors), @r"
        # Written by larder for one job; use it with `spack -C .larder/job/spack`.
        mirrors:
          larder:
            url: file:///p/.larder/job/mirror
            signed: true
            binary: true
            source: false
          larder-unsigned:
            url: file:///p/.larder/job/mirror-unsigned
            signed: false
            binary: true
            source: false
        ");
    }
}
