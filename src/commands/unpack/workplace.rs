//! Where blobs wait until the whole archive was found right, on the file system of their cache.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::commands::CommandError;
use crate::job::{JobFolder, JobLock};
use crate::pipeline::Session;
use crate::store::{Cache, StoreError};

/// Where blobs wait: made when the first one comes, so that an archive that is refused before leaves no trace at all.
pub(super) struct Workplace {
    folder: JobFolder,
    /// Whether this run made `.larder` and the job folder, and is to take them away again after a failure.
    made: (bool, bool),
    areas: Vec<tempfile::TempDir>,
    _lock: JobLock,
}

impl Workplace {
    /// Make the job folder, and keep other larders out of it.
    pub(super) fn enter(session: &Session<'_>) -> Result<Self, CommandError> {
        let folder = JobFolder::of(&session.config.root);
        let own = folder.root().parent().is_some_and(Path::exists);
        let made = (!own, !folder.root().exists());
        let waiting = || session.inform("waiting for another larder in this project folder");
        let lock = folder.enter(waiting)?;
        Ok(Self { folder, made, areas: Vec::new(), _lock: lock })
    }

    /// The job folder.
    pub(super) fn folder(&self) -> &JobFolder {
        &self.folder
    }

    /// A folder for verified blobs on the file system of a cache.
    pub(super) fn area(&mut self, cache: &Cache) -> Result<PathBuf, CommandError> {
        let mut make = || -> io::Result<PathBuf> {
            let parent = cache.staging(&self.folder.partial())?;
            if let Some(area) = self.areas.iter().find(|area| area.path().parent() == Some(&parent)) {
                return Ok(area.path().to_owned());
            }
            let area = tempfile::Builder::new().prefix("unpack-").tempdir_in(parent)?;
            let path = area.path().to_owned();
            self.areas.push(area);
            Ok(path)
        };
        let (name, what) = (cache.name().to_owned(), "make a folder for unfinished files");
        make().map_err(|source| StoreError::Io { store: format!("cache `{name}`"), what, source }.into())
    }

    /// After a failure: leave nothing that was not there before.
    pub(super) fn vanish(self) {
        drop(self.areas);
        let (own, job) = self.made;
        // Where even this fails, what is left is scratch that the next run clears.
        if job {
            let _ = self.folder.remove();
        }
        if own && let Some(parent) = self.folder.root().parent() {
            // Nobody else was at work here when this run began, or `.larder` had been there.
            let _ = fs::remove_file(self.folder.root().with_extension("lock"));
            let _ = fs::remove_dir(parent);
        }
    }
}
