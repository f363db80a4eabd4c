//! The entry of `mirrors:` that collects what a pipeline built: a folder that GitLab caches for one branch.
//!
//! It is read as a mirror and written as a cache, so it follows the rules of both: a name among the mirrors, and a place that
//! overlaps with nothing else.

use std::path::PathBuf;

use super::keep::Keep;
use crate::types::Signatures;

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

/// Whether `finish`, `list`, `verify` and `clean` are about the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// They are.
    #[default]
    Included,
    /// `--cache` names others only.
    LeftAlone,
}
