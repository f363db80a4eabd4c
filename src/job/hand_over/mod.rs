//! Handing Spack the job mirror without a flag on its command line, and undoing what was changed for that.
//!
//! | way | what is changed | what undoes it |
//! |---|---|---|
//! | `flag` | nothing: the caller gives `-C .larder/job/spack` | – |
//! | `path` | nothing outside of the job folder: see `programs` | – |
//! | `environment` | the `spack.yaml` of each environment | [`undo`] |
//! | `instance` | `etc/spack/mirrors.yaml` of the Spack instance | [`undo`] |
//!
//! Which outranks which, as tried with Spack 1.1.0 and 0.23.1: docs/hand-over.md.

mod edit;
mod error;
mod file;
mod programs;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::edit::Section;
pub use self::error::HandOverError;
use self::file::{Change, Undone};
use self::programs::Programs;
use super::scope::mirrors_in;
use super::{JobError, JobFolder};
use crate::config::HandOver;
use crate::types::Variables;

/// The note of what has to be undone.
const FILE_NAME: &str = "handed-over.json";

/// A note longer than this is none of larder's.
const LIMIT: u64 = 64 << 20;

/// How Spack was handed the job mirror.
#[derive(Clone, Debug)]
pub struct HandedOver {
    programs: Option<Programs>,
    /// The files that name the job mirror until they are undone.
    pub files: Vec<PathBuf>,
}

/// What has to be undone.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    version: u32,
    changes: Vec<Change>,
}

impl HandedOver {
    /// The file to source, where there is one.
    pub fn to_source(&self) -> Option<PathBuf> {
        self.programs.as_ref().map(Programs::environment)
    }

    /// The folder to put on the PATH, where there is one.
    pub fn bin(&self) -> Option<PathBuf> {
        self.programs.as_ref().map(Programs::bin)
    }

    /// What a program that larder runs has to have in its environment for every Spack below it to see the job mirror.
    pub fn variables(&self, variables: &Variables) -> Vec<(String, String)> {
        self.programs.as_ref().map(|programs| programs.variables(variables)).unwrap_or_default()
    }
}

/// Hand Spack the mirrors of the job folder's scope, in these ways. Environments are named as in the configuration; `spack` is the
/// program, where one was found. What an earlier call changed is undone first; where this one fails, it has changed nothing.
pub(crate) fn apply(
    folder: &JobFolder,
    ways: &[HandOver],
    environments: &[PathBuf],
    spack: Option<&Path>,
) -> Result<HandedOver, HandOverError> {
    undo(folder)?;
    let mirrors = mirrors_in(folder)?;
    let mut handed_over = HandedOver { programs: None, files: Vec::new() };
    if ways.contains(&HandOver::Path) {
        let programs = Programs::of(folder);
        programs.make(folder, &mirrors, spack)?;
        handed_over.programs = Some(programs);
    }
    let mut targets: Vec<(PathBuf, Section)> = Vec::new();
    if ways.contains(&HandOver::Environment) {
        for environment in environments {
            targets.push((file_of(environment)?, Section::Environment));
        }
    }
    if ways.contains(&HandOver::Instance) {
        let root = spack.and_then(instance_of).ok_or(HandOverError::NoInstance)?;
        targets.push((root.join("etc/spack/mirrors.yaml"), Section::Scope));
    }
    let mut note = Note { version: 1, changes: Vec::new() };
    let changed = targets.iter().try_for_each(|(path, section)| {
        let _lock = file::lock(path);
        let (change, edited) = Change::planned(path, *section, &mirrors)?;
        if note.changes.iter().any(|earlier| earlier.path == change.path) {
            return Ok(());
        }
        note.changes.push(change.clone());
        note.write(folder)?;
        change.make(&edited)?;
        handed_over.files.push(change.path);
        Ok(())
    });
    if let Err(error) = changed {
        undo(folder)?;
        return Err(error);
    }
    Ok(handed_over)
}

/// Undo what is noted in the job folder, and say what is worth to be told. Called where a job ends, and where one
/// begins, in case that an earlier one was killed.
pub(crate) fn undo(folder: &JobFolder) -> Result<Vec<String>, HandOverError> {
    folder.refuse_links()?;
    let Some(note) = Note::read(folder)? else { return Ok(Vec::new()) };
    let (mut remarks, mut left, mut failed) = (Vec::new(), Note { version: 1, changes: Vec::new() }, None);
    for change in note.changes {
        match change.undo() {
            Ok(Undone::TakenOut) => {
                let path = change.path.display();
                remarks.push(format!("`{path}` was changed during the job: only the job mirror was taken out of it"));
            }
            Ok(Undone::Restored | Undone::Nothing) => {}
            Err(error) => {
                failed.get_or_insert(error);
                left.changes.push(change);
            }
        }
    }
    if let Some(error) = failed {
        left.write(folder)?;
        return Err(error);
    }
    crate::fs::remove(&folder.root().join(FILE_NAME)).map_err(folder.failed("remove a file"))?;
    Ok(remarks)
}

impl Note {
    fn write(&self, folder: &JobFolder) -> Result<(), JobError> {
        folder.write(FILE_NAME, &serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(folder: &JobFolder) -> Result<Option<Self>, JobError> {
        let path = folder.root().join(FILE_NAME);
        let Some(text) = crate::fs::read_capped(&path, LIMIT).map_err(folder.failed("read what is to be undone"))?
        else {
            return Ok(None);
        };
        let damaged = |reason: String| JobError::Note { path: path.clone(), reason };
        let note: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if note.version != 1 {
            return Err(damaged(format!("it has format {}", note.version)));
        }
        let foreign = note.changes.iter().flat_map(|change| &change.mirrors).find(|mirror| !mirror.is_of(folder));
        match foreign {
            Some(mirror) => Err(damaged(format!("mirror `{}` is not in the job folder", mirror.name))),
            None => Ok(Some(note)),
        }
    }
}

/// The file of an environment that is named by its folder or its lockfile.
fn file_of(environment: &Path) -> Result<PathBuf, HandOverError> {
    let folder = if environment.is_dir() { Some(environment) } else { environment.parent() };
    let path = folder.unwrap_or(environment).join("spack.yaml");
    if path.is_file() { Ok(path) } else { Err(HandOverError::NoEnvironment { path }) }
}

/// The Spack instance that a program belongs to.
fn instance_of(program: &Path) -> Option<PathBuf> {
    let program = fs_err::canonicalize(program).ok()?;
    let root = program.parent().filter(|bin| bin.ends_with("bin"))?.parent()?;
    root.join("lib/spack/spack").is_dir().then(|| root.to_owned())
}
