//! The Spack instance: where it is, and which scopes that generation of Spack reads.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::document::Kind;
use super::error::SpackConfigError;
use super::scopes::{Form, Scope, Stack};
use super::substitute::{Substitution, platform};
use crate::types::Variables;

/// How a Spack finds its scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Up to 0.23: fixed scopes, each with a folder for the platform; only an environment can include.
    Plain,
    /// 1.0: fixed scopes without platform folders; every scope can include.
    Including,
    /// From 1.1 on: `etc/spack/include.yaml` names the user's, the site's and the system's scope.
    Listed,
    /// No Spack found: the user's and the system's scope, read in the newest way.
    Unknown,
}

impl Generation {
    /// Whether `include:` in such a scope counts.
    pub(super) fn follows_includes_of(self, form: Form) -> bool {
        self != Self::Plain || form == Form::File(Kind::Manifest)
    }
}

/// A Spack on this machine.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) root: PathBuf,
    pub(super) generation: Generation,
    /// Such as `1.1`.
    pub(super) short_version: Option<String>,
}

impl Instance {
    /// The Spack that a job would call: the one of `SPACK_ROOT`, else the first `spack` on `PATH` that belongs to one.
    pub(super) fn find(variables: &Variables) -> Option<Self> {
        let set = variables.get("SPACK_ROOT").filter(|root| !root.is_empty()).map(PathBuf::from);
        let on_path = || {
            let folders: Vec<_> = std::env::split_paths(variables.get("PATH").unwrap_or_default()).collect();
            folders.into_iter().filter(|folder| folder.is_absolute()).find_map(|folder| {
                let program = fs::canonicalize(folder.join("spack")).ok()?;
                let bin = program.parent().filter(|bin| bin.ends_with("bin"))?;
                Self::at(bin.parent()?)
            })
        };
        set.and_then(|root| Self::at(&root)).or_else(on_path)
    }

    fn at(root: &Path) -> Option<Self> {
        let root = fs::canonicalize(root).ok()?;
        if !root.join("lib/spack").is_dir() {
            return None;
        }
        let version = version(&root);
        let generation = if root.join("etc/spack/include.yaml").is_file() {
            Generation::Listed
        } else if version.is_some_and(|(major, _)| major == 0) {
            Generation::Plain
        } else {
            Generation::Including
        };
        Some(Self { root, generation, short_version: version.map(|(major, minor)| format!("{major}.{minor}")) })
    }
}

/// Major and minor version, from the line `__version__ = "1.1.0"`.
fn version(root: &Path) -> Option<(u32, u32)> {
    const LIMIT: u64 = 1024 * 1024;
    let bytes = crate::fs::read_capped(&root.join("lib/spack/spack/__init__.py"), LIMIT).ok()??;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    let mut numbers = line.split('"').nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Put the scopes below the environment on the stack.
pub(super) fn push_scopes(stack: &mut Stack<'_>, instance: Option<&Instance>) -> Result<(), SpackConfigError> {
    let etc = instance.map(|instance| instance.root.join("etc/spack"));
    if let Some(etc) = &etc {
        push(stack, "defaults", &etc.join("defaults"))?;
    }
    if let (Some(etc), Generation::Listed) = (&etc, stack.generation) {
        return push(stack, "spack", etc);
    }
    let own = stack.substitution.variables.get("SPACK_DISABLE_LOCAL_CONFIG").is_none();
    if own && let Some(system) = local(stack.substitution, "SPACK_SYSTEM_CONFIG_PATH", "/etc/spack") {
        push(stack, "system", &system)?;
    }
    if let Some(etc) = &etc {
        push(stack, "site", etc)?;
    }
    if own && let Some(user) = local(stack.substitution, "SPACK_USER_CONFIG_PATH", "~/.spack") {
        push(stack, "user", &user)?;
    }
    Ok(())
}

fn push(stack: &mut Stack<'_>, name: &str, path: &Path) -> Result<(), SpackConfigError> {
    let scope = |name: String, path: PathBuf| Scope { permanent: name == "defaults", name, path, form: Form::Folder };
    stack.push(scope(name.to_owned(), path.to_owned()))?;
    if stack.generation == Generation::Plain {
        stack.push(scope(format!("{name}/{}", platform()), path.join(platform())))?;
    }
    Ok(())
}

/// A folder that a variable can move. `None` where it depends on a home folder that is not known.
fn local(substitution: &Substitution, variable: &str, otherwise: &str) -> Option<PathBuf> {
    let set = substitution.variables.get(variable).filter(|path| !path.is_empty());
    let path = PathBuf::from(substitution.expand_home(set.unwrap_or(otherwise)));
    if path.starts_with("~") { None } else { std::path::absolute(path).ok() }
}
