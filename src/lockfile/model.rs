//! What a lockfile says, whatever its format: specs, and how they depend on each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::dependency::Dependency;
use super::format::Format;
use super::root::Root;
use crate::types::{DagHash, SpecId};

/// A lockfile: parsed, complete, without cycles.
#[derive(Clone, Debug)]
pub struct Lockfile {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) roots: Vec<Root>,
    pub(super) specs: BTreeMap<DagHash, ConcreteSpec>,
}

/// One node of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcreteSpec {
    /// Its identity.
    pub id: SpecId,
    /// Where its installation comes from.
    pub origin: Origin,
    /// For a spliced spec, the spec whose binary Spack installs and relinks.
    pub build_spec: Option<DagHash>,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
}

/// Where the installation of a spec comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A mirror, or a build from released source.
    Package,
    /// A development build (`spack develop`): built from a folder of the user, never on a mirror.
    Development,
    /// Installed outside of Spack, which only points to it.
    External,
}

impl Lockfile {
    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format that it is written in.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The roots, of included environments too.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// All specs, in the order of their hashes.
    pub fn specs(&self) -> impl Iterator<Item = &ConcreteSpec> {
        self.specs.values()
    }

    /// The spec with this hash.
    pub fn spec(&self, hash: DagHash) -> Option<&ConcreteSpec> {
        self.specs.get(&hash)
    }
}

impl ConcreteSpec {
    /// The hash under which mirrors keep this spec's binary: its own, or for a spliced spec that of its build spec.
    pub fn binary_hash(&self) -> DagHash {
        self.build_spec.unwrap_or(self.id.hash)
    }
}
