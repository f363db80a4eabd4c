//! What a blob is asked for.

use serde::{Deserialize, Serialize};

use super::{DagHash, PackageName, VersionText};

/// A request that a blob answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: VersionText,
    /// Its DAG hash.
    pub hash: DagHash,
    /// The mirror's URL, without credentials.
    pub mirror: String,
    /// Which file of the spec it is.
    pub role: BlobRole,
}

/// What a blob is to its spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobRole {
    /// The archive of the installed package.
    Binary,
    /// The spec's own JSON, which layout v3 keeps in a blob.
    Spec,
}
