//! What the runner will do with a cache after the job, by its own rules, as a function of what can be known in the job.
//!
//! The rules, in the order in which the runner applies them (read in its source, 19.4, and seen in jobs of 14.7 and 19.4):
//!
//! 1. `when`: a cache is saved after a job that ended well (`on_success`, the default), that did not (`on_failure`; a cancelled job
//!    and a script timeout count as well), or after any. After a job timeout nothing is saved; nothing of larder runs then.
//! 2. `policy: pull` saves nothing.
//! 3. A folder that is missing: `No files to cache.`
//! 4. Without a local `cache.zip` under the cache's own key, or with any entry that is newer than it, the archive is made and
//!    sent. A start from one of `fallback_keys` leaves its archive under that other key.
//! 5. Otherwise `Archive is up to date!`, until 18.10. Since 18.11 the archive is sent again unless a HEAD for it answers 200. Stores
//!    for which the runner has no right to ask (Azure, S3 with a role) never do. A local cache is never sent.

use crate::report::Uploads;
use crate::types::{UploadRule, Variables};

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// What runs the job.
    pub runner: Runner,
    /// Where it keeps archives.
    pub store: ArchiveStore,
    /// What the folder was like when the job began.
    pub start: Start,
    /// What the folder is like now.
    pub folder: FolderNow,
    /// How the job ended.
    pub outcome: Outcome,
    /// The cache's `when`; `None` where the job was not told.
    pub when: Option<SaveWhen>,
    /// The cache's `policy`.
    pub policy: CachePolicy,
    /// Whether times of this machine and of others can be compared.
    pub clocks: Clocks,
}

/// The runner, as far as its rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// There is none: a person's machine.
    None,
    /// One whose version is not known.
    Unknown,
    /// Until 18.10: an archive that is up to date is left alone.
    Trusting,
    /// Since 18.11: the store is asked whether it has the archive.
    Asking,
}

/// Where the runner keeps archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveStore {
    /// The job was not told.
    Unknown,
    /// On the runner's own disk.
    Local,
    /// A store that says whether it has an archive: S3 with keys, GCS.
    Answering,
    /// One that the runner may not ask: Azure, S3 with a role.
    Silent,
}

/// What the folder was like when the job began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It was not there.
    Nothing,
    /// As it came out of the archive of the cache's own key.
    OwnKey,
    /// As it came out of another key's archive.
    OtherKey,
    /// As it came out of an archive; which one, the job was not told.
    UnknownKey,
    /// It was there, and nothing shows that it came out of an archive in this job.
    Survived,
}

/// What the folder is like now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderNow {
    /// It is not there.
    Missing,
    /// Nothing in it is newer than what was restored.
    Unchanged,
    /// Something is.
    Changed,
}

/// How the job ended: `CI_JOB_STATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is still running.
    Running,
    /// All went well.
    Success,
    /// A command failed.
    Failed,
    /// It was cancelled.
    Canceled,
    /// Its script took too long.
    TimedOut,
}

/// After which jobs a cache is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveWhen {
    /// After any.
    Always,
    /// After those that ended well: what GitLab does by default.
    OnSuccess,
    /// After the others.
    OnFailure,
}

/// The directions in which a cache goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// It is saved, as far as is known.
    Saves,
    /// It is only restored.
    Restores,
}

/// Whether times of several machines can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// Nothing shows that they can't.
    Agree,
    /// Something was changed, or the job began, in the future.
    Disagree,
}

/// What the runner will do, and the rule that decides.
pub fn forecast(circumstances: Circumstances) -> (Uploads, UploadRule) {
    let Circumstances { runner, folder, outcome, when, policy, .. } = circumstances;
    if policy == CachePolicy::Restores {
        return (Uploads::No, UploadRule::OnlyRestored);
    }
    if folder == FolderNow::Missing {
        return (Uploads::No, UploadRule::NothingThere);
    }
    let lost = (Uploads::No, UploadRule::OtherOutcome);
    // On a person's machine: as in a job that ends well.
    let (when, outcome) = if runner == Runner::None { (None, Outcome::Success) } else { (when, outcome) };
    let is_saved = match (when, outcome) {
        (Some(SaveWhen::Always), _)
        | (None | Some(SaveWhen::OnSuccess), Outcome::Success)
        | (Some(SaveWhen::OnFailure), Outcome::Failed | Outcome::Canceled | Outcome::TimedOut) => Ok(()),
        (_, Outcome::Running) => Err(UploadRule::UnknownOutcome),
        (Some(SaveWhen::OnSuccess | SaveWhen::OnFailure), _) => return lost,
        (None, _) => Err(UploadRule::UnknownWhen),
    };
    match (by_archive(circumstances), is_saved) {
        (saved @ (Uploads::No, _), _) | (saved, Ok(())) => saved,
        // Whether it is saved at all comes before everything else.
        (_, Err(unknown)) => (Uploads::Unknown, unknown),
    }
}

/// The rules about the archive, for a folder that is there and a cache that is saved.
fn by_archive(circumstances: Circumstances) -> (Uploads, UploadRule) {
    let Circumstances { runner, store, start, folder, clocks, .. } = circumstances;
    match (start, folder == FolderNow::Changed) {
        (Start::Nothing, _) => (Uploads::First, UploadRule::FirstTime),
        (Start::OtherKey, false) => (Uploads::Yes, UploadRule::OtherKey),
        (Start::OwnKey | Start::UnknownKey, _) if clocks == Clocks::Disagree => {
            (Uploads::Unknown, UploadRule::UnknownTime)
        }
        // No archive of its own, or an older one: either way a new one is made.
        (_, true) => (Uploads::Yes, UploadRule::Changed),
        _ if runner == Runner::None => (Uploads::No, UploadRule::UpToDate),
        (Start::Survived, false) => (Uploads::Unknown, UploadRule::UnknownArchive),
        (Start::UnknownKey, false) => (Uploads::Unknown, UploadRule::UnknownKey),
        (Start::OwnKey, false) => match (runner, store) {
            (Runner::None | Runner::Trusting, _) | (_, ArchiveStore::Local | ArchiveStore::Answering) => {
                (Uploads::No, UploadRule::UpToDate)
            }
            (Runner::Asking, ArchiveStore::Silent) => (Uploads::Yes, UploadRule::StoreIsSilent),
            _ => (Uploads::Unknown, UploadRule::UnknownStore),
        },
    }
}

impl Runner {
    /// From `CI_RUNNER_VERSION`, such as `19.4.0` or `18.11.0~pre.12.gabcdef`.
    pub fn of(variables: &Variables) -> Self {
        if variables.set("CI_JOB_ID").is_none() {
            return Self::None;
        }
        let version = variables.set("CI_RUNNER_VERSION").unwrap_or_default().trim_start_matches('v');
        let mut parts = version.split('.').map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (18, 11) => Self::Asking,
            (Some(Ok(_)), Some(Ok(_))) => Self::Trusting,
            _ => Self::Unknown,
        }
    }
}

impl Outcome {
    /// From `CI_JOB_STATUS`. Before `after_script` it is `running`, or not set.
    pub fn of(variables: &Variables) -> Self {
        match variables.get("CI_JOB_STATUS") {
            Some("success") => Self::Success,
            Some("failed") => Self::Failed,
            Some("canceled") => Self::Canceled,
            Some("timedout") => Self::TimedOut,
            _ => Self::Running,
        }
    }
}

impl ArchiveStore {
    /// A name of the documentation.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "local" => Some(Self::Local),
            "s3" | "gcs" => Some(Self::Answering),
            "s3-role" | "azure" => Some(Self::Silent),
            _ => None,
        }
    }
}

impl SaveWhen {
    /// GitLab's own word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "always" => Some(Self::Always),
            "on_success" => Some(Self::OnSuccess),
            "on_failure" => Some(Self::OnFailure),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
