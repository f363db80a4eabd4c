//! The entries of `mirrors:` that collect what a pipeline built: a folder that GitLab caches for one branch, and a registry or a
//! bucket that outlives the pipeline.
//!
//! The folder is read as a mirror and written as a cache, so it follows the rules of both: a name among the mirrors, and a place
//! that overlaps with nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use super::keep::Keep;
use super::push_rule::PushRule;
use crate::types::{Mirror, Signatures};

/// A folder that collects what a pipeline built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltEntry {
    /// Its name; no mirror and no cache has it.
    pub name: String,
    /// Its folder, absolute, inside the project. It overlaps with no cache.
    pub path: PathBuf,
    /// The key that Spack signs with; without one, it pushes unsigned.
    pub signing_key: Option<String>,
    /// Whether metadata without a signature is used.
    pub signatures: Signatures,
    /// What stays in it after a job.
    pub keep: Keep,
    /// Whether commands that look after caches look after it, too.
    pub upkeep: Upkeep,
}

/// A registry or a bucket that collects what pipelines built, and outlives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltMirrorEntry {
    /// Where it is. It is asked after all other mirrors.
    pub mirror: Arc<Mirror>,
    /// Which jobs push.
    pub push: PushRule,
    /// The key that Spack signs with; without one, it pushes unsigned. A registry has no signatures.
    pub signing_key: Option<String>,
    /// What `larder prune` leaves in it.
    pub keep: Keep,
    /// Whether `prune` is about it.
    pub upkeep: Upkeep,
}

/// Whether `finish`, `list`, `verify` and `clean` are about the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// They are.
    #[default]
    Included,
    /// `--cache` names others only.
    LeftAlone,
}
