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

/// A question that an index answers: which specs has this mirror?
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IndexRequest {
    /// The mirror's URL, without credentials.
    pub mirror: String,
    /// The small document that names the index, below the mirror; in a registry, its tag.
    pub document: String,
    /// Whether the mirror has another one by now.
    pub standing: IndexStanding,
}

/// Whether an index is the one that its mirror had when it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexStanding {
    /// It is.
    #[default]
    Newest,
    /// A later job was told of another one. No job needs it any more.
    Superseded,
}

/// What a job needs a blob for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A spec.
    Spec(Request),
    /// Concretizing.
    Index(IndexRequest),
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
