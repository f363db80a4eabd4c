//! `mirrors.yaml`: the configuration scope that makes Spack look into the job mirror first.
//!
//! Written for `spack -C .larder/job/spack`, whose scope outranks the environment's own, or as the first, optional include
//! of `spack.yaml`. It adds mirrors and replaces none, so that source mirrors go on working. Only the scope for concretizing
//! replaces all of them: Spack asks every mirror that it knows for its index, whatever the first one has.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::{JobError, JobFolder};
use crate::types::Signatures;
use crate::yaml;

/// The file's name in the scope.
pub(crate) const FILE_NAME: &str = "mirrors.yaml";

/// The text of `mirrors.yaml` below a line that says what it is: mirrors for binaries only, by name and URL, or path relative to
/// the file, in the order in which Spack is to look into them.
pub(crate) fn scope_text<'a>(about: &str, mirrors: impl IntoIterator<Item = (&'a str, String, Signatures)>) -> String {
    text(about, "mirrors:", mirrors)
}

/// The same for mirrors that stand for all others: Spack forgets those that its other scopes name.
pub(super) fn replacing_text<'a>(
    about: &str,
    mirrors: impl IntoIterator<Item = (&'a str, String, Signatures)>,
) -> String {
    text(about, "mirrors::", mirrors)
}

fn text<'a>(about: &str, section: &str, mirrors: impl IntoIterator<Item = (&'a str, String, Signatures)>) -> String {
    let entry = |(name, url, signed): (&str, _, _)| {
        (name.to_owned(), json!({"url": url, "signed": signed, "binary": true, "source": false}))
    };
    let mirrors: Map<String, Value> = mirrors.into_iter().map(entry).collect();
    let yaml = serde_yaml::to_string(&json!({ "mirrors": mirrors })).unwrap_or_default();
    format!("# {about}\n{}", yaml.replacen("mirrors:", section, 1))
}

/// One mirror of the job folder, as Spack is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobMirror {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) signatures: Signatures,
}

impl JobMirror {
    /// What Spack is told of it beside its URL.
    pub(crate) fn flags(&self) -> [(&'static str, bool); 3] {
        [("signed", self.signatures == Signatures::Required), ("binary", true), ("source", false)]
    }

    /// Whether this is what a file of Spack's names.
    pub(crate) fn is(&self, name: &str, url: &str) -> bool {
        self.name == name && self.url == url
    }

    /// The job folder in which it lies, of whatever job; `None` for any other mirror.
    pub(crate) fn job_folder(&self) -> Option<PathBuf> {
        let path = self.url.parse::<Url>().ok().and_then(|url| url.to_file_path().ok())?;
        path.ancestors().find(|folder| folder.ends_with(".larder/job")).map(Path::to_owned)
    }

    /// Whether it lies in this job folder and has a name that needs no quotes anywhere. What a restored archive planted in the job
    /// folder could otherwise have Spack trust any mirror.
    pub(crate) fn is_of(&self, folder: &JobFolder) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        self.name.starts_with("larder")
            && self.name.bytes().all(plain)
            && self.job_folder().is_some_and(|of| of == folder.root())
    }
}

/// The mirrors in the scope of a job folder, in their order.
pub(crate) fn mirrors_in(folder: &JobFolder) -> Result<Vec<JobMirror>, JobError> {
    const LIMIT: u64 = 1 << 20;
    let path = folder.scope().join(FILE_NAME);
    let bytes = crate::fs::read_capped(&path, LIMIT).map_err(folder.failed("read the configuration scope"))?;
    read(&bytes.unwrap_or_default(), &path, folder).ok_or_else(|| JobError::Scope { path })
}

fn read(bytes: &[u8], path: &Path, folder: &JobFolder) -> Option<Vec<JobMirror>> {
    let tree = yaml::parse(std::str::from_utf8(bytes).ok()?, path, yaml::Dialect::Spack).ok()?;
    let yaml::Value::Map(entries) = &tree.get("mirrors")?.value else { return None };
    let text = |node: &yaml::Node| match &node.value {
        yaml::Value::Scalar(scalar) => Some(scalar.text.clone()),
        _ => None,
    };
    let mirror = |entry: &yaml::Entry| {
        let signatures = Signatures::from(text(entry.value.get("signed")?)?.parse::<bool>().ok()?);
        let mirror = JobMirror { name: entry.key.clone(), url: text(entry.value.get("url")?)?, signatures };
        mirror.is_of(folder).then_some(mirror)
    };
    entries.iter().map(mirror).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mirrors_of_the_job_folder_are_read_from_its_scope() {
        let project = tempfile::tempdir().unwrap();
        let folder = JobFolder::of(project.path());
        fs_err::create_dir_all(folder.scope()).unwrap();
        let write = |url: String| {
            let text = scope_text("x", [("larder", url, Signatures::NotRequired)]);
            fs_err::write(folder.scope().join(FILE_NAME), text).unwrap();
            mirrors_in(&folder)
        };
        let url = format!("file://{}/mirror", folder.root().display());
        let expected = JobMirror { name: "larder".to_owned(), url: url.clone(), signatures: Signatures::NotRequired };
        assert_eq!(write(url).unwrap(), [expected]);
        for foreign in ["https://host/x".to_owned(), format!("file://{}/x/../../../y", folder.root().display())] {
            assert!(write(foreign).is_err());
        }
    }

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
