//! `mirrors.yaml`: the configuration scope that makes Spack look into the job mirror first.
//!
//! Written for `spack -C .larder/job/spack`, whose scope outranks the environment's own, or as the first, optional include
//! of `spack.yaml`. It adds mirrors and replaces none, so that source mirrors go on working. Only the scope for concretizing
//! replaces all of them: Spack asks every mirror that it knows for its index, whatever the first one has.

use serde_json::{Map, Value, json};

use crate::types::Signatures;

/// The file's name in the scope.
pub(crate) const FILE_NAME: &str = "mirrors.yaml";

/// The text of `mirrors.yaml` below a line that says what it is: mirrors for binaries only, by name and URL, or path relative to
/// the file, in the order in which Spack is to look into them.
pub(crate) fn scope_text<'a>(about: &str, mirrors: impl IntoIterator<Item = (&'a str, String, Signatures)>) -> String {
    text(about, "mirrors", mirrors)
}

/// The same for mirrors that stand for all others: Spack forgets those that its other scopes name.
pub(super) fn replacing_text<'a>(
    about: &str,
    mirrors: impl IntoIterator<Item = (&'a str, String, Signatures)>,
) -> String {
    text(about, "mirrors:", mirrors)
}

fn text<'a>(about: &str, section: &str, mirrors: impl IntoIterator<Item = (&'a str, String, Signatures)>) -> String {
    let entry = |(name, url, signed): (&str, _, _)| {
        (name.to_owned(), json!({"url": url, "signed": signed, "binary": true, "source": false}))
    };
    let mirrors: Map<String, Value> = mirrors.into_iter().map(entry).collect();
    format!("# {about}\n{}", serde_yaml::to_string(&json!({ section: mirrors })).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_demanded_where_the_mirror_demands_them() {
        let mirrors = [
            ("larder", "file:///p/.larder/job/mirror".to_owned(), Signatures::Required),
            ("larder-unsigned", "file:///p/.larder/job/mirror-unsigned".to_owned(), Signatures::NotRequired),
        ];
        insta::assert_snapshot!(scope_text("Written by larder.", mirrors), @r"
        # Written by larder.
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
