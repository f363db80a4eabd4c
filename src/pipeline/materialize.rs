//! From needed blobs to blobs that are there and right: look into the caches, verify what they hold, download the rest, record.

use std::path::Path;

use super::error::RunError;
use super::needed::{BlobNeed, CachedBlob, Obtained, Tally};
use super::run::Run;
use super::{fetch, parallel};
use crate::fs::Exclusion;
use crate::reporter::Phase;
use crate::store::policy::refresh_after;
use crate::store::{RecordChanges, Use, Validation};

/// Validate, download, record. `use_held` is called while nothing that was obtained can be pruned by another job.
pub(crate) async fn materialize<T>(
    run: &Run<'_>,
    needs: &[BlobNeed],
    staging: &Path,
    use_held: impl FnOnce(&Obtained) -> Result<T, RunError>,
) -> Result<(Obtained, T), RunError> {
    let Run { session, caches, .. } = run;
    let mut obtained = Obtained { tallies: vec![Tally::default(); caches.len()], ..Obtained::default() };
    let mut locks = Vec::new();
    for cache in caches {
        let lock = cache.lock(Exclusion::Shared, || {
            session.inform(&format!("waiting for another job that is pruning cache `{}`", cache.name()));
        })?;
        locks.push(lock);
    }
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
        session.stop_if_asked()?;
        let (need, bytes) = present[item];
        let item = item as u64;
        reporter.item_started(Phase::Validate, item, &need.title(), Some(bytes));
        let mut corrupt = Vec::new();
        let mut held = None;
        for (position, cache) in caches.iter().enumerate() {
            let advance = |bytes| reporter.item_advanced(Phase::Validate, item, i64::try_from(bytes).unwrap_or(0));
            match cache.validate(need.blob.expected, &advance)? {
                Validation::Intact(blob) => {
                    held = Some(CachedBlob { blob, cache: position, fetched: false, remote: None });
                    break;
                }
                Validation::Missing => {}
                Validation::Corrupt(damage) => {
                    session.warn(&format!(
                        "cache `{}` held a bad blob {} of {}: {}; it was removed and is fetched again",
                        cache.name(),
                        need.blob.expected.digest,
                        need.title(),
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
    let results = tokio::task::block_in_place(|| parallel::in_parallel(present.len(), &check));
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

/// Write down what each cache is for. A cache that can't be written is no reason to fail a job that has all it needs.
fn record(run: &Run<'_>, needs: &[BlobNeed], staging: &Path, obtained: &mut Obtained) -> Result<(), RunError> {
    let Run { session, caches, .. } = run;
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
            refresh_after: refresh_after(session.config.caches[position].keep),
        };
        // Looked at without a lock first: a run on a warm cache has nothing to write, and need not wait.
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
