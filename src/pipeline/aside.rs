//! Unchanged folders out of the runner's sight.
//!
//! A runner since 18.11 sends even an archive that is up to date again, unless its store answers that it has it, and some
//! stores never answer. A start from a fallback key, and times that an archive rounded, have the same effect. A folder that is not in
//! its place has none of that: `No files to cache.`, and nothing is sent, on every runner and store. So at the end of a job an
//! unchanged folder is renamed to `.larder/job/aside/NAME`, and whatever opens it later in the job first brings it back.
//!
//! Nothing is lost by it. What is aside came out of an archive, and the next job has that again; and where the project folder
//! outlives the job, and no archive brought the folder, the next larder finds it aside.
//!
//! A folder that other jobs may use at this moment never moves: one outside the project, on another file system, or locked.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fs_err as fs;

use super::error::RunError;
use super::session::{Mode, Session};
use crate::config::SetAside;
use crate::fs::{Folder, Kind, kind};
use crate::job::JobFolder;
use crate::runner::RestoredCaches;
use crate::runner::forecast::Outcome;
use crate::store::{Store, StoreError};

/// Whether an unchanged folder is to go aside. `is_certain`: it came out of an archive in this job, and times can be compared, so
/// that "unchanged" is true and the archive is there.
pub(super) fn is_wanted(session: &Session<'_>, path: &Path, is_certain: bool) -> bool {
    let is_inside = path.strip_prefix(&session.config.root).is_ok_and(|below| below != Path::new(""));
    let has_ended = Outcome::of(&session.variables) != Outcome::Running;
    is_inside
        && match session.config.set_aside {
            // While the script runs, what comes after larder may still use the job mirror, whose links lead into the folder.
            SetAside::Auto => session.variables.set("CI_JOB_ID").is_some() && has_ended && is_certain,
            SetAside::Always => true,
            SetAside::Never => false,
        }
}

/// Move a folder aside, or find out whether that could be done. `false` where it can't.
pub(super) fn put(session: &Session<'_>, job: &JobFolder, store: &Store<'_>, mode: Mode) -> Result<bool, RunError> {
    let (name, path) = match store {
        Store::Cache(cache, _) => (cache.name(), cache.root()),
        Store::Built(built, _) => (built.name(), built.root()),
        Store::Remote(_) => return Ok(false),
    };
    let _lock = match store {
        Store::Cache(cache, _) => match cache.lock_until(Instant::now())? {
            Some(lock) => Some(lock),
            // Another job uses it at this moment.
            None => return Ok(false),
        },
        Store::Built(..) | Store::Remote(_) => None,
    };
    let Some(aside) = place(job, name) else { return Ok(false) };
    let put = || -> io::Result<bool> {
        if kind(path)? != Kind::Folder || kind(&aside)? != Kind::Missing || !job.root().is_dir() {
            return Ok(false);
        }
        if fs::metadata(path)?.dev() != fs::metadata(job.root())?.dev() {
            return Ok(false);
        }
        if mode == Mode::Act {
            fs::create_dir_all(aside.parent().unwrap_or(&aside))?;
            rename(path, &aside)?;
        }
        Ok(true)
    };
    // A mount point, or a folder whose parent is another user's: it stays, and the runner does what it does.
    Ok(put().unwrap_or_else(|error| {
        session.inform(&format!("{store} can't be moved out of the runner's sight, and stays where it is: {error}"));
        false
    }))
}

/// Put a folder that was set aside where it belongs. One that is there by now, out of a newer archive, has precedence.
pub(super) fn bring_back(session: &Session<'_>, name: &str, path: &Path) -> Result<(), StoreError> {
    let job = JobFolder::of(&session.config.root);
    let failed = |source| StoreError::Io { store: format!("cache `{name}`"), what: "bring back the folder", source };
    let Some(aside) = place(&job, name) else { return Ok(()) };
    // Nothing behind a link is brought: an archive could hold one.
    if Folder::at(&aside).first_link(&session.config.root).map_err(failed)?.is_some()
        || kind(&aside).map_err(failed)? != Kind::Folder
    {
        return Ok(());
    }
    match kind(path).map_err(failed)? {
        Kind::Missing => {
            fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
            match rename(&aside, path) {
                // Another larder in this project folder was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                moved => moved.map_err(failed),
            }
        }
        _ if RestoredCaches::read(&job).is_some_and(|note| note.is_of_another_job(&session.variables)) => {
            fs::remove_dir_all(&aside).map_err(failed)
        }
        _ => {
            session.warn(&format!(
                "both `{}` and `{}` are there, where larder had moved it to; the first is used: remove the second, or move \
                 it to the place of the first",
                path.display(),
                aside.display()
            ));
            Ok(())
        }
    }
}

/// Where a folder goes. The name of a mirror may be any text.
fn place(job: &JobFolder, name: &str) -> Option<PathBuf> {
    let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    is_plain.then(|| job.root().join("aside").join(name))
}

/// Rename, and leave the folder's own time as it is: some file systems change it, and the runner would see that.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let modified = fs::metadata(from)?.modified()?;
    fs::rename(from, to)?;
    if fs::metadata(to)?.modified()? == modified {
        return Ok(());
    }
    fs::File::open(to)?.into_parts().0.set_modified(modified)
}
