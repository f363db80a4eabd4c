//! What this job built from source: what had to be built, is installed by now, and did not come from a binary.

use std::collections::HashMap;
use std::path::PathBuf;

use super::options::CollectOptions;
use crate::commands::error::CommandError;
use crate::install_tree;
use crate::job::{JobFolder, State};
use crate::lockfile::{ConcreteSpec, Origin};
use crate::pipeline::environments::folder_of;
use crate::pipeline::{RunError, Session};
use crate::plan::Graph;
use crate::spack_config;
use crate::types::DagHash;

/// The specs that this job built.
pub(super) fn built<'a>(
    session: &Session<'_>,
    options: &CollectOptions,
    graph: &Graph<'a>,
    job: &JobFolder,
) -> Result<Vec<&'a ConcreteSpec>, CommandError> {
    let candidates = candidates(graph, State::read(job)?.as_ref());
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let mut installed: HashMap<DagHash, Option<PathBuf>> = HashMap::new();
    let mut found_one = false;
    for tree in install_trees(session, options)? {
        match install_tree::installations(&tree)? {
            Some(found) => {
                found_one = true;
                installed.extend(found);
            }
            None if options.install_trees.contains(&tree) => {
                return Err(RunError::NoInstallTree { path: tree }.into());
            }
            None => {}
        }
    }
    if !found_one {
        return Err(CommandError::NothingInstalled);
    }
    let is_built = |spec: &&ConcreteSpec| match installed.get(&spec.id.hash) {
        Some(Some(prefix)) => !install_tree::is_from_binary(prefix),
        // Without a folder there is nothing to push.
        Some(None) | None => false,
    };
    Ok(candidates.into_iter().filter(is_built).collect())
}

/// What this job may have built. Where `prepare` ran and there was a lockfile to read, it knows; else everything that can be built.
fn candidates<'a>(graph: &Graph<'a>, state: Option<&State>) -> Vec<&'a ConcreteSpec> {
    // A spliced spec is a relinked binary; what is built is its build spec.
    let can_be_built = |spec: &&ConcreteSpec| spec.origin == Origin::Package && spec.build_spec.is_none();
    match state.filter(|state| state.without_lockfile.is_empty()) {
        Some(state) => state.to_build.iter().filter_map(|hash| graph.spec(*hash)).filter(can_be_built).collect(),
        None => graph.specs().filter(can_be_built).collect(),
    }
}

/// Those on the command line, or those of Spack's configuration.
fn install_trees(session: &Session<'_>, options: &CollectOptions) -> Result<Vec<PathBuf>, CommandError> {
    if !options.install_trees.is_empty() {
        return Ok(options.install_trees.clone());
    }
    let job = JobFolder::of(&session.config.root);
    let mut trees = Vec::new();
    for path in &session.config.environments {
        let folder = folder_of(path);
        let spack = spack_config::discover(folder, &session.variables, session.home.as_deref(), job.root())?;
        trees.extend(spack.install_trees);
    }
    trees.sort();
    trees.dedup();
    Ok(trees)
}
