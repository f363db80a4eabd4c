//! Edges of the graph, in the spelling of each format.

use serde::Deserialize;

use crate::types::{DagHash, PackageName};

/// An edge of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawEdge")]
pub struct Dependency {
    /// Its name, for messages.
    pub name: PackageName,
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

/// An edge as the file has it: with `type` in format 4 (Spack 0.18 to 0.20), which knows no virtuals, and with `parameters` in
/// formats 5 (0.21 to 0.23) and 6 (1.0 and later). The last two differ in nodes only: in 6 a compiler is an ordinary build
/// dependency that provides `c`, `cxx` or `fortran`.
#[derive(Deserialize)]
pub(super) struct RawEdge {
    name: PackageName,
    hash: DagHash,
    #[serde(rename = "type")]
    types: Option<Vec<String>>,
    parameters: Option<EdgeParameters>,
}

#[derive(Deserialize)]
struct EdgeParameters {
    deptypes: Vec<String>,
    #[serde(default)]
    virtuals: Vec<String>,
}

impl TryFrom<RawEdge> for Dependency {
    type Error = &'static str;

    fn try_from(edge: RawEdge) -> Result<Self, Self::Error> {
        let (names, virtuals) = match (edge.types, edge.parameters) {
            (None, Some(EdgeParameters { deptypes, virtuals })) => (deptypes, virtuals),
            (Some(types), None) => (types, Vec::new()),
            _ => return Err("a dependency has either `type` or `parameters`"),
        };
        // Types that larder does not know, and `test`, are needed by no install.
        let has = |wanted: &[&str]| names.iter().any(|name| wanted.contains(&name.as_str()));
        let types = DependencyTypes { build: has(&["build"]), link_or_run: has(&["link", "run"]) };
        Ok(Self { name: edge.name, hash: edge.hash, types, virtuals })
    }
}
