//! Whether the runner will upload the caches, and what there is to warn of before it does.
//!
//! The rule itself is in [`crate::runner::upload_rule`]; here is what GitLab's variables add to it.

use std::path::Path;

use bytesize::ByteSize;

use crate::config::{BuiltEntry, CacheEntry};
use crate::job::JobFolder;
use crate::pipeline::error::RunError;
use crate::pipeline::{Mode, Session};
use crate::report::{CacheReport, UploadReason, Uploads};
use crate::runner::RestoredCaches;
use crate::runner::upload_rule::{self, Contents, Restored, TreeEntry, Verdict};
use crate::store::CacheError;
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
    OfWhoeverBegan,
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
        Note::OfWhoeverBegan => !earlier.is_of_another_job(&session.variables),
    });
    let mut note = earlier.clone().unwrap_or_else(|| RestoredCaches::begin(&session.variables, session.now));
    for entry in &session.config.caches {
        if !note.caches.contains_key(entry.name.as_str()) {
            let restored = upload_rule::restored(&walk(entry.name.as_str(), &entry.path)?, note.started);
            note.caches.insert(entry.name.to_string(), restored);
        }
    }
    // No cache has its name.
    if let Some(entry) = &session.config.collect
        && !note.caches.contains_key(&entry.name)
    {
        let restored = upload_rule::restored(&walk(&entry.name, &entry.path)?, note.started);
        note.caches.insert(entry.name.clone(), restored);
    }
    if mode == Mode::Act && folder.root().is_dir() && earlier.as_ref() != Some(&note) {
        note.write(folder)?;
    }
    Ok(note)
}

/// What the runner would do with the cache as it is now.
pub(crate) fn judge(session: &Session<'_>, entry: &CacheEntry, note: &RestoredCaches) -> Result<Verdict, RunError> {
    let name = entry.name.as_str();
    verdict(session, Subject { name, path: &entry.path, policy: POLICY, contents: Contents::Blobs }, note)
}

/// What the runner would do with the folder of what the branch built.
pub(crate) fn judge_collected(
    session: &Session<'_>,
    entry: &BuiltEntry,
    note: &RestoredCaches,
) -> Result<Verdict, RunError> {
    verdict(session, Subject::collected(entry), note)
}

/// A folder that GitLab caches.
#[derive(Clone, Copy)]
struct Subject<'a> {
    name: &'a str,
    path: &'a Path,
    /// The variable with its policy.
    policy: &'static str,
    contents: Contents,
}

impl<'a> Subject<'a> {
    fn collected(entry: &'a BuiltEntry) -> Self {
        Self { name: &entry.name, path: &entry.path, policy: COLLECT_POLICY, contents: Contents::Mirror }
    }
}

fn verdict(session: &Session<'_>, subject: Subject<'_>, note: &RestoredCaches) -> Result<Verdict, RunError> {
    let restored = note.caches.get(subject.name).copied().unwrap_or(Restored { newest: None });
    let mut verdict = upload_rule::judge(&walk(subject.name, subject.path)?, restored, subject.contents);
    if only_restores(session, subject.policy) {
        verdict.uploads = Uploads::No;
    }
    Ok(verdict)
}

/// Say in a report what the runner will do. What the report says of removals counts, done or only planned.
pub(crate) fn describe(
    session: &Session<'_>,
    entry: &CacheEntry,
    note: &RestoredCaches,
    report: &mut CacheReport,
) -> Result<(), RunError> {
    describe_verdict(session, judge(session, entry, note)?, POLICY, report);
    Ok(())
}

/// The same of the folder of what the branch built.
pub(crate) fn describe_collected(
    session: &Session<'_>,
    entry: &BuiltEntry,
    note: &RestoredCaches,
    report: &mut CacheReport,
) -> Result<(), RunError> {
    describe_verdict(session, judge_collected(session, entry, note)?, COLLECT_POLICY, report);
    Ok(())
}

fn describe_verdict(session: &Session<'_>, mut verdict: Verdict, policy: &str, report: &mut CacheReport) {
    if report.removed > 0 {
        // The folders only show that something went: how much is known here, and where nothing was done yet, all of it.
        verdict.reasons.retain(|reason| reason.cause != UploadCause::RemovedBlobs);
        let (entries, bytes) = (report.removed, report.removed_bytes);
        verdict.reasons.push(UploadReason { cause: UploadCause::RemovedBlobs, entries, bytes, example: None });
        if verdict.uploads == Uploads::No && !only_restores(session, policy) {
            verdict.uploads = Uploads::Yes;
        }
    }
    warn_of_size(session, report, verdict.uploads);
    warn_of_parallel_jobs(session, report, &verdict);
    report.uploads = Some(verdict.uploads);
    report.upload_reasons = verdict.reasons;
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

/// Whether the job's caches are never uploaded, whatever changes in them.
fn only_restores(session: &Session<'_>, policy: &str) -> bool {
    session.variables.get(policy) == Some("pull")
}

fn walk(name: &str, path: &Path) -> Result<Vec<TreeEntry>, RunError> {
    upload_rule::walk(path).map_err(|source| {
        let (cache, what) = (name.to_owned(), "look at the modification times");
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
