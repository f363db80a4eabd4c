//! Roots, and the groups that they belong to.

use serde::Deserialize;

use crate::types::DagHash;

/// The group of a root for which the lockfile names none (`DEFAULT_USER_SPEC_GROUP` to Spack): formats before 7 know no groups,
/// and in later ones an environment without groups has none either.
pub const DEFAULT_GROUP: &str = "default";

/// What the environment asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Root {
    /// The spec that answers it.
    pub hash: DagHash,
    /// The request as `spack.yaml` has it, such as `app@3: +shared`.
    #[serde(default, rename = "spec")]
    pub request: String,
    /// The group that `spack.yaml` puts it into, from format 7 (Spack 1.2) on.
    #[serde(default, rename = "group")]
    pub named_group: Option<String>,
}

impl Root {
    /// The group that it belongs to.
    pub fn group(&self) -> &str {
        self.named_group.as_deref().unwrap_or(DEFAULT_GROUP)
    }
}
