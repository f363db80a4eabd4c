//! From needed blobs to blobs that are there and right: look into the caches, verify what they hold, download the rest, record.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::error::RunError;
use super::fetch;
use super::needed::{BlobNeed, CachedBlob, Obtained, SourceBlob};
use super::parallel::{self, Task};
use super::resolve::{Located, Resolution};
use super::run::Run;
use crate::fs::{Exclusion, Kind};
use crate::report::CacheReport;
use crate::reporter::Phase;
use crate::store::{Cache, RecordChanges, Use, Validation, policy};
use crate::types::{BlobRole, Mirror, Purpose, Sha256Digest};

impl Run<'_> {
    /// The cache that is to keep what comes from a mirror, as a position in the list of caches.
    pub(crate) fn cache_for(&self, mirror: &Mirror) -> Result<usize, RunError> {
        let no_cache = || RunError::NoCache { mirror: mirror.name.clone(), url: mirror.url.to_string() };
        let entry = self.session.config.cache_for(&mirror.url).ok_or_else(no_cache)?;
        self.caches.iter().position(|cache| cache.name() == entry.name.as_str()).ok_or_else(no_cache)
    }

    /// The blobs of all specs that have a binary, each once, the largest first. Finds out, too, whether every mirror has a cache.
    pub(crate) fn needs(&self, resolution: &Resolution) -> Result<Vec<BlobNeed>, RunError> {
        let mut needs: HashMap<Sha256Digest, BlobNeed> = HashMap::new();
        let mut found: Vec<&Located> = resolution.found.values().collect();
        // What the branch built lies in a folder that GitLab caches by itself: a copy in another cache would be uploaded twice.
        found.retain(|found| found.built.is_none());
        found.sort_by_key(|found| found.published.spec.hash);
        for found in found {
            let mirror = &found.published.mirror;
            let cache = self.cache_for(mirror)?;
            for blob in &found.published.blobs {
                let spec = &found.published.spec;
                let need = needs.entry(blob.expected.digest).or_insert_with(|| BlobNeed {
                    blob: SourceBlob { expected: blob.expected, path: blob.path.clone() },
                    title: match blob.role {
                        BlobRole::Binary => format!("{}@{}", spec.name, spec.version),
                        BlobRole::Spec => format!("{}@{} (spec)", spec.name, spec.version),
                    },
                    mirror: Arc::clone(mirror),
                    others: found.others.clone(),
                    cache,
                    purposes: Vec::new(),
                });
                need.purposes.push(Purpose::Spec(spec.request(mirror.url.to_string(), blob.role)));
            }
        }
        let mut needs: Vec<_> = needs.into_values().collect();
        // The largest first: a large one that starts last would be waited for alone.
        needs.sort_by_key(|need| (Reverse(need.stated_size()), need.blob.expected.digest));
        Ok(needs)
    }
}

/// Validate, download, record. `use_held` is called while nothing that was obtained can be pruned by another job.
pub(crate) async fn materialize<T>(
    run: &Run<'_>,
    needs: &[BlobNeed],
    staging: &Path,
    use_held: impl FnOnce(&Obtained) -> Result<T, RunError>,
) -> Result<(Obtained, T), RunError> {
    let Run { session, caches, .. } = run;
    let mut obtained = Obtained { reports: vec![CacheReport::default(); caches.len()], ..Obtained::default() };
    let lock = |cache: &Cache| {
        let waiting = || session.inform(&format!("waiting for another job that is pruning {cache}"));
        cache.lock(Exclusion::Shared, waiting)
    };
    let locks = caches.iter().map(lock).collect::<Result<Vec<_>, _>>()?;
    validate(run, needs, &mut obtained)?;
    let missing: Vec<&BlobNeed> =
        needs.iter().filter(|need| !obtained.blobs.contains_key(&need.blob.expected.digest)).collect();
    let fetched = fetch::fetch(run, &missing, staging, &mut obtained).await;
    let used = fetched.and_then(|()| use_held(&obtained));
    drop(locks);
    // Recorded even where a download failed: what did arrive is there and must not look unused.
    record(run, needs, staging, &mut obtained)?;
    Ok((obtained, used?))
}

/// Read every needed blob that a cache holds, on all processors. A bad one is removed and named.
fn validate(run: &Run<'_>, needs: &[BlobNeed], obtained: &mut Obtained) -> Result<(), RunError> {
    let Run { session, caches, .. } = run;
    let present = needs.iter().filter_map(|need| {
        let found = caches.iter().map(|cache| cache.look(need.blob.expected.digest));
        let mut found = found.filter(|kind| *kind != Kind::Missing);
        // What is no regular file has no size, but is to be found and removed all the same.
        let bytes = found.next()?.size().or_else(|| found.find_map(Kind::size)).unwrap_or(0);
        Some(Task { name: need.title(), bytes, subject: need })
    });
    let present: Vec<Task<&BlobNeed>> = present.collect();
    if present.is_empty() {
        return Ok(());
    }
    let looked = parallel::in_phase(session.reporter, Phase::Validate, &present, |need, advance| {
        session.stop_if_asked()?;
        let digest = need.blob.expected.digest;
        let mut corrupt = Vec::new();
        for (position, cache) in caches.iter().enumerate() {
            match cache.validate(need.blob.expected, advance)? {
                Validation::Intact(blob) => {
                    return Ok((Some(CachedBlob { blob, cache: position, fetched: false, remote: None }), corrupt));
                }
                Validation::Missing => {}
                Validation::Corrupt(damage) => {
                    session.warn(&format!(
                        "{cache} held a bad blob {digest} of {}: {}; it was removed and is fetched again",
                        need.title(),
                        damage.reason
                    ));
                    cache.remove_damaged(digest, &damage)?;
                    corrupt.push(position);
                }
            }
        }
        Ok((None, corrupt))
    })?;
    for (held, corrupt) in looked {
        for position in corrupt {
            obtained.reports[position].corrupt += 1;
        }
        obtained.blobs.extend(held.map(|held| (held.blob.digest(), held)));
    }
    Ok(())
}

/// Write down what each cache is for. A cache that can't be written is no reason to fail a job that has all it needs.
fn record(run: &Run<'_>, needs: &[BlobNeed], staging: &Path, obtained: &mut Obtained) -> Result<(), RunError> {
    let Run { session, caches, .. } = run;
    for (position, cache) in caches.iter().enumerate() {
        let mut uses = Vec::new();
        for need in needs {
            let digest = need.blob.expected.digest;
            let held = obtained.blobs.get(&digest).filter(|held| held.cache == position);
            let Some(bytes) = held.map(|held| held.blob.bytes()) else { continue };
            uses.extend(need.purposes.iter().map(|purpose| Use { digest, bytes, purpose: purpose.clone() }));
        }
        let report = &mut obtained.reports[position];
        if uses.is_empty() && report.added == 0 {
            continue;
        }
        let refresh_after = policy::refresh_after(session.config.caches[position].keep);
        let changes = RecordChanges { uses, now: session.now, refresh_after };
        // Looked at without a lock first: a run on a warm cache has nothing to write, and need not wait.
        let (records, damage) = cache.records()?;
        if records.changed(&changes) == records && damage.is_none() {
            continue;
        }
        if let Some(damage) = damage {
            session.warn(&format!("the records of {cache} were damaged and are written anew: {damage}"));
        }
        match cache.change_records(staging, |records| records.changed(&changes)) {
            Ok(written) => report.changed = written,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                session.warn(&format!("{error}{cause}; the job has what it needs all the same"));
            }
        }
    }
    Ok(())
}
