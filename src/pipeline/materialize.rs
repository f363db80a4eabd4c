//! Getting hold of blobs: look into the caches, validate what is there, download the rest.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::mirror::PublishedBlob;
use crate::pipeline::error::RunError;
use crate::pipeline::remote::RemoteCaches;
use crate::pipeline::resolve::{Located, Resolution, report_of};
use crate::pipeline::{Session, fetch, inventory};
use crate::plan::Need;
use crate::report::{CacheReport, Report, SpecReport, Status};
use crate::reporter::Phase;
use crate::store::{Cache, Exclusion, RecordChanges, StoredBlob, Use, Validation};
use crate::transport::Transport;
use crate::types::Totals;
use crate::types::{DagHash, Mirror, Sha256Digest, SpecId};
use crate::verified::Size;

/// A blob that the job needs. Several specs may need the same one.
pub(crate) struct BlobNeed {
    /// What is asked for: the spec, which file of it, and from which mirror.
    pub blob: PublishedBlob,
    /// The spec that it is named after in messages.
    pub spec: SpecId,
    /// The mirror that has it.
    pub mirror: Arc<Mirror>,
    /// Other mirrors that would have the same blob under the same name, if they have it.
    pub others: Vec<Arc<Mirror>>,
    /// The cache that is to keep it, as a position in the list of caches.
    pub cache: usize,
    /// Every spec and mirror for which it is the answer.
    uses: Vec<(SpecId, String)>,
}

/// Blobs that are there and right.
#[derive(Default)]
pub(crate) struct Obtained {
    /// By digest; where each lies.
    pub blobs: HashMap<Sha256Digest, CachedBlob>,
    /// What happened to each cache, in the order of the caches.
    pub tallies: Vec<Tally>,
}

/// A blob, verified in this run.
#[derive(Clone)]
pub(crate) struct CachedBlob {
    /// The blob.
    pub blob: StoredBlob,
    /// The cache that holds it, as a position in the list of caches.
    pub cache: usize,
    /// Whether a mirror sent it in this run.
    pub fetched: bool,
    /// The team cache that it was read from in this run, as a position in their list.
    pub team: Option<usize>,
}

/// What happened to a cache.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// Blobs that were downloaded into it.
    pub added: u64,
    corrupt: u64,
    recorded: bool,
}

/// The blobs of all specs that have a binary, each once, the largest first.
pub(crate) fn needs(
    session: &Session<'_>,
    found: &HashMap<DagHash, Located>,
    caches: &[Cache],
) -> Result<Vec<BlobNeed>, RunError> {
    let mut needs: HashMap<Sha256Digest, BlobNeed> = HashMap::new();
    let mut found: Vec<&Located> = found.values().collect();
    // What the branch built lies in a folder that GitLab caches by itself: a copy in another cache would be uploaded twice.
    found.retain(|found| found.collected.is_none());
    found.sort_by_key(|found| found.spec.hash);
    for found in found {
        let mirror = &found.published.mirror;
        let entry = session.config.cache_for(&mirror.url);
        let cache = entry.and_then(|entry| caches.iter().position(|cache| cache.name() == entry.name.as_str()));
        let cache =
            cache.ok_or_else(|| RunError::NoCache { mirror: mirror.name.clone(), url: mirror.url.to_string() })?;
        for blob in &found.published.blobs {
            let need = needs.entry(blob.expected.digest).or_insert_with(|| BlobNeed {
                blob: blob.clone(),
                spec: found.spec.clone(),
                mirror: Arc::clone(mirror),
                others: found.others.clone(),
                cache,
                uses: Vec::new(),
            });
            need.uses.push((found.spec.clone(), mirror.url.to_string()));
        }
    }
    let mut needs: Vec<_> = needs.into_values().collect();
    // The largest first: a large one that starts last would be waited for alone.
    needs.sort_by_key(|need| (std::cmp::Reverse(stated_size(need)), need.blob.expected.digest));
    Ok(needs)
}

/// The size that the metadata states; 0 where it states none.
pub(crate) fn stated_size(need: &BlobNeed) -> u64 {
    match need.blob.expected.size {
        Size::Exactly(bytes) => bytes,
        Size::AtMost(_) => 0,
    }
}

/// A cache that holds something of the right size under the blob's name. Unread: for `plan` only.
pub(crate) fn look_for(blob: &PublishedBlob, caches: &[Cache]) -> Option<(usize, u64)> {
    caches.iter().enumerate().find_map(|(position, cache)| {
        let bytes = cache.size_of(blob.expected.digest)?;
        blob.expected.size.allows(bytes).then_some((position, bytes))
    })
}

/// Validate, download, record. `use_held` is called while nothing that was obtained can be pruned by another job.
pub(crate) async fn obtain<T>(
    session: &Session<'_>,
    needs: &[BlobNeed],
    caches: &[Cache],
    teams: &RemoteCaches<'_>,
    transport: &Arc<Transport>,
    staging: &Path,
    use_held: impl FnOnce(&Obtained) -> Result<T, RunError>,
) -> Result<(Obtained, T), RunError> {
    let mut obtained = Obtained { tallies: vec![Tally::default(); caches.len()], ..Obtained::default() };
    let mut locks = Vec::new();
    for cache in caches {
        let lock = cache.lock(Exclusion::Shared, || {
            session.inform(&format!("waiting for another job that is pruning cache `{}`", cache.name()));
        })?;
        locks.push(lock);
    }
    validate(session, needs, caches, &mut obtained)?;
    let missing: Vec<&BlobNeed> =
        needs.iter().filter(|need| !obtained.blobs.contains_key(&need.blob.expected.digest)).collect();
    let fetched = fetch::fetch(session, &missing, caches, teams, transport, staging, &mut obtained).await;
    let used = fetched.and_then(|()| use_held(&obtained));
    drop(locks);
    // Recorded even where a download failed: what did arrive is there and must not look unused.
    record(session, needs, caches, staging, &mut obtained)?;
    Ok((obtained, used?))
}

/// Read every needed blob that a cache holds, on all processors. A bad one is removed and named.
fn validate(
    session: &Session<'_>,
    needs: &[BlobNeed],
    caches: &[Cache],
    obtained: &mut Obtained,
) -> Result<(), RunError> {
    let present: Vec<(&BlobNeed, u64)> = needs
        .iter()
        .filter_map(|need| {
            let bytes = caches.iter().find_map(|cache| cache.size_of(need.blob.expected.digest));
            // Something that is no regular file has no size, but is to be found and removed all the same.
            let is_there =
                bytes.is_some() || caches.iter().any(|cache| cache.holds_something(need.blob.expected.digest));
            is_there.then_some((need, bytes.unwrap_or(0)))
        })
        .collect();
    if present.is_empty() {
        return Ok(());
    }
    let reporter = session.reporter;
    let bytes = present.iter().map(|(_, bytes)| bytes).sum();
    reporter.phase_started(Phase::Validate, present.len() as u64, Some(bytes));
    let check = |item: usize| -> Result<(Option<CachedBlob>, Vec<usize>), RunError> {
        session.go_on()?;
        let (need, bytes) = present[item];
        let item = item as u64;
        reporter.item_started(Phase::Validate, item, &name_of(need), Some(bytes));
        let mut corrupt = Vec::new();
        let mut held = None;
        for (position, cache) in caches.iter().enumerate() {
            let advance = |bytes| reporter.item_advanced(Phase::Validate, item, i64::try_from(bytes).unwrap_or(0));
            match cache.validate(need.blob.expected, &advance)? {
                Validation::Intact(blob) => {
                    held = Some(CachedBlob { blob, cache: position, fetched: false, team: None });
                    break;
                }
                Validation::Missing => {}
                Validation::Corrupt(damage) => {
                    session.warn(&format!(
                        "cache `{}` held a bad blob {} of {}: {}; it was removed and is fetched again",
                        cache.name(),
                        need.blob.expected.digest,
                        name_of(need),
                        damage.reason()
                    ));
                    cache.remove_damaged(need.blob.expected.digest, &damage)?;
                    corrupt.push(position);
                }
            }
        }
        reporter.item_finished(Phase::Validate, item);
        Ok((held, corrupt))
    };
    let results = tokio::task::block_in_place(|| in_parallel(present.len(), &check));
    reporter.phase_finished(Phase::Validate);
    for (item, result) in results {
        let (held, corrupt) = result?;
        for position in corrupt {
            obtained.tallies[position].corrupt += 1;
        }
        if let Some(held) = held {
            obtained.blobs.insert(present[item].0.blob.expected.digest, held);
        }
    }
    Ok(())
}

/// Do `work` for the numbers below `count`, on as many threads as there are processors.
pub(crate) fn in_parallel<T: Send>(count: usize, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<(usize, T)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count).min(16);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= count {
                return done;
            }
            done.push((item, work(item)));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    })
}

/// Write down what each cache is for. A cache that can't be written is no reason to fail a job that has all it needs.
fn record(
    session: &Session<'_>,
    needs: &[BlobNeed],
    caches: &[Cache],
    staging: &Path,
    obtained: &mut Obtained,
) -> Result<(), RunError> {
    for (position, cache) in caches.iter().enumerate() {
        let mut uses = Vec::new();
        for need in needs {
            let Some(held) = obtained.blobs.get(&need.blob.expected.digest).filter(|held| held.cache == position)
            else {
                continue;
            };
            for (spec, mirror) in &need.uses {
                let id = (&spec.name, &spec.version, spec.hash);
                uses.push(Use::new(held.blob.digest(), held.blob.bytes(), id, mirror.clone(), need.blob.role));
            }
        }
        let tally = &mut obtained.tallies[position];
        if uses.is_empty() && tally.added == 0 {
            continue;
        }
        let changes = RecordChanges {
            uses,
            gone: Vec::new(),
            now: session.now,
            refresh_after: inventory::refresh_after(session, cache),
        };
        // Looked at without a lock first: a run on a warm cache has nothing to write, and need not wait for anybody.
        let (records, damage) = cache.records()?;
        if records.changed(&changes) == records && damage.is_none() {
            continue;
        }
        if let Some(damage) = damage {
            session
                .warn(&format!("the records of cache `{}` were damaged and are written anew: {damage}", cache.name()));
        }
        match cache.update_records(&changes, staging) {
            Ok(written) => tally.recorded = written,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                session.warn(&format!("{error}{cause}; the job has what it needs all the same"));
            }
        }
    }
    Ok(())
}

/// What a blob is called in progress and messages.
pub(crate) fn name_of(need: &BlobNeed) -> String {
    match need.blob.role {
        crate::types::BlobRole::Binary => format!("{}@{}", need.spec.name, need.spec.version),
        crate::types::BlobRole::Spec => format!("{}@{} (spec)", need.spec.name, need.spec.version),
    }
}

/// The report of a run that obtained blobs.
pub(crate) fn report(
    session: &Session<'_>,
    command: &str,
    resolution: &Resolution,
    obtained: &Obtained,
    caches: &[Cache],
    teams: &RemoteCaches<'_>,
    transport: &Transport,
) -> Result<Report, RunError> {
    let mut report = Report::new(command);
    for spec in &resolution.specs {
        let found = resolution.found.get(&spec.binary).filter(|_| spec.need == Need::Binary);
        let mut entry = report_of(spec, found);
        if let Some(found) = found {
            describe(&mut entry, found, obtained, caches, teams);
        }
        report.specs.push(entry);
    }
    let held: HashSet<Sha256Digest> = resolution
        .found
        .values()
        .flat_map(|found| found.published.blobs.iter().map(|blob| blob.expected.digest))
        .collect();
    for held in held.iter().filter_map(|digest| obtained.blobs.get(digest)) {
        let bytes = held.blob.bytes();
        report.totals.bytes_needed += bytes;
        if held.fetched {
            report.totals.bytes_fetched += bytes;
        } else {
            report.totals.bytes_reused += bytes;
        }
    }
    count_collected(&mut report.totals, resolution);
    count_requests(&mut report.totals, transport);
    for (cache, tally) in caches.iter().zip(&obtained.tallies) {
        report.caches.push(CacheReport {
            added: tally.added,
            corrupt: tally.corrupt,
            changed: tally.added + tally.corrupt > 0 || tally.recorded,
            ..inventory::state_of(session, cache)?
        });
    }
    report.caches.extend(teams.reports());
    Ok(report)
}

fn describe(entry: &mut SpecReport, found: &Located, obtained: &Obtained, caches: &[Cache], teams: &RemoteCaches<'_>) {
    if let Some(collected) = &found.collected {
        (entry.bytes, entry.status) = (Some(collected.bytes), Status::Cached);
        return;
    }
    let held: Vec<&CachedBlob> =
        found.published.blobs.iter().filter_map(|blob| obtained.blobs.get(&blob.expected.digest)).collect();
    entry.bytes = Some(held.iter().map(|held| held.blob.bytes()).sum());
    entry.status = if held.iter().any(|held| held.fetched) { Status::Fetched } else { Status::Cached };
    let name =
        |held: &&CachedBlob| held.team.map_or_else(|| caches[held.cache].name().to_owned(), |team| teams.name(team));
    entry.cache = held.first().map(name);
}

/// What the branch built was needed, and not downloaded.
pub(crate) fn count_collected(totals: &mut Totals, resolution: &Resolution) {
    let collected = resolution.found.values().filter_map(|found| found.collected.as_ref());
    let bytes: u64 = collected.map(|collected| collected.bytes).sum();
    totals.bytes_needed += bytes;
    totals.bytes_reused += bytes;
}

/// What asking and fetching cost.
pub(crate) fn count_requests(totals: &mut Totals, transport: &Transport) {
    totals.metadata_bytes = transport.document_bytes();
    totals.requests = transport.requests();
    totals.bytes_resumed = transport.resumed_bytes();
}
