//! `larder finish`: after the job.
//!
//! Safe to run without a preceding `prepare`, after a failed job, and after being killed half-way: blobs are removed first
//! and the records corrected then, so the worst that is left is a record without a blob, which the next run removes.
//!
//! GitLab gives `after_script` five minutes. Nothing here grows with the bytes of a cache, only with the number of its files,
//! all waiting for other jobs together is bounded by [`PATIENCE`], and all pushing (into team caches, and by Spack into the
//! folder of what this job built) by [`PATIENCE_WITH_PUSHES`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use miette::Diagnostic as _;

use super::CommandError;
use super::collect::{self, CollectError, CollectOptions};
use crate::config::{CacheEntry, Kept, Slack};
use crate::job::{JobFolder, State};
use crate::pipeline::remote::{self, RemoteCaches};
use crate::pipeline::uploads::Note;
use crate::pipeline::{Mode, RunError, Session, built, inventory, uploads};
use crate::report::{CacheReport, Report, Uploads};
use crate::runner::RestoredCaches;
use crate::store::prune::{Policy, choose};
use crate::store::{Cache, CacheError, CacheLock, RecordChanges};
use crate::types::{DagHash, Sha256Digest};

/// How long to wait for other jobs that use a cache, for all caches together. Pruning can wait for the next pipeline;
/// `after_script` can not.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long what is left of an interrupted download may wait for somebody to go on with it.
const LEFTOVERS: Duration = Duration::from_secs(24 * 3600);

/// How long all pushing together may take. With the waiting and the pruning it stays below the five minutes of `after_script`.
const PATIENCE_WITH_PUSHES: Duration = Duration::from_secs(200);

/// What pruning goes by.
struct Pruning<'a> {
    session: &'a Session<'a>,
    folder: JobFolder,
    /// What the job needed.
    used: HashSet<Sha256Digest>,
    /// What the caches were like before the job.
    note: RestoredCaches,
    mode: Mode,
    /// When to stop waiting for other jobs.
    deadline: Instant,
}

/// Prune each cache by its `keep:` policy, and say whether the runner will upload it.
/// With `collect`, what this job built is collected before.
pub async fn finish(
    session: &Session<'_>,
    collect: Option<&CollectOptions>,
    mode: Mode,
) -> Result<Report, CommandError> {
    let folder = JobFolder::of(&session.config.root);
    // Where what the job used is not known, nothing may be removed.
    let state = State::read(&folder)?;
    let specs: HashSet<DagHash> =
        state.iter().flat_map(|state| state.to_build.iter().chain(&state.collected)).copied().collect();
    let pushes_end = Instant::now() + PATIENCE_WITH_PUSHES;
    let pushed = match state.clone() {
        Some(state) if mode == Mode::Act && !session.config.remote_caches.is_empty() => {
            // What is built on this machine can be had nowhere else: it gets its share.
            let patience = if collect.is_some() { PATIENCE_WITH_PUSHES / 2 } else { PATIENCE_WITH_PUSHES };
            push(session, &folder, state, patience).await?
        }
        _ => session.config.remote_caches.iter().map(remote::report_of).collect(),
    };
    let (used, prepared) = state.map(|state| (state.used.into_iter().collect(), state.prepared)).unwrap_or_default();
    uploads::tell_job_status(session);
    let note = uploads::note(session, &folder, Note::OfWhoeverBegan, mode)?;
    if let Some(options) = collect {
        let patience = options.patience.unwrap_or_else(|| pushes_end.saturating_duration_since(Instant::now()));
        collect_built(session, &CollectOptions { patience: Some(patience), ..options.clone() }, mode)?;
    }
    let deadline = Instant::now() + PATIENCE;
    let pruning = Pruning { session, folder, used, note, mode, deadline };
    let mut report = Report::new("finish");
    for entry in &session.config.caches {
        session.go_on()?;
        match pruning.prune(entry) {
            Ok(mut cache) => {
                // The runner never sees a folder that nobody keeps.
                if entry.kept == Kept::Yes {
                    uploads::describe(session, entry, &pruning.note, &mut cache)?;
                }
                report.caches.push(cache);
            }
            // One cache that is not larder's does not keep the others from being pruned.
            Err(RunError::Cache(error @ (CacheError::Foreign { .. } | CacheError::NotAFolder { .. }))) => {
                session.warn(&format!("cache `{}` is left alone: {error}", entry.name));
            }
            Err(error) => return Err(error.into()),
        }
    }
    session.go_on()?;
    report.caches.extend(built::prune(session, &specs, &pruning.note, mode)?);
    report.caches.extend(pushed);
    let report = session.conclude(report);
    if mode == Mode::Act && pruning.folder.root().is_dir() {
        pruning.folder.write_report(&report)?;
        pruning.folder.write_metrics(prepared.as_ref(), Some(&report))?;
    }
    Ok(report)
}

/// Have Spack push what this job built. Whatever keeps it from that, the caches are pruned all the same.
fn collect_built(session: &Session<'_>, options: &CollectOptions, mode: Mode) -> Result<(), CommandError> {
    match collect::push(session, options, mode) {
        Ok(_) => Ok(()),
        Err(
            error @ (CommandError::Run(RunError::Interrupted { .. })
            | CommandError::Collect(CollectError::NoFolder | CollectError::NoKey { .. })),
        ) => Err(error),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let hint = match &error {
                CommandError::Collect(CollectError::Push { source, .. }) => source.help(),
                error => error.help(),
            };
            let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            session.warn(&format!("{error}{cause}{hint}"));
            Ok(())
        }
    }
}

/// Add to the team caches what this job fetched, before anything is pruned. What is done is taken out of the state: a second
/// `finish` has nothing left to do.
async fn push(
    session: &Session<'_>,
    folder: &JobFolder,
    mut state: State,
    patience: Duration,
) -> Result<Vec<CacheReport>, CommandError> {
    let teams = RemoteCaches::new(session);
    // What can't be opened is told when its turn comes to be pruned.
    let caches: Vec<Cache> =
        session.config.caches.iter().filter_map(|entry| inventory::open(session, entry).ok()).collect();
    let pushed = teams.push(&mut state.teams, &caches, Some(patience)).await;
    state.write(folder)?;
    pushed?;
    Ok(teams.reports().collect())
}

impl Pruning<'_> {
    fn prune(&self, entry: &CacheEntry) -> Result<CacheReport, RunError> {
        let session = self.session;
        let cache = inventory::open(session, entry)?;
        if self.mode == Mode::Act {
            cache.remove_leftovers(LEFTOVERS)?;
        }
        if !cache.is_marked() {
            // Nothing there, or a cache that was restored half-way and that no run has adopted.
            return inventory::state_of(session, &cache);
        }
        let policy = match inventory::policy_of(session, entry) {
            Ok(policy) => policy.unwrap_or_default(),
            Err(error) => {
                session.warn(&format!(
                    "nothing is pruned from cache `{}`, since what it is to keep is unknown: {error}",
                    entry.name
                ));
                return inventory::state_of(session, &cache);
            }
        };
        let (records, _) = cache.records()?;
        let contents = cache.contents()?;
        let removals = choose(&contents.blobs, &records, &policy, &self.used, session.now);
        let present: HashSet<Sha256Digest> = contents.blobs.iter().map(|blob| blob.digest).collect();
        let stale = records.digests().any(|digest| !present.contains(&digest));
        let waste: u64 = removals.iter().map(|removal| removal.blob.bytes).sum();
        let bytes: u64 = contents.blobs.iter().map(|blob| blob.bytes).sum();
        if entry.keep.slack() != Slack::NONE
            && entry.keep.slack().allows(waste, bytes)
            && uploads::judge(session, entry, &self.note)?.uploads == Uploads::No
        {
            // To be rid of so little is not worth the upload that it would take.
            return Ok(CacheReport { waste_bytes: waste, ..inventory::state_of(session, &cache)? });
        }
        if self.mode == Mode::Pretend || (removals.is_empty() && !stale) {
            let removed = removals.len() as u64;
            warn_of_bound(session, &cache, &policy, bytes - waste);
            let before = inventory::state_of(session, &cache)?;
            let (blobs, bytes) = (before.blobs - removed, before.bytes - waste);
            return Ok(CacheReport { bytes, blobs, removed, removed_bytes: waste, ..before });
        }
        let patience = self.deadline.saturating_duration_since(Instant::now());
        let lock = CacheLock::acquire_within(cache.root(), patience);
        let lock = lock.map_err(|source| {
            let (cache, what) = (cache.name().to_owned(), "lock");
            CacheError::Io { cache, what, source }
        })?;
        if lock.is_none() {
            session.warn(&format!("another job uses cache `{}`: pruning is left to a later run", cache.name()));
            return inventory::state_of(session, &cache);
        }
        self.remove(&cache, &policy)
    }

    /// Decide again under the lock, since another job may have added or used something meanwhile, and act. When it is asked to
    /// stop, the records are corrected for what is gone by then.
    fn remove(&self, cache: &Cache, policy: &Policy) -> Result<CacheReport, RunError> {
        let session = self.session;
        let (records, _) = cache.records()?;
        let contents = cache.contents()?;
        let removals = choose(&contents.blobs, &records, policy, &self.used, session.now);
        let mut removed = HashSet::new();
        let mut removed_bytes = 0;
        for removal in &removals {
            if session.go_on().is_err() {
                break;
            }
            cache.remove(removal.blob.digest)?;
            removed.insert(removal.blob.digest);
            removed_bytes += removal.blob.bytes;
        }
        let kept: HashSet<Sha256Digest> =
            contents.blobs.iter().map(|blob| blob.digest).filter(|digest| !removed.contains(digest)).collect();
        let changes = RecordChanges {
            uses: Vec::new(),
            gone: records.digests().filter(|digest| !kept.contains(digest)).collect(),
            now: session.now,
            refresh_after: Duration::MAX,
        };
        let recorded = cache.update_records(&changes, &self.staging(cache))?;
        session.go_on()?;
        let state = inventory::state_of(session, cache)?;
        warn_of_bound(session, cache, policy, state.bytes);
        Ok(CacheReport {
            removed: removed.len() as u64,
            removed_bytes,
            changed: recorded || !removed.is_empty(),
            ..state
        })
    }

    /// The job folder's, or, where no job ran here, a folder beside the cache.
    fn staging(&self, cache: &Cache) -> PathBuf {
        let partial = self.folder.partial();
        if partial.is_dir() { partial } else { cache.root().parent().map(Path::to_owned).unwrap_or_default() }
    }
}

fn warn_of_bound(session: &Session<'_>, cache: &Cache, policy: &Policy, bytes: u64) {
    if let Some(max_bytes) = policy.max_bytes.filter(|max_bytes| bytes > *max_bytes) {
        session.warn(&format!(
            "cache `{}` is larger than its max-size of {}: this job needs all of what is left",
            cache.name(),
            bytesize::ByteSize(max_bytes).display().iec()
        ));
    }
}
