//! `spack.lock`: which concrete specs an environment consists of, and how they depend on each other.
//!
//! Spack wrote three formats that are in use: 4 (Spack 0.18 to 0.20), 5 (0.21 to 0.23) and 6 (1.0 and later). One module
//! reads each, and all end in the same [`Lockfile`], which is complete (no edge leads nowhere) and has no cycles: the rest
//! of the program can walk it without asking. Included environments (`include_concrete`) are merged in; their roots are
//! needed like one's own.

mod error;
mod format4;
mod format5;
mod graph;
mod node;
mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use error::LockfileError;

use crate::types::{DagHash, SpecId};

/// The newest format that larder understands.
pub const NEWEST_FORMAT: u32 = 6;

/// A lockfile: parsed, complete, without cycles.
#[derive(Clone, Debug)]
pub struct Lockfile {
    path: PathBuf,
    roots: Vec<Root>,
    specs: BTreeMap<DagHash, ConcreteSpec>,
}

/// What the environment asks for.
#[derive(Clone, Debug)]
pub struct Root {
    /// The spec that answers it.
    pub hash: DagHash,
    /// The request as `spack.yaml` has it, such as `app@3: +shared`.
    pub request: String,
}

/// One node of the graph.
#[derive(Clone, Debug)]
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
    /// Installed by somebody else; Spack only points to it.
    External,
}

/// An edge of the graph.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The spec depended on.
    pub hash: DagHash,
    /// What for.
    pub types: DependencyTypes,
    /// The virtual packages it provides on this edge, such as `c` or `mpi`.
    pub virtuals: Vec<String>,
}

/// What a dependency is for. Test dependencies are not kept: `spack install` asks for them only with `--test`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DependencyTypes {
    /// Needed to build, not to use.
    pub build: bool,
    /// Needed to use: linked or run.
    pub link_or_run: bool,
}

impl Lockfile {
    /// Read and check a lockfile.
    pub fn read(path: &Path) -> Result<Self, LockfileError> {
        read::read(path)
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
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
