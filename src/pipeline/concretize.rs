//! Having Spack make the lockfiles that are missing, before anything is prepared.

use std::path::{Path, PathBuf};

use super::environments::{folder_of, shown};
use super::error::RunError;
use super::freshness::{Freshness, Notes};
use super::index;
use super::real_spack::real_spack;
use super::session::Session;
use crate::config::Concretize;
use crate::job::{JobFolder, hand_over};
use crate::spack::{self, Concretization, Renewal, SpackError};

/// When to have Spack concretize, and which one.
#[derive(Clone, Debug)]
pub struct ConcretizeOptions {
    /// When.
    pub when: Concretize,
    /// Spack, where it is not the one on the PATH.
    pub spack: Option<PathBuf>,
}

/// One environment that Spack is to concretize.
struct Due<'a> {
    /// Among the configured ones.
    position: usize,
    environment: &'a Path,
    renewal: Renewal,
    why: String,
}

/// Have Spack concretize the environments that are due, one after the other. What it says is seen at once.
pub(crate) async fn concretize(session: &Session<'_>, options: &ConcretizeOptions) -> Result<(), RunError> {
    let job = JobFolder::of(&session.config.root);
    if job.root().is_dir() {
        // A `spack.yaml` that names the mirror of an earlier job, which was killed, is not what it was concretized from.
        let _lock = job.enter(|| session.inform("waiting for another larder in this project folder"))?;
        hand_over::undo(&job)?.iter().for_each(|remark| session.warn(remark));
    }
    let mut notes = Notes::read(&job);
    let due = due(session, options.when, &notes);
    if due.is_empty() {
        return Ok(());
    }
    let program = real_spack(&job, &session.variables, options.spack.as_deref()).map_err(RunError::Spack)?;
    let scopes = index::provide(session).await?.scopes;
    for Due { position, environment, renewal, why } in due {
        session.inform(&format!("concretizing `{}`: {why}", shown(session, environment)));
        let concretization = Concretization {
            program: &program,
            scope: scopes.get(position).map(|scope| scope.scope.as_path()),
            settings: scopes.get(position).map_or(&[], |scope| &scope.settings),
            environment,
            renewal,
        };
        match spack::concretize(&concretization, &session.interrupt) {
            Err(SpackError::Interrupted) => session.stop_if_asked()?,
            result => result.map_err(RunError::Spack)?,
        }
        notes.add(session, environment);
        notes.write(&job)?;
    }
    Ok(())
}

/// The environments that are due. One without `spack.yaml` is left to those who look for its lockfile.
fn due<'a>(session: &'a Session<'_>, when: Concretize, notes: &Notes) -> Vec<Due<'a>> {
    let name = |file: &Path| shown(session, file);
    let is_due = |(position, environment): (usize, &'a Path)| {
        let freshness = notes.judge(session, environment);
        let (renewal, why) = match (when, freshness) {
            (Concretize::Never, _) | (Concretize::Missing, Freshness::UpToDate) => return None,
            (_, Freshness::Missing) => (Renewal::NewRoots, "it has no lockfile yet".to_owned()),
            (Concretize::Always, _) => (Renewal::All, "as in every run".to_owned()),
            (_, Freshness::Changed(file)) => {
                (Renewal::All, format!("`{}` has changed since its lockfile was made", name(&file)))
            }
            (_, Freshness::OtherRoots(root)) => {
                (Renewal::NewRoots, format!("`{root}` is only in one of `spack.yaml` and its lockfile"))
            }
            (_, Freshness::Older(file)) => (Renewal::NewRoots, format!("`{}` is newer than its lockfile", name(&file))),
        };
        Some(Due { position, environment, renewal, why })
    };
    let folders = session.config.environments.iter().enumerate().filter_map(|(at, path)| Some((at, folder_of(path)?)));
    folders.filter(|(_, folder)| folder.join("spack.yaml").is_file()).filter_map(is_due).collect()
}
