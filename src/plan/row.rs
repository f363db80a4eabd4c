//! Where a binary's availability becomes a row of `larder plan` and of every report.

use super::walk::{BuildReason, Need};
use crate::report::{BUILT_BY_THIS_JOB, DEVELOPMENT_BUILD, SpecReport, Status};
use crate::types::{DagHash, SpecId};

/// Where the binary of a needed spec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// In a cache, or in the folder of what the branch built.
    Cached,
    /// On a mirror only.
    OnMirror,
    /// On this machine since this run.
    Fetched,
}

/// Where the binary of a needed spec is, and how large.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub availability: Availability,
    /// The size of its blobs together, where known.
    pub bytes: Option<u64>,
    /// The cache that holds it, or will.
    pub cache: Option<String>,
}

/// The row of a needed spec, whose binary mirrors keep under the hash `binary_hash`. What a mirror has is held somewhere.
pub(crate) fn row(id: &SpecId, binary_hash: DagHash, need: Need, holding: Option<Holding>) -> SpecReport {
    let (status, reason) = match need {
        Need::External => (Status::External, None),
        Need::Installed => (Status::Installed, None),
        Need::Build(BuildReason::Development) => (Status::Build, Some(DEVELOPMENT_BUILD)),
        Need::Build(BuildReason::ThisJob) => (Status::Build, Some(BUILT_BY_THIS_JOB)),
        Need::Build(BuildReason::InNoMirror) | Need::Unknown => (Status::Build, None),
        Need::Binary => match holding.as_ref().map(|holding| holding.availability) {
            Some(Availability::Cached) => (Status::Cached, None),
            Some(Availability::Fetched) => (Status::Fetched, None),
            Some(Availability::OnMirror) | None => (Status::Fetch, None),
        },
    };
    let (bytes, cache) = holding.map_or((None, None), |holding| (holding.bytes, holding.cache));
    SpecReport {
        name: id.name.clone(),
        version: id.version.clone(),
        hash: id.hash,
        build_spec: Some(binary_hash).filter(|binary| *binary != id.hash),
        status,
        reason: reason.map(str::to_owned),
        groups: Vec::new(),
        mirror: None,
        collected: false,
        cache,
        digest: None,
        bytes,
    }
}
