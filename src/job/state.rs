//! What `prepare` leaves for `finish`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{JobError, JobFolder};
use crate::report::{IndexReport, Report, Status};
use crate::store::policy::Used;
use crate::types::{DagHash, Sha256Digest, Totals};

const FORMAT: u64 = 1;
const FILE_NAME: &str = "state.json";

/// The most bytes of the file that are read.
const MAX_BYTES: u64 = 256 << 20;

/// What the job needs. Written before the first download, so that it is there even when `prepare` is killed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u64,
    /// Every blob that the job needs, wherever it comes from. `finish` removes none of them.
    pub used: Vec<Sha256Digest>,
    /// Blobs that `prepare` put into each cache, by the cache's name.
    pub added: BTreeMap<String, u64>,
    /// What Spack was to build from source, development builds left out. `collect` pushes it once it is installed.
    #[serde(default)]
    pub to_build: Vec<DagHash>,
    /// What Spack installs from the folder of what the branch built. `finish` removes none of it there.
    #[serde(default, rename = "collected")]
    pub built: Vec<DagHash>,
    /// For each remote cache by its name: what it is to keep of this job.
    #[serde(default, rename = "teams")]
    pub remotes: BTreeMap<String, ForRemote>,
    /// Environments of whose needs nothing was known, since they had no lockfile yet.
    #[serde(default)]
    pub without_lockfile: Vec<String>,
    /// The indexes that this job concretizes with. They are among `used`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexReport>,
    /// What `prepare` found out; absent until it is done.
    #[serde(default)]
    pub prepared: Option<Prepared>,
}

/// What `prepare` found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Specs that are needed; those that are external or installed need nothing.
    pub specs_needed: u64,
    /// Of those, the ones from a cache.
    pub specs_reused: u64,
    /// Of those, the ones that were downloaded.
    pub specs_fetched: u64,
    /// Of those, the ones that Spack has to build.
    pub specs_to_build: u64,
    /// Its sums.
    pub totals: Totals,
}

impl Prepared {
    /// Out of its report.
    pub fn of(report: &Report) -> Self {
        let [specs_reused, specs_fetched, specs_to_build] =
            [Status::Cached, Status::Fetched, Status::Build].map(|status| report.count(status) as u64);
        let left = report.count(Status::Fetch) as u64;
        let specs_needed = specs_reused + specs_fetched + specs_to_build + left;
        Self { specs_needed, specs_reused, specs_fetched, specs_to_build, totals: report.totals.clone() }
    }
}

/// What a remote cache is to know of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForRemote {
    /// The blobs that the job needs and that are this cache's business.
    pub used: Vec<Sha256Digest>,
    /// Of those, the ones that the cache lacks: fetched from a mirror, or found to be absent.
    pub lacking: Vec<Sha256Digest>,
}

impl State {
    /// A state.
    pub fn new(used: Vec<Sha256Digest>) -> Self {
        Self { version: FORMAT, used, ..Self::default() }
    }

    /// What the job needs of each kind of store, for pruning.
    pub(crate) fn used(&self) -> Used {
        let specs = self.to_build.iter().chain(&self.built).copied().collect();
        Used { blobs: self.used.iter().copied().collect(), specs }
    }

    /// What `prepare --index` left, if nothing ran since: an index of an earlier job is not protected for ever.
    pub(crate) fn of_indexes(folder: &JobFolder) -> Option<Self> {
        // A damaged file is about to be replaced.
        Self::read(folder).ok()?.filter(|state| state.prepared.is_none() && !state.indexes.is_empty())
    }

    /// Take over the indexes that an earlier command of the job provided.
    pub(crate) fn add_indexes(&mut self, indexes: &[IndexReport]) {
        self.used.extend(indexes.iter().filter_map(|index| index.digest));
        self.indexes.extend_from_slice(indexes);
    }

    /// Keep what an earlier run of the same job noted for the remote caches.
    pub fn add_remotes(&mut self, earlier: BTreeMap<String, ForRemote>) {
        for (name, earlier) in earlier {
            let remote = self.remotes.entry(name).or_default();
            for (list, more) in [(&mut remote.used, earlier.used), (&mut remote.lacking, earlier.lacking)] {
                let more: Vec<_> = more.into_iter().filter(|digest| !list.contains(digest)).collect();
                list.extend(more);
            }
        }
    }

    /// Write it into the job folder.
    pub fn write(&self, folder: &JobFolder) -> Result<(), JobError> {
        folder.write(FILE_NAME, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Read it, or `None` where no `prepare` ran.
    pub fn read(folder: &JobFolder) -> Result<Option<Self>, JobError> {
        let path = folder.root().join(FILE_NAME);
        let Some(text) = crate::fs::read_capped(&path, MAX_BYTES).map_err(folder.failed("read the state"))? else {
            return Ok(None);
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(state) if state.version == FORMAT => Ok(Some(state)),
            Ok(state) => Err(JobError::State { path, reason: format!("it has format {}", state.version) }),
            Err(error) => Err(JobError::State { path, reason: error.to_string() }),
        }
    }
}
