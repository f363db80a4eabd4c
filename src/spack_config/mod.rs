//! Spack's own configuration: which binary mirrors it would use for an environment, and where it installs.
//!
//! larder has to ask the mirrors that Spack would ask, in Spack's order, without starting Spack: that takes a second or more,
//! and the job may not have it yet. So the rules of Spack's `config.py` are followed here, for Spack 0.23 and 1.x: scopes and
//! includes (`stack`, `include`), merging (`merge`), variables (`substitute`). `tests/spack_config.rs` compares the
//! outcome with a real Spack.
//!
//! The files are the user's, and the environment's come with the project: they are parsed with bounds on size, depth and
//! number, nothing is fetched, and a problem names file and line.
//!
//! What larder does not follow: Spack's command line (`-C`, `-c`), scopes of Python packages (entry points), includes by URL
//! or from git, and conditions beyond the comparisons that `condition` knows. The last three leave a note.

mod condition;
mod document;
mod error;
mod include;
mod inputs;
mod install_trees;
mod instance;
mod merge;
mod mirrors;
mod outline;
mod scope;
mod stack;
mod substitute;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::mem;
use std::path::{Path, PathBuf};

pub use error::SpackConfigError;
pub use inputs::inputs;
pub use mirrors::SpackMirror;

use self::error::Result;
use self::include::Includer;
use self::instance::Instance;
use self::scope::{Form, Generation, Scope, absolute};
use self::stack::Stack;
use self::substitute::Substitution;
use crate::types::Variables;
use crate::yaml::{self, Node};

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
) -> Result<SpackConfig> {
    let environment = environment.map(absolute).transpose()?;
    let job_folder = absolute(job_folder)?;
    let instance = Instance::find(vars);
    let generation = instance.as_ref().map_or(Generation::Unknown, |instance| instance.generation);
    let (root, short_version) = instance.map(|instance| (instance.root, instance.short_version)).unzip();
    let (home, short_version) = (home.map(Path::to_owned), short_version.flatten());
    let outside = Substitution { variables: vars.clone(), home, spack: root, short_version, environment: None };
    let substitution = Substitution { environment: environment.clone(), ..outside.clone() };
    let includer = Includer { generation, substitution: outside, job_folder: &job_folder, notes: Vec::new() };
    let mut stack = Stack::new(includer);
    for scope in instance::scopes(generation, &substitution) {
        stack.push(scope, 0)?;
    }
    if let Some(folder) = environment {
        let name = format!("env:{}", folder.display());
        let path = folder.join("spack.yaml");
        stack.push(Scope { name, path, form: Form::Manifest, permanent: false }, 0)?;
    }

    let of_includes = stack.includer.notes.len();
    let mirrors = merged(&mut stack, "mirrors", |section, notes| {
        mirrors::binary_mirrors(section, &substitution, &job_folder, notes)
    })?;
    let own = merged(&mut stack, "config", |section, notes| install_trees::own(section, &substitution, notes))?;
    let upstream =
        merged(&mut stack, "upstreams", |section, notes| install_trees::upstream(section, &substitution, notes))?;
    let install_trees = own.into_iter().chain(upstream).collect();
    let mut notes = mem::take(&mut stack.includer.notes);
    // Where some scope names mirrors, a site's own could only add to them. Without any, this is likely why.
    if substitution.spack.is_none() && mirrors.is_empty() {
        let note = "no Spack was found through `SPACK_ROOT` or `PATH`: the scopes in its own folder are not known";
        notes.insert(of_includes, note.into());
    }
    let mut told = HashSet::new();
    notes.retain(|note| told.insert(note.clone()));
    Ok(SpackConfig { mirrors, install_trees, files: stack.files(), notes })
}

/// What one section says, merged over all scopes. Each file's part is read on its own as well: one that Spack would refuse is
/// refused even where another file hides it.
fn merged<T>(
    stack: &mut Stack<'_>,
    section: &str,
    read: impl Fn(&Node, &mut Vec<String>) -> yaml::Result<T>,
) -> Result<T> {
    let mut merged = Node::empty();
    for scope in stack.scopes.clone() {
        let Some(mut above) = stack.section(&scope, section)? else { continue };
        if section == "config" {
            install_trees::modernise(&mut above.value);
        }
        read(&above.value, &mut Vec::new())?;
        if above.replaces {
            merged = above.value;
        } else if !above.value.is_null() {
            merge::merge(merged, &mut above.value);
            merged = above.value;
        }
    }
    Ok(read(&merged, &mut stack.includer.notes)?)
}
