//! Formats 5 (Spack 0.21 to 0.23) and 6 (1.0 and later): an edge has parameters.
//!
//! The two differ in nodes only: in 6 a compiler is an ordinary build dependency that provides `c`, `cxx` or `fortran`.

use serde::Deserialize;

use super::model::Dependency;
use super::node::dependency_types;
use crate::types::{DagHash, PackageName};

#[derive(Deserialize)]
pub(super) struct Edge {
    name: PackageName,
    hash: DagHash,
    parameters: EdgeParameters,
}

#[derive(Deserialize)]
struct EdgeParameters {
    deptypes: Vec<String>,
    #[serde(default)]
    virtuals: Vec<String>,
}

impl From<Edge> for Dependency {
    fn from(edge: Edge) -> Self {
        let EdgeParameters { deptypes, virtuals } = edge.parameters;
        Self {
            name: edge.name,
            hash: edge.hash,
            types: dependency_types(deptypes.iter().map(String::as_str)),
            virtuals,
        }
    }
}
