//! What `prepare` leaves for `finish`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{JobError, JobFolder};
use crate::runner::metrics::Prepared;
use crate::types::{DagHash, Sha256Digest};

const FORMAT: u64 = 1;
const FILE_NAME: &str = "state.json";

/// The most bytes of the file that are read.
const MAX_BYTES: u64 = 256 << 20;

/// What the job needs. Written before the first download, so that it is there even when `prepare` is killed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(default)]
    pub collected: Vec<DagHash>,
    /// For each team cache by its name: what it is to keep of this job.
    #[serde(default)]
    pub teams: BTreeMap<String, ForTeam>,
    /// What `prepare` found out; absent until it is done.
    #[serde(default)]
    pub prepared: Option<Prepared>,
}

/// What a team cache is to know of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForTeam {
    /// The blobs that the job needs and that are this cache's business.
    pub used: Vec<Sha256Digest>,
    /// Of those, the ones that the cache lacks: fetched from a mirror, or found to be absent.
    pub lacking: Vec<Sha256Digest>,
}

impl State {
    /// A state.
    pub fn new(used: Vec<Sha256Digest>) -> Self {
        let (to_build, collected) = (Vec::new(), Vec::new());
        Self {
            version: FORMAT,
            used,
            added: BTreeMap::new(),
            to_build,
            collected,
            teams: BTreeMap::new(),
            prepared: None,
        }
    }

    /// Keep what an earlier run of the same job noted for the team caches.
    pub fn add_teams(&mut self, earlier: BTreeMap<String, ForTeam>) {
        for (name, earlier) in earlier {
            let team = self.teams.entry(name).or_default();
            for (list, more) in [(&mut team.used, earlier.used), (&mut team.lacking, earlier.lacking)] {
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
