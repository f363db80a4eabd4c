//! Format 4 (Spack 0.18 to 0.20): an edge lists its types under `type` and knows no virtuals.

use serde::Deserialize;

use super::model::Dependency;
use super::node::dependency_types;
use crate::types::{DagHash, PackageName};

#[derive(Deserialize)]
pub(super) struct Edge {
    name: PackageName,
    hash: DagHash,
    #[serde(rename = "type")]
    types: Vec<String>,
}

impl From<Edge> for Dependency {
    fn from(edge: Edge) -> Self {
        let types = dependency_types(edge.types.iter().map(String::as_str));
        Self { name: edge.name, hash: edge.hash, types, virtuals: Vec::new() }
    }
}
