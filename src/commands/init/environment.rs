//! An environment as `init` judges it: where it comes from, what a job will find of its lockfile, and which mirrors it has.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::git::{LockfileState, lockfile_states};
use super::mirrors::FoundMirror;
use crate::commands::error::few;
use crate::fs::read_capped;
use crate::job::JobFolder;
use crate::lockfile::Lockfile;
use crate::pipeline::Session;
use crate::pipeline::environments::folder_of;
use crate::spack_config::{self, SpackConfig, SpackConfigError};
use crate::yaml::{self, Dialect};

/// The largest file that is taken for an environment of another name. Real ones have a few kilobytes.
const MAX_MANIFEST: u64 = 1 << 20;

/// What makes a file an environment, and not just some configuration for one.
const OF_AN_ENVIRONMENT: [&str; 4] = ["specs", "definitions", "include_concrete", "view"];

/// An environment that the pipeline can install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEnvironment {
    /// Its folder, or its lockfile, as `larder.yaml` will name it.
    pub path: PathBuf,
    /// How a job comes to it.
    pub origin: Origin,
    /// What a job will find of its lockfile.
    pub lockfile: LockfileState,
    /// Why larder can't use a lockfile that jobs will find.
    pub lockfile_problem: Option<String>,
    /// Its mirrors.
    pub mirrors: EnvironmentMirrors,
}

/// How a job comes to an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is in the repository.
    Repository,
    /// It is in the repository in a file of another name, from which a job makes the folder.
    File(PathBuf),
    /// A script makes it.
    Script,
}

/// What Spack's configuration says of an environment's mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentMirrors {
    /// It names at least one.
    Named,
    /// It names none.
    None,
    /// A file that the configuration includes is not here, but it may be where the job runs.
    Unknown(String),
}

/// An environment that can't be used, and why: file, place and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its folder or file.
    pub path: PathBuf,
    /// Why, in one line.
    pub reason: String,
}

/// The environments at these places, and those that can't be used.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub environments: Vec<FoundEnvironment>,
    pub mirrors: Vec<FoundMirror>,
    pub skipped: Vec<Skipped>,
}

/// Look at the environments at these places. `given` are the mirrors of the command line: where there are some, they count for
/// all environments.
pub(super) fn survey(
    session: &Session<'_>,
    root: &Path,
    places: Vec<(PathBuf, Origin)>,
    given: &[FoundMirror],
) -> Result<Survey, SpackConfigError> {
    // What is wrong outside of the environments is wrong for all of them.
    discover(session, root, None)?;
    let lockfiles: Vec<_> = places.iter().map(|(path, _)| lockfile_of(path)).collect();
    let states = lockfile_states(root, &lockfiles);
    let mut survey = Survey { mirrors: given.to_vec(), ..Survey::default() };
    for (((path, origin), file), lockfile) in places.into_iter().zip(lockfiles).zip(states) {
        let is_read = origin == Origin::Repository && lockfile.is_used();
        let problem = is_read.then(|| Lockfile::read(&file).err()).flatten();
        let lockfile_problem = problem.map(|error| below(root, &in_one_line(&error)));
        let found = look(session, root, &path, &origin);
        let (found, mirrors) = match found {
            Ok(found) => found,
            Err(reason) => {
                let path = if let Origin::File(file) = origin { file } else { path };
                let template = if is_template(&path) { " (it looks like a template)" } else { "" };
                let reason = below(root, &reason) + template;
                survey.skipped.push(Skipped { path, reason });
                continue;
            }
        };
        if given.is_empty() {
            for mirror in found {
                if !survey.mirrors.contains(&mirror) {
                    survey.mirrors.push(mirror);
                }
            }
        }
        let mirrors = if given.is_empty() { mirrors } else { EnvironmentMirrors::Named };
        survey.environments.push(FoundEnvironment { path, origin, lockfile, lockfile_problem, mirrors });
    }
    Ok(survey)
}

fn discover(session: &Session<'_>, root: &Path, folder: Option<&Path>) -> Result<SpackConfig, SpackConfigError> {
    spack_config::discover(folder, &session.variables, session.home.as_deref(), JobFolder::of(root).root())
}

/// The mirrors of an environment; the reason, where it can't be used.
fn look(
    session: &Session<'_>,
    root: &Path,
    path: &Path,
    origin: &Origin,
) -> Result<(Vec<FoundMirror>, EnvironmentMirrors), String> {
    let (found, renamed) = match origin {
        Origin::Script => (discover(session, root, None), None),
        Origin::Repository => (discover(session, root, folder_of(path)), None),
        Origin::File(file) => {
            // Spack reads it as the `spack.yaml` of a folder.
            let folder = folder_with(file)?;
            let copy = folder.path().join("spack.yaml").display().to_string();
            (discover(session, root, Some(folder.path())), Some((copy, file.display().to_string())))
        }
    };
    match found {
        Ok(config) => {
            let mirrors: Vec<_> = config.mirrors.iter().map(FoundMirror::from_spack).collect();
            let kind = if mirrors.is_empty() { EnvironmentMirrors::None } else { EnvironmentMirrors::Named };
            Ok((mirrors, kind))
        }
        // Outside of the repository: a site's own folder, which the machine of the job may have.
        Err(SpackConfigError::MissingInclude { path, .. }) if !path.starts_with(root) => {
            Ok((Vec::new(), EnvironmentMirrors::Unknown(path.display().to_string())))
        }
        Err(error) => {
            let reason = in_one_line(&error);
            Err(renamed.map_or(reason.clone(), |(copy, file)| reason.replace(&copy, &file)))
        }
    }
}

/// A folder whose `spack.yaml` is a copy of this file, where that is an environment: `spack:` alone can be the name of anything.
fn folder_with(file: &Path) -> Result<TempDir, String> {
    let bytes = read_capped(file, MAX_MANIFEST).map_err(|error| error.to_string())?.unwrap_or_default();
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    let tree =
        yaml::parse(text, file, Dialect::Spack).map_err(|problem| in_one_line(&SpackConfigError::from(problem)))?;
    let environment = tree.get("spack");
    if !environment.is_some_and(|tree| OF_AN_ENVIRONMENT.iter().any(|key| tree.get(key).is_some())) {
        let keys = few(&OF_AN_ENVIRONMENT.map(str::to_owned));
        return Err(format!("`{}` has none of {keys} below `spack:`", file.display()));
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    std::fs::write(folder.path().join("spack.yaml"), text).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// Whether nothing can be downloaded: no environment has a mirror, or may have one where the job runs.
pub(super) fn has_no_mirror(environments: &[FoundEnvironment], mirrors: &[FoundMirror]) -> bool {
    mirrors.is_empty() && environments.iter().all(|environment| environment.mirrors == EnvironmentMirrors::None)
}

/// Where an environment's lockfile is, which may be what names it.
pub(super) fn lockfile_of(path: &Path) -> PathBuf {
    if path.ends_with("spack.lock") || path.is_file() { path.to_owned() } else { path.join("spack.lock") }
}

/// The folder that a job makes from a file: in a place that git ignores, with a name that tells the file's.
pub(super) fn folder_for(root: &Path, file: &Path) -> PathBuf {
    let below = file.strip_prefix(root).unwrap_or(file).with_extension("");
    let name: String =
        below.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    root.join(".larder/environments").join(name.trim_matches('-'))
}

/// Whether a program makes the environment from this one: Jinja's marks are no YAML.
fn is_template(path: &Path) -> bool {
    let file = if path.is_dir() { path.join("spack.yaml") } else { path.to_owned() };
    let text = read_capped(&file, MAX_MANIFEST).ok().flatten().unwrap_or_default();
    text.windows(2).any(|mark| mark == b"{%" || mark == b"{{")
}

/// A message with paths as they are seen from the repository.
fn below(root: &Path, message: &str) -> String {
    message.replace(&format!("{}/", root.display()), "")
}

/// An error with its causes.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_made_from_a_file_has_a_name_of_its_own_that_tells_whence_it_came() {
        let folder = |file: &str| folder_for(Path::new("/p"), &Path::new("/p").join(file));
        assert_eq!(folder(".ci/spack-cuda.yaml"), Path::new("/p/.larder/environments/ci-spack-cuda"));
        assert_ne!(folder("a/spack.yaml"), folder("b/spack.yaml"));
    }
}
