//! Whether a lockfile still is what its environment's files say.
//!
//! Modification times alone can't tell: a checkout gives all files about the same one, and a lockfile that a warm-up job hands on
//! as an artifact is older than the checkout of the job that gets it. So contents come first:
//!
//! 1. Which files Spack made a lockfile from, and what was in them, is noted in the job folder (`concretized.json`), with the
//!    lockfile's own digest. Where the note is about this very lockfile, it decides: nothing else is looked at.
//! 2. Else the roots are compared, as Spack itself compares them when it is to concretize: a spec of `spack.yaml` that is no
//!    root of the lockfile, or a root that no spec asks for, makes it out of date. Names and plain versions are compared, which
//!    people and Spack write alike; where `specs:` has more than plain specs (matrices, definitions), nothing is concluded.
//! 3. Else, and only outside of CI, a file that was modified more than a minute after the lockfile makes it out of date.
//!
//! Being wrong costs little either way: unless the note says that a file changed, Spack is asked to concretize only what is new,
//! and keeps all roots that it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::environments::lockfile_of;
use super::session::Session;
use crate::job::{JobError, JobFolder};
use crate::lockfile::Lockfile;
use crate::spack_config;
use crate::types::Sha256Digest;
use crate::yaml::{self, Dialect, Node, Value};

const FORMAT: u32 = 1;
const FILE_NAME: &str = "concretized.json";

/// The most bytes of the note. Stops a wrong file from filling the memory.
const MAX_NOTE: u64 = 16 << 20;

/// The most bytes of one file that a lockfile is made from, and of the lockfile.
const MAX_INPUT: u64 = 512 << 20;

/// The most bytes of a `spack.yaml` whose specs are compared.
const MAX_MANIFEST: u64 = 4 << 20;

/// A checkout, or Spack as it writes the lockfile, may take so long from the first file to the last.
const SIMULTANEOUS: Duration = Duration::from_secs(60);

/// What a lockfile is, compared with its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As far as can be told, what the files say.
    UpToDate,
    /// There is none.
    Missing,
    /// Larder had Spack make it from files, and this one has changed since.
    Changed(PathBuf),
    /// A spec of `spack.yaml` that is no root of it, or the other way round.
    OtherRoots(String),
    /// This file was modified after it.
    Older(PathBuf),
}

/// What lockfiles were made from: by the folder of the environment.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notes {
    version: u32,
    environments: BTreeMap<PathBuf, Note>,
}

/// What one lockfile was made from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    lockfile: Sha256Digest,
    inputs: BTreeMap<PathBuf, Sha256Digest>,
}

impl Notes {
    /// Those of the job folder. What can't be read is as good as none.
    pub(crate) fn read(job: &JobFolder) -> Self {
        let text = crate::fs::read_capped(&job.root().join(FILE_NAME), MAX_NOTE).ok().flatten();
        let notes: Option<Self> = text.and_then(|text| serde_json::from_slice(&text).ok());
        notes.filter(|notes| notes.version == FORMAT).unwrap_or_default()
    }

    /// Spack has just made the lockfile of this environment from the files as they are.
    pub(crate) fn add(&mut self, session: &Session<'_>, environment: &Path) {
        let Some(lockfile) = digest(&lockfile_of(environment)) else { return };
        let inputs = inputs(session, environment).into_iter();
        let inputs = inputs.filter_map(|file| digest(&file).map(|digest| (file, digest))).collect();
        self.environments.insert(environment.to_owned(), Note { lockfile, inputs });
    }

    /// Write them into the job folder.
    pub(crate) fn write(&mut self, job: &JobFolder) -> Result<(), JobError> {
        self.version = FORMAT;
        job.write(FILE_NAME, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// What the lockfile of this environment is.
    pub(crate) fn judge(&self, session: &Session<'_>, environment: &Path) -> Freshness {
        let path = lockfile_of(environment);
        if !path.exists() {
            return Freshness::Missing;
        }
        let inputs = inputs(session, environment);
        if let Some(note) = self.environments.get(environment).filter(|note| digest(&path) == Some(note.lockfile)) {
            let now: BTreeMap<PathBuf, Sha256Digest> =
                inputs.into_iter().filter_map(|file| digest(&file).map(|digest| (file, digest))).collect();
            let is_other = |file: &&PathBuf| now.get(*file) != note.inputs.get(*file);
            let changed = now.keys().chain(note.inputs.keys()).find(is_other);
            return changed.map_or(Freshness::UpToDate, |file| Freshness::Changed(file.clone()));
        }
        if let Some(root) = other_root(environment, &path) {
            return Freshness::OtherRoots(root);
        }
        if session.variables.set("CI").is_some() {
            return Freshness::UpToDate;
        }
        let made = modified(&path);
        let is_newer = |file: &PathBuf| match (modified(file), made) {
            (Some(modified), Some(made)) => modified.duration_since(made).is_ok_and(|by| by > SIMULTANEOUS),
            _ => false,
        };
        inputs.into_iter().find(is_newer).map_or(Freshness::UpToDate, Freshness::Older)
    }
}

fn inputs(session: &Session<'_>, environment: &Path) -> Vec<PathBuf> {
    let job = JobFolder::of(&session.config.root);
    spack_config::inputs(environment, &session.variables, session.home.as_deref(), job.root())
}

fn digest(file: &Path) -> Option<Sha256Digest> {
    crate::fs::read_linked(file, MAX_INPUT).ok().flatten().map(|bytes| Sha256Digest::of(&bytes))
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

/// A spec that only the environment, or only the lockfile has. None where one of them can't be compared.
fn other_root(environment: &Path, lockfile: &Path) -> Option<String> {
    let manifest = environment.join("spack.yaml");
    let text = String::from_utf8(crate::fs::read_linked(&manifest, MAX_MANIFEST).ok()??).ok()?;
    let asked = plain_specs(&yaml::parse(&text, &manifest, Dialect::Spack).ok()?)?;
    // A broken lockfile is an error of those who read it next.
    let lockfile = Lockfile::read(lockfile).ok()?;
    let locked = lockfile.roots().iter().map(|root| plain(&root.request)).collect::<Option<BTreeSet<_>>>()?;
    asked.symmetric_difference(&locked).next().cloned()
}

/// The specs of an environment, where all of them are plain ones and its own.
fn plain_specs(tree: &Node) -> Option<BTreeSet<String>> {
    let environment = tree.get("spack").or_else(|| tree.get("env"))?;
    if environment.get("include_concrete").is_some() {
        return None;
    }
    let Value::List(specs) = &environment.get("specs")?.value else { return None };
    let spec = |node: &Node| match &node.value {
        Value::Scalar(scalar) => plain(&scalar.text),
        _ => None,
    };
    specs.iter().map(spec).collect()
}

/// `hdf5@1.14` of `hdf5@1.14 +mpi ^mpich`. None of what is no plain spec, or has a version that Spack may write in another way.
fn plain(spec: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let (name, rest) = spec.trim().split_at(spec.trim().find(|c| !is_name(c)).unwrap_or(spec.trim().len()));
    if name.is_empty() {
        return None;
    }
    let Some(version) = rest.trim_start().strip_prefix('@') else { return Some(name.to_owned()) };
    let is_version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '=');
    let (version, rest) = version.split_at(version.find(|c| !is_version(c)).unwrap_or(version.len()));
    // A list, a commit, or a range with spaces.
    if rest.starts_with([',', '/']) || version.ends_with(':') || version.contains("git.") {
        return Some(name.to_owned());
    }
    Some(format!("{name}@{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(yaml: &str) -> Option<Vec<String>> {
        plain_specs(&yaml::parse(yaml, Path::new("spack.yaml"), Dialect::Spack).unwrap())
            .map(|specs| specs.into_iter().collect())
    }

    #[test]
    fn plain_specs_are_compared_by_name_and_version() {
        let yaml = "spack:\n  specs: [zlib, 'hdf5@1.14 +mpi ^mpich@4', app@=2.0~x, py-tool@1.0:1.2 %gcc@12]\n";
        assert_eq!(specs(yaml).unwrap(), ["app@=2.0", "hdf5@1.14", "py-tool@1.0:1.2", "zlib"]);
    }

    #[test]
    fn nothing_is_concluded_from_what_spack_expands_or_writes_in_another_way() {
        for yaml in [
            "spack: { specs: [$mpis, zlib] }",
            "spack: { specs: [{ matrix: [[zlib], ['%gcc']] }] }",
            "spack: { specs: [zlib], include_concrete: [../other] }",
            "spack: { specs: [/abcdefg] }",
            "spack: {}",
        ] {
            assert_eq!(specs(yaml), None, "{yaml}");
        }
        assert_eq!(plain("app@1.2,1.4").unwrap(), "app");
        assert_eq!(plain("app@git.main=2.0").unwrap(), "app");
        assert_eq!(plain("app@3: +shared").unwrap(), "app");
    }
}
