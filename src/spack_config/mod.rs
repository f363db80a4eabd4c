//! Spack's own configuration: which binary mirrors it would use for an environment, and where it installs.
//!
//! larder has to ask the mirrors that Spack would ask, in Spack's order, without starting Spack: that takes a second or more,
//! and the job may not have it yet. So the rules of Spack's `config.py` are followed here, for Spack 0.23 and 1.x: scopes and
//! includes (`scopes`, `include`), merging (`merge`), variables (`substitute`). `tests/spack_config.rs` compares the
//! outcome with a real Spack.
//!
//! The files are the user's, and the environment's come with the project: they are parsed with bounds on size, depth and
//! number, nothing is fetched, and a problem names file and line.
//!
//! What larder does not follow: Spack's command line (`-C`, `-c`), scopes of Python packages (entry points), includes by URL
//! or from git, and conditions outside the small part of Python that `condition` knows. The last three leave a note.

mod condition;
mod document;
mod error;
mod include;
mod instance;
mod merge;
mod mirrors;
mod scopes;
mod store;
mod substitute;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use error::SpackConfigError;
pub use mirrors::SpackMirror;

use self::document::{Kind, Map, Node};
use self::instance::{Generation, Instance};
use self::scopes::{Form, Scope, Stack};
use self::substitute::Substitution;
use crate::fs::normalise;
use crate::types::Variables;

/// What Spack's configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpackConfig {
    /// The mirrors that Spack fetches binaries from, in its order.
    pub mirrors: Vec<SpackMirror>,
    /// The install trees that Spack looks into: its own first, then those of `upstreams:`. Empty where nothing names one.
    pub install_trees: Vec<PathBuf>,
    /// The files that were read, the most important first.
    pub files: Vec<PathBuf>,
    /// What is worth telling, one sentence each.
    pub notes: Vec<String>,
}

/// Read Spack's configuration as it stands for an environment.
///
/// `environment` is the folder with `spack.yaml`; without it, the scopes below it count alone. Whatever lies below
/// `job_folder`, a mirror or a scope, is larder's own work and is left out.
pub fn discover(
    environment: Option<&Path>,
    vars: &Variables,
    home: Option<&Path>,
    job_folder: &Path,
) -> Result<SpackConfig, SpackConfigError> {
    let environment = environment.map(absolute).transpose()?;
    let job_folder = absolute(job_folder)?;
    let instance = Instance::find(vars);
    let substitution = Substitution {
        variables: vars.clone(),
        home: home.map(Path::to_owned),
        spack: instance.as_ref().map(|instance| instance.root.clone()),
        short_version: instance.as_ref().and_then(|instance| instance.short_version.clone()),
        environment: environment.clone(),
    };
    let generation = instance.as_ref().map_or(Generation::Unknown, |instance| instance.generation);
    let mut stack = Stack::new(generation, &substitution, &job_folder);
    instance::push_scopes(&mut stack, instance.as_ref())?;
    if let Some(folder) = environment {
        let path = folder.join("spack.yaml");
        let name = format!("env:{}", folder.display());
        stack.push(Scope { name, path, form: Form::File(Kind::Manifest), permanent: false })?;
    }

    let (mirrors, mirror_notes) = mirrors::binary_mirrors(&merged(&mut stack, "mirrors")?, &substitution, &job_folder);
    // Where some scope names mirrors, a site's own could only add to them. Without any, this is likely why.
    if instance.is_none() && mirrors.is_empty() {
        stack.note(
            "no Spack was found through `SPACK_ROOT` or `PATH`: the scopes in its own folder are not known".to_owned(),
        );
    }
    let (config, upstreams) = (merged(&mut stack, "config")?, merged(&mut stack, "upstreams")?);
    let (install_trees, tree_notes) = store::install_trees(&config, &upstreams, &substitution);
    for note in mirror_notes.into_iter().chain(tree_notes) {
        stack.note(note);
    }
    Ok(SpackConfig { mirrors, install_trees, files: stack.files(), notes: stack.notes })
}

/// One section, merged over all scopes.
fn merged(stack: &mut Stack<'_>, section: &str) -> Result<Node, SpackConfigError> {
    let mut node = Node::Map(Map::default());
    for scope in stack.scopes().to_vec() {
        let Some(mut entry) = stack.section(&scope, section)? else { continue };
        if section == "config" {
            store::modernise(&mut entry.value);
        }
        if entry.replaces {
            node = entry.value;
        } else if entry.value != Node::Null {
            node = merge::merge(node, entry.value);
        }
    }
    Ok(node)
}

fn absolute(path: &Path) -> Result<PathBuf, SpackConfigError> {
    std::path::absolute(path)
        .map(|path| normalise(&path))
        .map_err(|source| SpackConfigError::NowhereToStart { path: path.to_owned(), source })
}
