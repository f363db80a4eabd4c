//! What Spack's configuration consists of: scopes, each a folder or a file.

use std::path::{Path, PathBuf};

use super::error::{Result, SpackConfigError};
use crate::types::normalise;

/// The sections that larder needs.
pub(super) const SECTIONS: [&str; 4] = ["include", "mirrors", "config", "upstreams"];

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

/// What a scope consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A folder with one file per section.
    Folder,
    /// A file with all sections.
    File,
    /// `spack.yaml`: a file with all sections under `spack:`.
    Manifest,
}

/// One source of settings.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Spack's name for it. A scope pushed later under the same name takes the place of the earlier one.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) form: Form,
    /// Whether `include::` of an environment can't remove it: Spack would not run without its defaults.
    pub(super) permanent: bool,
}

impl Scope {
    /// The file that has a section.
    pub(super) fn file_of(&self, section: &str) -> PathBuf {
        match self.form {
            Form::Folder => self.path.join(format!("{section}.yaml")),
            Form::File | Form::Manifest => self.path.clone(),
        }
    }
}

/// A path from where everything else is found.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map(|path| normalise(&path))
        .map_err(|source| SpackConfigError::NowhereToStart { path: path.to_owned(), source })
}
