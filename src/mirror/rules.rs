//! What larder has to know of a layout. Each layout implements it in a file of its own; nothing else knows its names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::MirrorError;
use super::fingerprint::Fingerprint;
use super::metadata::{Metadata, PublishedBlob, Signature};
use super::spec_file::SpecNodes;
use crate::types::{DagHash, MirrorPath, PackageName, SpecId, VersionText};
use crate::verified::Expected;

/// How a layout names files, and what it writes in them.
pub(super) trait Rules {
    /// Where the metadata of a spec may lie below a mirror, in the order in which Spack looks.
    fn places(&self, spec: &SpecId) -> Vec<MirrorPath>;

    /// What metadata from one of its places promises of a spec.
    fn promises(&self, spec: &SpecId, path: &MirrorPath, metadata: Metadata<'_>) -> Result<Promises, MirrorError>;

    /// What metadata says of a spec that is known by the name of its file only. `find` looks for a blob by its file name.
    fn survey(&self, path: &[&str], metadata: Metadata<'_>, find: Find<'_>) -> Result<Survey, String>;

    /// The spec and its dependencies, which stand in the metadata or in the spec's own blob: a verified file of so many bytes.
    fn nodes(&self, metadata: Metadata<'_>, spec_blob: Option<(PathBuf, u64)>) -> Result<SpecNodes, String>;

    /// What a file is by its path below a mirror; `None` for what Spack does not put there.
    fn recognise(&self, path: &[&str]) -> Option<Place>;

    /// Where something lies that a mirror publishes beside its specs.
    fn place_of(&self, extra: Extra<'_>) -> MirrorPath;

    /// The files that publish a key or the list of keys, in the order in which they may appear.
    fn publish(&self, extra: Extra<'_>, content: Vec<u8>) -> Vec<(MirrorPath, Vec<u8>)>;

    /// The blob that the document of a key or of the list of keys names; `None` where the document itself is the content.
    fn content_of(&self, extra: Extra<'_>, metadata: Metadata<'_>) -> Result<Option<Expected>, String>;

    /// The version of the index, which is a database of installs to Spack, that has nodes of this format.
    fn index_version(&self, node_format: u32) -> u32;

    /// The files that publish an index, which may be there in several versions: Spack takes the newest that it knows.
    fn publish_indexes(&self, versions: BTreeMap<u32, Vec<u8>>) -> Vec<(MirrorPath, Vec<u8>)>;

    /// The versions of the index of which the document at its place tells, each with the blob that has it; `None` where the
    /// document itself is the index.
    fn indexes_of(&self, metadata: Metadata<'_>) -> Result<BTreeMap<u32, Option<Expected>>, String>;

    /// A node for the index, from metadata with nodes of this version.
    fn index_node(&self, node: Value, _version: u32) -> Value {
        node
    }
}

/// What metadata promises.
pub(super) struct Promises {
    pub(super) signature: Signature,
    pub(super) blobs: Vec<PublishedBlob>,
}

/// What metadata says, whatever spec it is of.
pub struct Survey {
    /// The package and its version, where they are told.
    pub package: Option<(PackageName, VersionText)>,
    /// What it promises.
    pub blobs: Vec<PublishedBlob>,
}

/// Looks for a blob by the name of its file.
pub(super) type Find<'a> = &'a dyn Fn(&str) -> Option<MirrorPath>;

/// What a file of a mirror is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The metadata of the spec with this hash.
    Metadata(DagHash),
    /// A binary, or another blob.
    Blob,
}

/// What a mirror publishes beside its specs.
#[derive(Clone, Copy)]
pub(super) enum Extra<'a> {
    /// The index of its specs.
    Index,
    /// The list of its public keys.
    KeyIndex,
    /// A public key.
    Key(&'a Fingerprint),
}

/// The hash at the end of a file's name.
pub(super) fn hash_at_end(stem: &str) -> Option<DagHash> {
    stem.rsplit('-').next()?.parse().ok()
}
