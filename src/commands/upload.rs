//! Whether the runner will upload the caches, and what there is to warn of before it does.
//!
//! The rule itself is in [`crate::cache::upload`]; here is what GitLab's variables add to it.

use bytesize::ByteSize;

use super::{CommandError, Mode, Session};
use crate::cache::CacheError;
use crate::cache::upload::{self, Restored, TreeEntry, Verdict};
use crate::config::CacheEntry;
use crate::job::{JobFolder, RestoredCaches};
use crate::report::{CacheReport, UploadCause, UploadReason, Uploads};

/// Set by the CI template to the `policy` of the job's caches, which GitLab tells no job.
const POLICY: &str = "LARDER_CACHE_POLICY";

/// Which note of an earlier command is good enough.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Note {
    /// One that this very CI job took: for commands that begin a job.
    OfThisJob,
    /// Any but another CI job's: for `finish`.
    OfWhoeverBegan,
}

/// Note what the caches are like, before anything in them changes. What this job noted before stays.
pub(super) fn note(
    session: &Session<'_>,
    folder: &JobFolder,
    which: Note,
    mode: Mode,
) -> Result<RestoredCaches, CommandError> {
    let earlier = RestoredCaches::read(folder).filter(|earlier| match which {
        Note::OfThisJob => earlier.is_of_this_job(&session.variables),
        Note::OfWhoeverBegan => !earlier.is_of_another_job(&session.variables),
    });
    let mut note = earlier.clone().unwrap_or_else(|| RestoredCaches::begin(&session.variables, session.now));
    for entry in &session.config.caches {
        if !note.caches.contains_key(entry.name.as_str()) {
            let restored = upload::restored(&walk(entry)?, note.started);
            note.caches.insert(entry.name.to_string(), restored);
        }
    }
    if mode == Mode::Act && folder.root().is_dir() && earlier.as_ref() != Some(&note) {
        note.write(folder)?;
    }
    Ok(note)
}

/// What the runner would do with the cache as it is now.
pub(super) fn judge(session: &Session<'_>, entry: &CacheEntry, note: &RestoredCaches) -> Result<Verdict, CommandError> {
    let restored = note.caches.get(entry.name.as_str()).copied().unwrap_or(Restored { newest: None });
    let mut verdict = upload::judge(&walk(entry)?, restored);
    if only_restores(session) {
        verdict.uploads = Uploads::No;
    }
    Ok(verdict)
}

/// Say in a report what the runner will do. What the report says of removals counts, done or only planned.
pub(super) fn describe(
    session: &Session<'_>,
    entry: &CacheEntry,
    note: &RestoredCaches,
    report: &mut CacheReport,
) -> Result<(), CommandError> {
    let mut verdict = judge(session, entry, note)?;
    if report.removed > 0 {
        // The folders only show that something went: how much is known here, and where nothing was done yet, all of it.
        verdict.reasons.retain(|reason| reason.cause != UploadCause::RemovedBlobs);
        let (entries, bytes) = (report.removed, report.removed_bytes);
        verdict.reasons.push(UploadReason { cause: UploadCause::RemovedBlobs, entries, bytes, example: None });
        if verdict.uploads == Uploads::No && !only_restores(session) {
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
pub(super) fn tell_job_status(session: &Session<'_>) {
    let what = match session.variables.get("CI_JOB_STATUS") {
        Some("failed") => "the job failed",
        Some("canceled") => "the job was cancelled",
        _ => return,
    };
    session.inform(&format!(
        "{what}; each cache is kept all the same, and the runner saves it where the job's `cache:` says `when: always`"
    ));
}

/// Whether the job's caches are never uploaded, whatever changes in them.
fn only_restores(session: &Session<'_>) -> bool {
    session.variables.get(POLICY) == Some("pull")
}

fn walk(entry: &CacheEntry) -> Result<Vec<TreeEntry>, CommandError> {
    upload::walk(&entry.path).map_err(|source| {
        let (cache, what) = (entry.name.to_string(), "look at the modification times");
        CacheError::Io { cache, what, source }.into()
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
