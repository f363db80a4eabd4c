//! Whether the runner will upload the caches, and what there is to warn of before it does.
//!
//! The rule itself is in [`crate::runner::upload_rule`]; here is what GitLab's variables add to it.

use std::path::Path;

use bytesize::ByteSize;

use crate::config::Kept;
use crate::job::JobFolder;
use crate::pipeline::error::RunError;
use crate::pipeline::{Mode, Session};
use crate::report::{CacheReport, UploadReason, Uploads};
use crate::runner::RestoredCaches;
use crate::runner::upload_rule::{self, Contents, Restored, TreeEntry, Verdict};
use crate::store::{Store, StoreError};
use crate::types::UploadCause;

/// Set by the CI template to the `policy` of the job's caches, which GitLab tells no job.
const POLICY: &str = "LARDER_CACHE_POLICY";

/// The same for the folder of what the branch built, which other jobs save than the caches.
const COLLECT_POLICY: &str = "LARDER_COLLECT_POLICY";

/// Which note of an earlier command is good enough.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Note {
    /// One that this very CI job took: for commands that begin a job.
    OfThisJob,
    /// Any but another CI job's: for `finish`.
    OfAnEarlierCommand,
}

/// Note what the caches are like, before anything in them changes. What this job noted before stays.
pub(crate) fn note(
    session: &Session<'_>,
    folder: &JobFolder,
    which: Note,
    mode: Mode,
) -> Result<RestoredCaches, RunError> {
    let earlier = RestoredCaches::read(folder).filter(|earlier| match which {
        Note::OfThisJob => earlier.is_of_this_job(&session.variables),
        Note::OfAnEarlierCommand => !earlier.is_of_another_job(&session.variables),
    });
    let mut note = earlier.clone().unwrap_or_else(|| RestoredCaches::begin(&session.variables, session.now));
    let config = &session.config;
    let caches = config.caches.iter().map(|entry| (entry.name.as_str(), &entry.path));
    // No cache has the name of what the branch built.
    for (name, path) in caches.chain(config.collect.iter().map(|entry| (entry.name.as_str(), &entry.path))) {
        if !note.caches.contains_key(name) {
            let restored = upload_rule::restored(&walk(name, path)?, note.started);
            note.caches.insert(name.to_owned(), restored);
        }
    }
    if mode == Mode::Act && folder.root().is_dir() && earlier.as_ref() != Some(&note) {
        note.write(folder)?;
    }
    Ok(note)
}

/// What the runner would do with a folder as it is now.
pub(crate) fn judge(session: &Session<'_>, store: &Store<'_>, restored: &RestoredCaches) -> Result<Verdict, RunError> {
    let (name, path, contents) = match store {
        Store::Cache(cache, _) => (cache.name(), cache.root(), Contents::Blobs),
        Store::Built(built, _) => (built.name(), built.root(), Contents::Mirror),
        // The runner never sees an object store.
        Store::Remote(_) => return Ok(Verdict::default()),
    };
    let before = restored.caches.get(name).copied().unwrap_or(Restored { newest: None });
    let mut verdict = upload_rule::judge(&walk(name, path)?, before, contents);
    if only_restores(session, store) {
        verdict.uploads = Uploads::No;
    }
    Ok(verdict)
}

/// Say in a report what the runner will do. What the report says of removals counts, done or only planned.
pub(crate) fn describe(
    session: &Session<'_>,
    store: &Store<'_>,
    restored: &RestoredCaches,
    report: &mut CacheReport,
) -> Result<(), RunError> {
    // The runner never sees a folder that is not kept.
    if matches!(store, Store::Remote(_)) || matches!(store, Store::Cache(_, entry) if entry.kept == Kept::No) {
        return Ok(());
    }
    let mut verdict = judge(session, store, restored)?;
    if report.removed > 0 {
        // The folders only show that something went: how much is known here, and where nothing was done yet, all of it.
        verdict.reasons.retain(|reason| reason.cause != UploadCause::RemovedBlobs);
        let (entries, bytes) = (report.removed, report.removed_bytes);
        verdict.reasons.push(UploadReason { cause: UploadCause::RemovedBlobs, entries, bytes, example: None });
        if verdict.uploads == Uploads::No && !only_restores(session, store) {
            verdict.uploads = Uploads::Yes;
        }
    }
    warn_of_size(session, report, verdict.uploads);
    warn_of_parallel_jobs(session, report, &verdict);
    report.uploads = Some(verdict.uploads);
    report.upload_reasons = verdict.reasons;
    Ok(())
}

/// What GitLab says of the job, where it is not plain success.
pub(crate) fn tell_job_status(session: &Session<'_>) {
    let what = match session.variables.get("CI_JOB_STATUS") {
        Some("failed") => "the job failed",
        Some("canceled") => "the job was cancelled",
        _ => return,
    };
    session.inform(&format!(
        "{what}; each cache is kept all the same, and the runner saves it where the job's `cache:` says `when: always`"
    ));
}

/// Whether the store is never uploaded, whatever changes in it.
fn only_restores(session: &Session<'_>, store: &Store<'_>) -> bool {
    let policy = if matches!(store, Store::Built(..)) { COLLECT_POLICY } else { POLICY };
    session.variables.get(policy) == Some("pull")
}

fn walk(name: &str, path: &Path) -> Result<Vec<TreeEntry>, RunError> {
    upload_rule::walk(path).map_err(|source| {
        let (store, what) = (format!("cache `{name}`"), "look at the modification times");
        StoreError::Io { store, what, source }.into()
    })
}

/// Blobs are compressed already, so the archive is as large as they are together.
fn warn_of_size(session: &Session<'_>, report: &CacheReport, uploads: Uploads) {
    let limit = session.config.max_archive_size;
    let shown = |bytes| ByteSize(bytes).display().si().to_string();
    let (name, size, most) = (&report.name, shown(report.bytes), shown(limit.as_u64()));
    if uploads == Uploads::No {
    } else if report.bytes > limit.as_u64() {
        session.warn(&format!(
            "the archive of cache `{name}` will have about {size}, more than {most} (`max-archive-size`): an upload that large \
             may fail, and the job would succeed all the same. A smaller `max-size`, or a second cache, keeps it below"
        ));
    } else if report.bytes > limit.as_u64() / 10 * 9 {
        session.warn(&format!(
            "the archive of cache `{name}` will have about {size}, and at {most} (`max-archive-size`) it may not be saved any \
             more: a smaller `max-size`, or a second cache, keeps it below"
        ));
    }
}

/// A cache is one archive: of jobs that save it at the same time, the last one wins.
fn warn_of_parallel_jobs(session: &Session<'_>, report: &CacheReport, verdict: &Verdict) {
    let number = |name| session.variables.get(name).and_then(|text| text.parse::<u32>().ok());
    let jobs = number("CI_NODE_TOTAL").unwrap_or(1);
    if jobs > 1 && verdict.uploads != Uploads::No && verdict.new_blobs() > 0 {
        session.warn(&format!(
            "this is one of {jobs} parallel jobs (`CI_NODE_TOTAL`), and each that adds to cache `{}` saves it as a whole: the \
             last one wins, and what the others added is lost. Let one job save it (`policy: pull-push`), such as a warm-up \
             job before these, and these only restore it (`policy: pull`)",
            report.name
        ));
    }
}
