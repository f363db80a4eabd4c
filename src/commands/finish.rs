//! `larder finish`: after the job.
//!
//! Safe to run without a preceding `prepare`, after a failed job, and after being killed half-way: blobs are removed first
//! and the records corrected then, so the worst that is left is a record without a blob, which the next run removes.

use std::collections::HashSet;
use std::time::Duration;

use super::{CommandError, Mode, Session, upkeep};
use crate::cache::prune::{Policy, choose};
use crate::cache::{Cache, CacheError, CacheLock, RecordChanges};
use crate::config::CacheEntry;
use crate::job::{JobFolder, State};
use crate::report::{CacheReport, Report};
use crate::types::Sha256Digest;

/// How long to wait for another job that uses a cache. Pruning can wait for the next pipeline; `after_script` can not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Prune each cache by its `keep:` policy.
pub fn finish(session: &Session<'_>, mode: Mode) -> Result<Report, CommandError> {
    let folder = JobFolder::of(&session.config.root);
    let used: HashSet<Sha256Digest> = match State::read(&folder) {
        Ok(state) => state.map(|state| state.used.into_iter().collect()).unwrap_or_default(),
        // What the job used is not known, so nothing may be removed.
        Err(error) => return Err(error.into()),
    };
    let mut report = Report::new("finish");
    for entry in &session.config.caches {
        match prune(session, entry, &used, mode, &folder) {
            Ok(cache) => report.caches.push(cache),
            // One cache that is not larder's does not keep the others from being pruned.
            Err(CommandError::Cache(error @ (CacheError::Foreign { .. } | CacheError::NotAFolder { .. }))) => {
                session.warn(&format!("cache `{}` is left alone: {error}", entry.name));
            }
            Err(error) => return Err(error),
        }
    }
    let report = session.conclude(report);
    if mode == Mode::Act && folder.root().is_dir() {
        folder.write_report(&report)?;
    }
    Ok(report)
}

fn prune(
    session: &Session<'_>,
    entry: &CacheEntry,
    used: &HashSet<Sha256Digest>,
    mode: Mode,
    folder: &JobFolder,
) -> Result<CacheReport, CommandError> {
    let cache = upkeep::open(session, entry)?;
    if !cache.is_marked() {
        // Nothing there, or a cache that was restored half-way and that no run has adopted.
        return upkeep::state_of(session, &cache);
    }
    let policy = match upkeep::policy_of(session, entry) {
        Ok(policy) => policy.unwrap_or_default(),
        Err(error) => {
            session.warn(&format!(
                "nothing is pruned from cache `{}`, since what it is to keep is unknown: {error}",
                entry.name
            ));
            return upkeep::state_of(session, &cache);
        }
    };
    let (records, _) = cache.records()?;
    let contents = cache.contents()?;
    let removals = choose(&contents.blobs, &records, &policy, used, session.now);
    let present: HashSet<Sha256Digest> = contents.blobs.iter().map(|blob| blob.digest).collect();
    let stale = records.digests().any(|digest| !present.contains(&digest));
    let removed_bytes: u64 = removals.iter().map(|removal| removal.blob.bytes).sum();
    let planned = CacheReport { removed: removals.len() as u64, removed_bytes, ..CacheReport::default() };
    if mode == Mode::Pretend || (removals.is_empty() && !stale) {
        warn_of_size(
            session,
            &cache,
            &policy,
            contents.blobs.iter().map(|blob| blob.bytes).sum::<u64>() - removed_bytes,
        );
        let state = upkeep::state_of(session, &cache)?;
        return Ok(CacheReport { removed: planned.removed, removed_bytes, ..state });
    }
    let Some(_lock) = CacheLock::acquire_within(cache.root(), PATIENCE).map_err(|source| CacheError::Io {
        cache: cache.name().to_owned(),
        what: "lock",
        source,
    })?
    else {
        session.warn(&format!("another job uses cache `{}`: pruning is left to a later run", cache.name()));
        return upkeep::state_of(session, &cache);
    };
    remove(session, &cache, &policy, used, folder)
}

/// Decide again under the lock, since another job may have added or used something meanwhile, and act.
fn remove(
    session: &Session<'_>,
    cache: &Cache,
    policy: &Policy,
    used: &HashSet<Sha256Digest>,
    folder: &JobFolder,
) -> Result<CacheReport, CommandError> {
    let (records, _) = cache.records()?;
    let contents = cache.contents()?;
    let removals = choose(&contents.blobs, &records, policy, used, session.now);
    let mut removed_bytes = 0;
    for removal in &removals {
        cache.remove(removal.blob.digest)?;
        removed_bytes += removal.blob.bytes;
    }
    let removed: HashSet<Sha256Digest> = removals.iter().map(|removal| removal.blob.digest).collect();
    let kept: HashSet<Sha256Digest> =
        contents.blobs.iter().map(|blob| blob.digest).filter(|digest| !removed.contains(digest)).collect();
    let changes = RecordChanges {
        uses: Vec::new(),
        gone: records.digests().filter(|digest| !kept.contains(digest)).collect(),
        now: session.now,
        refresh_after: Duration::MAX,
    };
    let recorded = cache.update_records(&changes, &staging(folder, cache))?;
    let state = upkeep::state_of(session, cache)?;
    warn_of_size(session, cache, policy, state.bytes);
    Ok(CacheReport {
        removed: removals.len() as u64,
        removed_bytes,
        changed: recorded || !removals.is_empty(),
        ..state
    })
}

/// The job folder's, or, where no job ran here, a folder beside the cache.
fn staging(folder: &JobFolder, cache: &Cache) -> std::path::PathBuf {
    let partial = folder.partial();
    if partial.is_dir() { partial } else { cache.root().parent().map(std::path::Path::to_owned).unwrap_or_default() }
}

fn warn_of_size(session: &Session<'_>, cache: &Cache, policy: &Policy, bytes: u64) {
    if let Some(max_bytes) = policy.max_bytes.filter(|max_bytes| bytes > *max_bytes) {
        session.warn(&format!(
            "cache `{}` is larger than its max-size of {}: this job needs all of what is left",
            cache.name(),
            bytesize::ByteSize(max_bytes).display().iec()
        ));
    }
}
