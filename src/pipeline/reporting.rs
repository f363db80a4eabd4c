//! What a run did, as data.

use std::collections::{HashMap, HashSet};

use super::error::RunError;
use super::needed::{CachedBlob, Obtained};
use super::resolve::Resolution;
use super::run::Run;
use super::stores;
use crate::plan::{Availability, Holding};
use crate::report::{CacheReport, IndexStatus, Report};
use crate::transport::Transport;
use crate::types::{Sha256Digest, Totals};

/// The report of a run that obtained blobs.
pub(crate) fn report(
    run: &Run<'_>,
    command: &str,
    resolution: &Resolution,
    obtained: &Obtained,
) -> Result<Report, RunError> {
    let mut report = of_caches(run, command, obtained)?;
    report.without_lockfile.clone_from(&run.environments.without_lockfile);
    report.specs = resolution.rows(|found| {
        let held: Vec<&CachedBlob> =
            found.published.blobs.iter().filter_map(|blob| obtained.blobs.get(&blob.expected.digest)).collect();
        let is_fetched = held.iter().any(|held| held.fetched);
        // Else what is not held lies in the folder of an export already.
        let is_whole = obtained.left == 0 || found.built.is_some() || held.len() == found.published.blobs.len();
        Holding {
            availability: match (is_whole, is_fetched) {
                // The time for downloads was over.
                (false, _) => Availability::OnMirror,
                (true, true) => Availability::Fetched,
                (true, false) => Availability::Cached,
            },
            bytes: Some(held.iter().map(|held| held.blob.bytes()).sum()),
            cache: held.first().map(|held| holder(run, held)),
        }
    });
    let located = resolution.found.values();
    let needed: HashSet<Sha256Digest> =
        located.flat_map(|found| found.published.blobs.iter().map(|blob| blob.expected.digest)).collect();
    for held in needed.iter().filter_map(|digest| obtained.blobs.get(digest)) {
        let bytes = held.blob.bytes();
        report.totals.bytes_needed += bytes;
        let of_kind = if held.fetched { &mut report.totals.bytes_fetched } else { &mut report.totals.bytes_reused };
        *of_kind += bytes;
    }
    let all = resolution.found.values().filter(|found| obtained.left > 0 && found.built.is_none());
    let left: HashMap<Sha256Digest, u64> = all
        .flat_map(|found| &found.published.blobs)
        .filter(|blob| !obtained.blobs.contains_key(&blob.expected.digest))
        .map(|blob| (blob.expected.digest, blob.expected.size.stated().unwrap_or(0)))
        .collect();
    report.totals.bytes_needed += left.values().sum::<u64>();
    count_built(&mut report.totals, resolution);
    Ok(report)
}

/// The cache that holds a blob.
pub(crate) fn holder(run: &Run<'_>, held: &CachedBlob) -> String {
    match held.remote {
        Some(remote) => run.remotes.name(remote),
        None => run.caches[held.cache].name().to_owned(),
    }
}

/// Add the sizes of the indexes in a report to its sums.
pub(crate) fn count_indexes(report: &mut Report) {
    let mut counted = HashSet::new();
    for index in report.indexes.iter().filter(|index| counted.insert(index.digest)) {
        let of_kind = match index.status {
            IndexStatus::Cached => &mut report.totals.bytes_reused,
            IndexStatus::Fetched => &mut report.totals.bytes_fetched,
            IndexStatus::Missing => continue,
        };
        *of_kind += index.bytes;
        report.totals.bytes_needed += index.bytes;
    }
}

/// What happened to the caches, and what asking cost.
pub(crate) fn of_caches(run: &Run<'_>, command: &str, obtained: &Obtained) -> Result<Report, RunError> {
    let mut report = Report::new(command);
    count_requests(&mut report.totals, &run.transport);
    for (cache, happened) in run.caches.iter().zip(&obtained.reports) {
        let CacheReport { added, corrupt, changed, .. } = *happened;
        let changed = changed || added + corrupt > 0;
        report.caches.push(CacheReport { added, corrupt, changed, ..stores::state_of(run.session, cache)? });
    }
    report.caches.extend(run.remotes.reports());
    Ok(report)
}

/// What the branch built was needed, and not downloaded.
pub(crate) fn count_built(totals: &mut Totals, resolution: &Resolution) {
    let built = resolution.found.values().filter_map(|found| found.built.as_ref());
    let bytes: u64 = built.map(|built| built.bytes).sum();
    totals.bytes_needed += bytes;
    totals.bytes_reused += bytes;
}

/// What asking and fetching cost.
pub(crate) fn count_requests(totals: &mut Totals, transport: &Transport) {
    let counters = transport.counters();
    totals.metadata_bytes = counters.document_bytes.get();
    totals.requests = counters.requests.get();
    totals.bytes_resumed = counters.resumed_bytes.get();
}
