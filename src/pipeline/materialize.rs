//! From needed blobs to blobs that are there and right: look into the caches, verify what they hold, download the rest, record.

use std::path::Path;

use super::error::RunError;
use super::fetch;
use super::needed::{BlobNeed, CachedBlob, Obtained, Tally};
use super::parallel::{self, Task};
use super::run::Run;
use crate::fs::{Exclusion, Kind};
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
    let present = needs.iter().filter_map(|need| {
        let found = || caches.iter().map(|cache| cache.look(need.blob.expected.digest));
        // What is no regular file has no size, but is to be found and removed all the same.
        let is_there = found().any(|kind| kind != Kind::Missing);
        let bytes = found().find_map(Kind::size).unwrap_or(0);
        is_there.then(|| Task { name: need.title(), bytes, subject: need })
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
                        "cache `{}` held a bad blob {digest} of {}: {}; it was removed and is fetched again",
                        cache.name(),
                        need.title(),
                        damage.reason()
                    ));
                    cache.remove_damaged(digest, &damage)?;
                    corrupt.push(position);
                }
            }
        }
        Ok((None, corrupt))
    })?;
    for (held, corrupt) in looked {
        corrupt.into_iter().for_each(|position| obtained.tallies[position].corrupt += 1);
        obtained.blobs.extend(held.map(|held| (held.blob.digest(), held)));
    }
    Ok(())
}

/// Write down what each cache is for. A cache that can't be written is no reason to fail a job that has all it needs.
fn record(run: &Run<'_>, needs: &[BlobNeed], staging: &Path, obtained: &mut Obtained) -> Result<(), RunError> {
    let Run { session, caches, .. } = run;
    for (position, cache) in caches.iter().enumerate() {
        let held_here =
            |need: &&BlobNeed| obtained.blobs.get(&need.blob.expected.digest).filter(|held| held.cache == position);
        let uses = needs.iter().filter_map(|need| Some((held_here(&need)?, need)));
        let uses: Vec<Use> = uses
            .flat_map(|(held, need)| {
                need.requests.iter().map(|request| Use {
                    digest: held.blob.digest(),
                    bytes: held.blob.bytes(),
                    request: request.clone(),
                })
            })
            .collect();
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
