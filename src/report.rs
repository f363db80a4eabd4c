//! What a run did: `report.json` in the job folder, and standard output with `--json`.
//!
//! One format for all commands, described for users in `docs/report.md`. A field that a command has nothing to say about
//! is an empty list or zero. [`FORMAT`] rises when a field changes its meaning or goes away; new fields may come.

use serde::{Deserialize, Serialize};

use crate::types::{
    DagHash, IndexRequest, PackageName, Request, Sha256Digest, Totals, UploadCause, UploadRule, VersionText,
};

/// The version of this format.
pub const FORMAT: u32 = 1;

/// [`SpecReport::reason`] of a development build.
pub const DEVELOPMENT_BUILD: &str = "development build";

/// [`SpecReport::reason`] of the spec that a `spack ci` job is there to build.
pub const BUILT_BY_THIS_JOB: &str = "built by this job";

/// The outcome of one command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub version: u32,
    /// The command, such as `prepare`.
    pub command: String,
    /// The needed specs, in the order of their names.
    pub specs: Vec<SpecReport>,
    /// Environments without a lockfile, of whose needs nothing is known.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub without_lockfile: Vec<String>,
    /// The indexes of mirrors that this job was given to concretize with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub indexes: Vec<IndexReport>,
    /// The caches, in the order of the configuration.
    pub caches: Vec<CacheReport>,
    /// The archive that `pack` wrote or `unpack` read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archive: Option<ArchiveReport>,
    /// The folder that `export` wrote.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub export: Option<ExportReport>,
    /// Sums over the whole run.
    pub totals: Totals,
    /// What the run warned of, one sentence each.
    pub warnings: Vec<String>,
}

/// What became of a needed spec. What needs nothing comes first and what has to be built last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not Spack's to install.
    External,
    /// Already in the install tree.
    Installed,
    /// Its blobs are in a cache. After `prepare` and `warm`: and were read and found right.
    Cached,
    /// Its blobs were downloaded in this run, at least one of them.
    Fetched,
    /// Its blobs are on a mirror and not in a cache. Only `plan` says so, and a `warm` that ran out of time.
    Fetch,
    /// No mirror has it: Spack has to build it.
    Build,
}

/// One needed spec.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpecReport {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: VersionText,
    /// Its DAG hash.
    pub hash: DagHash,
    /// For a spliced spec, the spec whose binary Spack relinks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build_spec: Option<DagHash>,
    /// The groups of `spack.yaml` in which it is a root, where its lockfile has groups.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub groups: Vec<String>,
    /// What became of it.
    pub status: Status,
    /// Why it has to be built, where that is not plain: a development build, or what `spack ci` builds in this job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The name of the mirror that has it.
    pub mirror: Option<String>,
    /// Whether its metadata comes out of the folder of what the branch built, and not from a mirror. In the report of
    /// `collect`: whether it was pushed into that folder.
    #[serde(skip_serializing_if = "is_default", default)]
    pub collected: bool,
    /// The cache that holds its binary, or will.
    pub cache: Option<String>,
    /// The sha256 of its binary.
    pub digest: Option<Sha256Digest>,
    /// The size of its blobs together, where known: a v2 mirror states none before the download.
    pub bytes: Option<u64>,
}

/// The index of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexReport {
    /// The name of the mirror.
    pub mirror: String,
    /// What became of it.
    pub status: IndexStatus,
    /// The document that names it, below the mirror, or its tag in a registry; absent where the mirror has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub document: Option<String>,
    /// The cache that holds it.
    pub cache: Option<String>,
    /// Its sha256.
    pub digest: Option<Sha256Digest>,
    /// Its size.
    pub bytes: u64,
}

/// What became of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexStatus {
    /// It was in a cache, was read, and found right.
    Cached,
    /// It was downloaded.
    Fetched,
    /// The mirror has none that a digest vouches for.
    Missing,
}

/// An archive of caches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArchiveReport {
    /// Where it is.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// How many blobs of the configured caches it holds.
    pub blobs: u64,
}

/// A folder for a site without a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportReport {
    /// Where it is.
    pub path: String,
    /// The names of all environments in it, those of earlier runs too.
    pub environments: Vec<String>,
    /// How many blobs of the needed specs it holds.
    pub blobs: u64,
    /// Their size together.
    pub bytes: u64,
    /// How many of them this run added.
    pub added: u64,
    /// The size of what was added.
    pub added_bytes: u64,
    /// The fingerprints of the public keys in it.
    pub keys: Vec<String>,
}

/// One cache.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CacheReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its folder; empty for a cache in an object store.
    pub path: String,
    /// Where it is, for a cache in an object store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Blobs that this command read from it, for a cache in an object store.
    #[serde(skip_serializing_if = "is_default", default)]
    pub read: u64,
    /// The size of what was read.
    #[serde(skip_serializing_if = "is_default", default)]
    pub read_bytes: u64,
    /// The size of what was put into it, for a cache in an object store.
    #[serde(skip_serializing_if = "is_default", default)]
    pub added_bytes: u64,
    /// The size of its blobs together, after the command.
    pub bytes: u64,
    /// How many blobs it holds, after the command.
    pub blobs: u64,
    /// Blobs that this command put into it.
    pub added: u64,
    /// Blobs that this command removed because they are not needed any more.
    pub removed: u64,
    /// The size of what was removed.
    pub removed_bytes: u64,
    /// Blobs that were not what their name says.
    pub corrupt: u64,
    /// Whether the command changed any file or folder of it, which makes the runner upload it again.
    pub changed: bool,
    /// The size of what its `keep:` would drop and its `slack:` leaves for now. Only `finish` says so.
    #[serde(default)]
    pub waste_bytes: u64,
    /// Whether the runner will upload it after the job. Only `finish` says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uploads: Option<Uploads>,
    /// The rule that decides whether it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upload_rule: Option<UploadRule>,
    /// What makes the runner upload it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub upload_reasons: Vec<UploadReason>,
    /// What it holds. Only `list` and `verify` say so; for `unpack --dry-run`, what the archive holds for it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub contents: Vec<BlobReport>,
}

/// Whether a field says nothing.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether the runner will upload a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uploads {
    /// It does not.
    #[default]
    No,
    /// Something in it changed.
    Yes,
    /// It was not there before.
    First,
    /// It can't be known in the job.
    Unknown,
}

/// Entries that make the runner upload a cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadReason {
    /// What they are.
    pub cause: UploadCause,
    /// How many.
    pub entries: u64,
    /// Their size together, where they have one.
    pub bytes: u64,
    /// One of them, as a path in the cache folder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub example: Option<String>,
}

/// One blob of a cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlobReport {
    /// Its sha256, which is its name.
    pub digest: Sha256Digest,
    /// Its size.
    pub bytes: u64,
    /// Whether its bytes are those that its name promises; absent where they were not read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intact: Option<bool>,
    /// When a job last needed it. At most a quarter of the cache's `max-age` behind the truth.
    pub last_used: jiff::Timestamp,
    /// Which requests it answers.
    pub requests: Vec<Request>,
    /// The mirrors whose index it is.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub indexes: Vec<IndexRequest>,
}

impl Report {
    /// An empty report of a command.
    pub fn new(command: &str) -> Self {
        Self { version: FORMAT, command: command.to_owned(), ..Self::default() }
    }

    /// Specs that are needed and in no mirror; what this job is there to build does not count.
    pub fn missing(&self) -> impl Iterator<Item = &SpecReport> {
        let is_missing =
            |spec: &&SpecReport| spec.status == Status::Build && spec.reason.as_deref() != Some(BUILT_BY_THIS_JOB);
        self.specs.iter().filter(is_missing)
    }

    /// How many specs have this status.
    pub fn count(&self, status: Status) -> usize {
        self.specs.iter().filter(|spec| spec.status == status).count()
    }
}
