//! The Spack instance: where it is, and which scopes that generation of Spack reads.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::scope::{Form, Generation, Scope};
use super::substitute::{Substitution, platform};
use crate::types::Variables;

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
        variables.set("SPACK_ROOT").and_then(|root| Self::at(Path::new(root))).or_else(|| {
            let mut folders = std::env::split_paths(variables.get("PATH").unwrap_or_default());
            folders.find_map(|folder| {
                let program = fs::canonicalize(folder.join("spack")).ok().filter(|_| folder.is_absolute())?;
                let bin = program.parent().filter(|bin| bin.ends_with("bin"))?;
                Self::at(bin.parent()?)
            })
        })
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

/// The scopes below the environment, the lowest first, without what they include.
pub(super) fn scopes(generation: Generation, substitution: &Substitution) -> Vec<Scope> {
    let etc = substitution.spack.as_ref().map(|root| root.join("etc/spack"));
    let own = substitution.variables.get("SPACK_DISABLE_LOCAL_CONFIG").is_none();
    let local = |variable, otherwise| if own { local(substitution, variable, otherwise) } else { None };
    let defaults = ("defaults", etc.as_ref().map(|etc| etc.join("defaults")));
    let places = if generation == Generation::Listed {
        vec![defaults, ("spack", etc)]
    } else {
        vec![
            defaults,
            ("system", local("SPACK_SYSTEM_CONFIG_PATH", "/etc/spack")),
            ("site", etc),
            ("user", local("SPACK_USER_CONFIG_PATH", "~/.spack")),
        ]
    };
    let mut scopes = Vec::new();
    for (name, path) in places.into_iter().filter_map(|(name, path)| Some((name, path?))) {
        let scope = |name, path| Scope { permanent: name == "defaults", name, path, form: Form::Folder };
        scopes.push(scope(name.to_owned(), path.clone()));
        if generation == Generation::Plain {
            scopes.push(scope(format!("{name}/{}", platform()), path.join(platform())));
        }
    }
    scopes
}

/// A folder that a variable can move. `None` where it depends on a home folder that is not known.
fn local(substitution: &Substitution, variable: &str, otherwise: &str) -> Option<PathBuf> {
    let path = PathBuf::from(substitution.expand_home(substitution.variables.set(variable).unwrap_or(otherwise)));
    if path.starts_with("~") { None } else { std::path::absolute(path).ok() }
}
