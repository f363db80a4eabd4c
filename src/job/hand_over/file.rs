//! A file of Spack's that names the job mirror for a while.
//!
//! What it was before is noted in the job folder first, so that a run that is killed at any moment can be undone by the next one. A
//! file that was not touched gets back its bytes and its modification time, which `make` looks at; from one that was changed,
//! only larder's mirrors are taken out. A note is no order to write: its text is put back only where the file holds that text and
//! larder's own mirrors, so a note that a restored archive planted can at most remove a mirror of larder's.

use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::edit::{EmptyKey, Section, Text};
use super::error::{HandOverError, place_of};
use crate::fs::{Exclusion, Lock, is_missing, named};
use crate::job::scope::JobMirror;
use crate::yaml::Problem;

/// More than any configuration has.
const LIMIT: u64 = 4 << 20;

/// A file that names the job mirror until this is undone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Change {
    /// The file itself, not a link to it.
    pub(super) path: PathBuf,
    section: Section,
    /// What it held; `None` where it was not there.
    before: Option<String>,
    /// When it was changed last, as the time since 1970; larder leaves it so.
    modified: Duration,
    pub(super) mirrors: Vec<JobMirror>,
}

/// What undoing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// The file is what it was.
    Restored,
    /// It was changed meanwhile: only larder's mirrors were taken out.
    TakenOut,
    /// Nothing of larder's was in it any more.
    Nothing,
}

impl Change {
    /// What is to be done to a file, so that it can be noted before it is done.
    pub(super) fn planned(
        path: &Path,
        section: Section,
        mirrors: &[JobMirror],
    ) -> Result<(Self, String), HandOverError> {
        let path = crate::fs::without_links(path);
        let found = read(&path)?;
        let (text, modified) = found.clone().unwrap_or_default();
        let text = Text { written: &text, file: &path, section };
        let (others, stale): (Vec<_>, Vec<_>) = text.job_mirrors().into_iter().partition(|mirror| {
            let folder = mirror.job_folder();
            folder != mirrors.first().and_then(JobMirror::job_folder) && folder.is_some_and(|folder| folder.exists())
        });
        if let Some(JobMirror { name, url, .. }) = others.into_iter().next() {
            return Err(HandOverError::OtherJob { path, name, url });
        }
        let not_edited =
            |source: Problem| HandOverError::NotEdited { path: path.clone(), place: place_of(&source), source };
        // Of a job whose note or folder is gone: that must not become what the file was before.
        let clean = text.without(&stale, EmptyKey::Goes).map_err(not_edited)?;
        let text = Text { written: clean.as_deref().unwrap_or(text.written), ..text };
        let edited = text.with(mirrors).map_err(not_edited)?;
        let made_by_larder = !stale.is_empty() && section == Section::Scope && text.written.trim().is_empty();
        let before = (found.is_some() && !made_by_larder).then(|| text.written.to_owned());
        Ok((Self { path: path.clone(), section, before, modified, mirrors: mirrors.to_owned() }, edited))
    }

    /// Do it, under the lock under which it was planned.
    pub(super) fn make(&self, edited: &str) -> Result<(), HandOverError> {
        replace(&self.path, edited, self.modified).map_err(self.failed("write"))
    }

    /// Put the file back, or take larder's mirrors out of it.
    pub(super) fn undo(&self) -> Result<Undone, HandOverError> {
        let _lock = lock(&self.path);
        let Some((now, modified)) = read(&self.path)? else { return Ok(Undone::Nothing) };
        let text = |text| Text { written: text, file: &self.path, section: self.section };
        let before = self.before.as_deref().unwrap_or_default();
        if text(before).with(&self.mirrors).is_ok_and(|edited| edited == now) {
            match &self.before {
                Some(before) => replace(&self.path, before, modified).map_err(self.failed("write"))?,
                None => fs::remove_file(&self.path).map_err(self.failed("remove"))?,
            }
            return Ok(Undone::Restored);
        }
        let key = if text(before).has_key() { EmptyKey::Stays } else { EmptyKey::Goes };
        let without = text(&now).without(&self.mirrors, key).map_err(|source| HandOverError::NotUndone {
            path: self.path.clone(),
            place: place_of(&source),
            source,
        })?;
        match without {
            Some(without) => {
                replace(&self.path, &without, modified).map_err(self.failed("write"))?;
                Ok(Undone::TakenOut)
            }
            None => Ok(Undone::Nothing),
        }
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> HandOverError + '_ {
        move |source| HandOverError::Io { path: self.path.clone(), what, source }
    }
}

/// The text of a file, and its modification time; `None` where there is none.
fn read(path: &Path) -> Result<Option<(String, Duration)>, HandOverError> {
    let failed = |source| HandOverError::Io { path: path.to_owned(), what: "read", source };
    let Some(bytes) = crate::fs::read_capped(path, LIMIT).map_err(failed)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| failed(io::Error::other("it is not UTF-8 text")))?;
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).map_err(failed)?;
    Ok(Some((text, modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())))
}

/// Other jobs that change files in this folder wait. Where folders can't be locked, as on some network file systems, none does.
pub(super) fn lock(path: &Path) -> Option<Lock> {
    let folder = fs::File::open(path.parent()?).ok()?;
    let mut attempts = 200;
    let patience = || {
        attempts -= 1;
        attempts > 0
    };
    Lock::of(folder.into_file(), Exclusion::Exclusive, patience).ok().flatten()
}

/// Write a file whole, with the owner and the mode that it had, and this modification time.
fn replace(path: &Path, text: &str, modified: Duration) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".larder-").tempfile_in(folder).map_err(named(folder))?;
    file.write_all(text.as_bytes()).map_err(named(path))?;
    let mode = match fs::symlink_metadata(path) {
        Ok(meta) => {
            // Root in a container works on another user's checkout; others may give nothing away.
            let _ = std::os::unix::fs::fchown(file.as_file(), Some(meta.uid()), Some(meta.gid()));
            meta.permissions()
        }
        Err(error) if is_missing(&error) => std::fs::Permissions::from_mode(crate::fs::PUBLISHED_MODE),
        Err(error) => return Err(error),
    };
    file.as_file().set_permissions(mode).map_err(named(path))?;
    let modified = if modified.is_zero() { SystemTime::now() } else { SystemTime::UNIX_EPOCH + modified };
    file.as_file().set_modified(modified).map_err(named(path))?;
    file.as_file().sync_all().map_err(named(path))?;
    crate::fs::publish(file.into_temp_path(), path)
}
