//! Whether the runner will upload the caches, and what there is to warn of before it does.
//!
//! What the runner does is in [`crate::runner::forecast`]; here is what GitLab's variables, and those of the template, say to it.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::config::Kept;
use crate::job::JobFolder;
use crate::pipeline::aside;
use crate::pipeline::error::RunError;
use crate::pipeline::{Mode, Session};
use crate::report::{CacheReport, UploadReason, Uploads};
use crate::runner::forecast::{
    ArchiveStore, CachePolicy, Circumstances, FolderNow, Outcome, Runner, SaveWhen, Start, forecast,
};
use crate::runner::upload_rule::{self, Contents, Origin, Restored, TreeEntry, Verdict};
use crate::runner::{RestoredCaches, is_in_the_future};
use crate::store::{Cache, Store, StoreError};
use crate::types::{UploadCause, UploadRule, Variables};

/// What the job is told of the caches of GitLab that a folder belongs to, which GitLab tells no job: names of variables.
struct Told {
    policy: &'static str,
    when: &'static str,
}

/// Set by the CI template for the job's caches.
const CACHES: Told = Told { policy: "LARDER_CACHE_POLICY", when: "LARDER_CACHE_WHEN" };

/// The same for the folder of what the branch built, which other jobs save than the caches.
const COLLECT: Told = Told { policy: "LARDER_COLLECT_POLICY", when: "LARDER_COLLECT_WHEN" };

/// The keys of all of them: `NAME=KEY`, or `PATH=KEY`, with `;` or line breaks between.
const KEYS: &str = "LARDER_CACHE_KEYS";

/// Where the runner keeps archives.
const STORE: &str = "LARDER_CACHE_STORE";

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
    let mut note = earlier.clone().unwrap_or_else(|| {
        let mut note = RestoredCaches::begin(&session.variables, session.now);
        note.survived = RestoredCaches::read(folder).is_some_and(|note| note.is_of_another_job(&session.variables));
        note
    });
    let config = &session.config;
    let caches = config.caches.iter().map(|entry| (entry.name.as_str(), &entry.path));
    // No cache has the name of what the branch built.
    for (name, path) in caches.chain(config.collect.iter().map(|entry| (entry.name.as_str(), &entry.path))) {
        if !note.caches.contains_key(name) {
            let tree = walk(name, path)?;
            note.future |= tree.iter().any(|entry| is_in_the_future(entry.modified, session.now));
            let origin = if note.survived { Origin::Unknown } else { upload_rule::origin(path, note.started) };
            let key = Cache::key_at(path);
            let restored = Restored { origin, key, ..upload_rule::restored(&tree, note.started) };
            note.caches.insert(name.to_owned(), restored);
        }
    }
    if mode == Mode::Act && folder.root().is_dir() && earlier.as_ref() != Some(&note) {
        note.write(folder)?;
    }
    Ok(note)
}

/// What became of a folder until now.
fn judge(store: &Store<'_>, restored: &RestoredCaches) -> Result<Option<Verdict>, RunError> {
    let Some(place) = Place::of(store) else { return Ok(None) };
    let before = restored.caches.get(place.name).cloned().unwrap_or_default();
    Ok(Some(upload_rule::judge(&walk(place.name, place.path)?, &before, place.contents)))
}

/// Whether a folder is as it was restored, or never saved: then to change it would cost something.
pub(crate) fn is_as_restored(
    session: &Session<'_>,
    store: &Store<'_>,
    restored: &RestoredCaches,
) -> Result<bool, RunError> {
    let is_changed = judge(store, restored)?.is_some_and(|verdict| verdict.folder == FolderNow::Changed);
    Ok(!is_changed || policy(&session.variables, store) == CachePolicy::Restores)
}

/// Say in a report what the runner will do. What the report says of removals counts, done or only planned.
pub(crate) fn describe(
    session: &Session<'_>,
    store: &Store<'_>,
    restored: &RestoredCaches,
    report: &mut CacheReport,
) -> Result<(), RunError> {
    // The runner never sees an object store, nor a folder that is not kept.
    if matches!(store, Store::Cache(_, entry) if entry.kept == Kept::No) {
        return Ok(());
    }
    let Some(mut verdict) = judge(store, restored)? else { return Ok(()) };
    if report.removed > 0 {
        // The folders only show that something went: how much is known here, and where nothing was done yet, all of it.
        verdict.reasons.retain(|reason| !matches!(reason.cause, UploadCause::RemovedBlobs | UploadCause::Touched));
        let (entries, bytes) = (report.removed, report.removed_bytes);
        verdict.reasons.push(UploadReason { cause: UploadCause::RemovedBlobs, entries, bytes, example: None });
        if verdict.folder == FolderNow::Unchanged {
            verdict.folder = FolderNow::Changed;
        }
    }
    let (uploads, rule) = forecast(circumstances(session, store, restored, verdict.folder));
    warn_of_size(session, report, uploads);
    warn_of_parallel_jobs(session, report, uploads, &verdict);
    report.uploads = Some(uploads);
    report.upload_rule = Some(rule);
    report.upload_reasons = verdict.reasons;
    Ok(())
}

/// The last step of a job: leave a folder so that the next job need not save it again. What changed gets whole seconds and its
/// key; what did not is moved aside, if that is wanted and does no harm.
pub(crate) fn settle(
    session: &Session<'_>,
    job: &JobFolder,
    store: &Store<'_>,
    restored: &RestoredCaches,
    report: &mut CacheReport,
    mode: Mode,
) -> Result<(), RunError> {
    let (Some(place), Some(rule)) = (Place::of(store), report.upload_rule) else { return Ok(()) };
    let Some(before) = restored.caches.get(place.name) else { return Ok(()) };
    match report.uploads {
        Some(Uploads::No) if matches!(rule, UploadRule::OnlyRestored | UploadRule::OtherOutcome) => {}
        Some(_) if report.upload_reasons.is_empty() && rule != UploadRule::FirstTime => {
            let is_certain = before.origin == Origin::Archive && !restored.future;
            if aside::is_wanted(session, place.path, is_certain) && aside::put(session, job, store, mode)? {
                (report.uploads, report.upload_rule) = (Some(Uploads::No), Some(UploadRule::SetAside));
            }
        }
        _ if mode == Mode::Act => {
            if let (Store::Cache(cache, _), Some(key)) = (store, key_of(&session.variables, store)) {
                cache.change_records(&staging(job, cache), |records| records.saved_as(key))?;
            }
            // All that is lost by a time that can't be changed, because the file is another user's, is one upload.
            let _ = upload_rule::cut_times(place.path, before, restored.started, place.contents);
        }
        _ => {}
    }
    Ok(())
}

/// The job folder's, or, where no job ran here, a folder beside the cache.
pub(crate) fn staging(job: &JobFolder, cache: &Cache) -> PathBuf {
    let partial = job.partial();
    if partial.is_dir() { partial } else { cache.root().parent().map(Path::to_owned).unwrap_or_default() }
}

/// A folder that GitLab may cache.
struct Place<'a> {
    name: &'a str,
    path: &'a Path,
    contents: Contents,
}

impl<'a> Place<'a> {
    /// `None` for an object store, which the runner never sees.
    fn of(store: &'a Store<'_>) -> Option<Self> {
        match store {
            Store::Cache(cache, _) => Some(Self { name: cache.name(), path: cache.root(), contents: Contents::Blobs }),
            Store::Built(built, _) => Some(Self { name: built.name(), path: built.root(), contents: Contents::Mirror }),
            Store::Remote(_) => None,
        }
    }
}

fn told(store: &Store<'_>) -> &'static Told {
    if matches!(store, Store::Built(..)) { &COLLECT } else { &CACHES }
}

fn policy(variables: &Variables, store: &Store<'_>) -> CachePolicy {
    match variables.get(told(store).policy) {
        Some("pull") => CachePolicy::Restores,
        _ => CachePolicy::Saves,
    }
}

/// The key of the cache that a folder belongs to, where the job was told.
fn key_of<'a>(variables: &'a Variables, store: &Store<'_>) -> Option<&'a str> {
    let place = Place::of(store)?;
    let mut pairs = variables.set(KEYS)?.split([';', '\n']).filter_map(|pair| pair.split_once('='));
    let is_meant = |named: &str| named == place.name || place.path.ends_with(named.trim_start_matches("./"));
    let key = pairs.find(|(named, _)| is_meant(named.trim().trim_end_matches('/')))?.1.trim();
    Some(key).filter(|key| !key.is_empty())
}

/// All that decides over a folder, as far as it is known here.
fn circumstances(
    session: &Session<'_>,
    store: &Store<'_>,
    restored: &RestoredCaches,
    folder: FolderNow,
) -> Circumstances {
    let variables = &session.variables;
    let before = Place::of(store).and_then(|place| restored.caches.get(place.name));
    let start = match before {
        None | Some(Restored { newest: None, .. }) => Start::Nothing,
        Some(Restored { origin: Origin::Unknown, .. }) => Start::Survived,
        Some(Restored { key, .. }) => match (key.as_deref(), key_of(variables, store)) {
            (Some(saved), Some(own)) if saved == own => Start::OwnKey,
            (Some(_), Some(_)) => Start::OtherKey,
            _ => Start::UnknownKey,
        },
    };
    Circumstances {
        runner: Runner::of(variables),
        store: variables.set(STORE).and_then(ArchiveStore::parse).unwrap_or(ArchiveStore::Unknown),
        start,
        folder,
        outcome: Outcome::of(variables),
        when: variables.set(told(store).when).and_then(SaveWhen::parse),
        policy: policy(variables, store),
        clocks: restored.clocks(),
    }
}

/// What GitLab says of the job, where it is not plain success.
pub(crate) fn tell_job_status(session: &Session<'_>) {
    let what = match Outcome::of(&session.variables) {
        Outcome::Failed => "the job failed",
        Outcome::Canceled => "the job was cancelled",
        Outcome::TimedOut => "the script took longer than it may",
        Outcome::Success | Outcome::Running => return,
    };
    let saves = match session.variables.set(CACHES.when).and_then(SaveWhen::parse) {
        Some(SaveWhen::Always | SaveWhen::OnFailure) => "and the runner saves it",
        Some(SaveWhen::OnSuccess) => {
            "but the runner does not save it (`when: on_success`): `when: always` in the job's `cache:` would"
        }
        None => "and the runner saves it where the job's `cache:` says `when: always`",
    };
    session.inform(&format!("{what}; each cache is kept all the same, {saves}"));
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
        return;
    }
    if report.bytes > limit.as_u64() {
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
fn warn_of_parallel_jobs(session: &Session<'_>, report: &CacheReport, uploads: Uploads, verdict: &Verdict) {
    let number = |name| session.variables.get(name).and_then(|text| text.parse::<u32>().ok());
    let jobs = number("CI_NODE_TOTAL").unwrap_or(1);
    if jobs > 1 && uploads != Uploads::No && verdict.new_blobs() > 0 {
        session.warn(&format!(
            "this is one of {jobs} parallel jobs (`CI_NODE_TOTAL`), and each that adds to cache `{}` saves it as a whole: the \
             last one wins, and what the others added is lost. Let one job save it (`policy: pull-push`), such as a warm-up \
             job before these, and these only restore it (`policy: pull`)",
            report.name
        ));
    }
}
