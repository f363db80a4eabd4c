//! `larder finish`: after the job.
//!
//! Safe to run without a preceding `prepare`, after a failed job, and after being killed half-way: blobs are removed first
//! and the records corrected then, so the worst that is left is a record without a blob, which the next run removes.
//!
//! GitLab gives `after_script` five minutes. Nothing here grows with the bytes of a cache, only with the number of its files,
//! all waiting for other jobs together is bounded by [`PATIENCE`], and all pushing (into remote caches, and by Spack into the
//! folder of what this job built) by [`PATIENCE_WITH_PUSHES`].

use std::time::{Duration, Instant};

use super::collect::{self, CollectOptions};
use super::error::CommandError;
use crate::job::{JobFolder, State, hand_over};
use crate::pipeline::prune::Pruning;
use crate::pipeline::remote::RemoteCaches;
use crate::pipeline::uploads::Note;
use crate::pipeline::{Mode, RunError, Session, stores, uploads};
use crate::report::{CacheReport, Report};
use crate::runner::metrics;
use crate::store::{Cache, StoreError};

/// How long to wait for other jobs that use a cache, for all caches together. Pruning can wait for the next pipeline;
/// `after_script` can not.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long all pushing together may take. With the waiting and the pruning it stays below the five minutes of `after_script`.
const PATIENCE_WITH_PUSHES: Duration = Duration::from_secs(200);

/// Prune each cache by its `keep:` policy, and say whether the runner will upload it.
/// With `collect`, what this job built is collected before.
pub async fn finish(
    session: &Session<'_>,
    collect: Option<&CollectOptions>,
    mode: Mode,
) -> Result<Report, CommandError> {
    let folder = JobFolder::of(&session.config.root);
    if mode == Mode::Act {
        take_back(session, &folder);
    }
    // Where what the job used is not known, nothing may be removed.
    let state = State::read(&folder)?;
    let used = state.as_ref().map(State::used).unwrap_or_default();
    let pushes_end = Instant::now() + PATIENCE_WITH_PUSHES;
    let pushed = match state.clone() {
        Some(state) if mode == Mode::Act && !session.config.remote_caches.is_empty() => {
            // What is built on this machine can be had nowhere else: it gets its share.
            let patience = if collect.is_some() { PATIENCE_WITH_PUSHES / 2 } else { PATIENCE_WITH_PUSHES };
            push(session, &folder, state, patience).await?
        }
        _ => RemoteCaches::new(session, None).reports().collect(),
    };
    let prepared = state.and_then(|state| state.prepared);
    uploads::tell_job_status(session);
    let restored = uploads::note(session, &folder, Note::OfAnEarlierCommand, mode)?;
    if let Some(options) = collect {
        let patience = options.patience.unwrap_or_else(|| pushes_end.saturating_duration_since(Instant::now()));
        collect_built(session, &CollectOptions { patience: Some(patience), ..options.clone() }, mode).await?;
    }
    let deadline = Instant::now() + PATIENCE;
    let pruning = Pruning { session, job: folder, used, restored, mode, deadline };
    let mut report = Report::new("finish");
    let mut stores = Vec::new();
    for (title, opened) in stores::folders(session) {
        session.stop_if_asked()?;
        match opened {
            Ok(store) => {
                let mut cache = pruning.prune(&store).await?;
                uploads::describe(session, &store, &pruning.restored, &mut cache)?;
                report.caches.push(cache);
                stores.push(store);
            }
            // One folder that is not larder's does not keep the others from being pruned.
            Err(error @ (StoreError::Foreign { .. } | StoreError::NotAFolder { .. })) => {
                session.warn(&format!("{title} is left alone: {error}"));
            }
            Err(error) => return Err(RunError::from(error).into()),
        }
    }
    session.stop_if_asked()?;
    for (store, cache) in stores.iter().zip(&mut report.caches) {
        uploads::settle(session, &pruning.job, store, &pruning.restored, cache, mode)?;
    }
    report.caches.extend(pushed);
    let report = session.conclude(report);
    if mode == Mode::Act && pruning.job.root().is_dir() {
        pruning.job.write_report(&report)?;
        metrics::write(&pruning.job, prepared.as_ref(), Some(&report))?;
    }
    Ok(report)
}

/// Spack is not to see the job mirror any longer. Whatever keeps it from that, the caches are pruned all the same.
fn take_back(session: &Session<'_>, folder: &JobFolder) {
    match hand_over::undo(folder) {
        Ok(remarks) => remarks.iter().for_each(|remark| session.warn(remark)),
        Err(error) => session.warn(&with_causes(&error)),
    }
}

/// An error that does not end the command, on one line.
fn with_causes(error: &dyn miette::Diagnostic) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let hint = error.help().or_else(|| error.diagnostic_source()?.help());
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{error}{cause}{hint}")
}

/// Have Spack push what this job built. Whatever keeps it from that, the caches are pruned all the same.
async fn collect_built(session: &Session<'_>, options: &CollectOptions, mode: Mode) -> Result<(), CommandError> {
    match collect::push(session, options, mode).await {
        Ok(()) => Ok(()),
        Err(
            error @ (CommandError::Run(RunError::Interrupted { .. })
            | CommandError::NoBuiltFolder
            | CommandError::NoSigningKey { .. }),
        ) => Err(error),
        Err(error) => {
            session.warn(&with_causes(&error));
            Ok(())
        }
    }
}

/// Add to the remote caches what this job fetched, before anything is pruned. What is done is taken out of the state: a second
/// `finish` has nothing left to do.
async fn push(
    session: &Session<'_>,
    folder: &JobFolder,
    mut state: State,
    patience: Duration,
) -> Result<Vec<CacheReport>, CommandError> {
    let remotes = RemoteCaches::new(session, None);
    // What can't be opened is told when its turn comes to be pruned.
    let caches: Vec<Cache> =
        session.config.caches.iter().filter_map(|entry| stores::open_cache(session, entry).ok()).collect();
    let pushed = remotes.push(&mut state.remotes, &caches, Some(patience)).await;
    state.write(folder)?;
    pushed?;
    Ok(remotes.reports().collect())
}
