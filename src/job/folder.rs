//! The folder itself: made, locked, cleared.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::JobError;
use crate::fs::{Exclusion, Folder, Kind, Lock, kind, patiently};
use crate::report::Report;

/// The dotenv report for GitLab.
pub(crate) const DOTENV: &str = "larder.env";

/// The metrics report for GitLab.
pub(crate) const OPEN_METRICS: &str = "metrics.txt";

/// The mirrors for concretizing.
pub(super) const INDEX: &str = "index";

/// `.larder/job` of a project.
#[derive(Clone, Debug)]
pub struct JobFolder {
    root: PathBuf,
}

/// The right to write in a job folder, held until it is dropped.
#[derive(Debug)]
pub struct JobLock(#[expect(dead_code, reason = "held, not looked at")] Option<Lock>);

impl JobFolder {
    /// The job folder of the project at `project`. Nothing is made or read.
    pub fn of(project: &Path) -> Self {
        Self { root: project.join(".larder").join("job") }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// For unfinished files.
    pub fn partial(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// The configuration scope for `spack -C`.
    pub fn scope(&self) -> PathBuf {
        self.root.join("spack")
    }

    /// Make the folder, wait until no other run writes in it (`on_wait` is called once), and clear what a killed run left.
    pub fn enter(&self, on_wait: impl FnOnce()) -> Result<JobLock, JobError> {
        let project = self.root.ancestors().nth(2).unwrap_or(&self.root);
        if let Some(path) = Folder::at(&self.root).first_link(project).map_err(self.failed("look"))? {
            return Err(JobError::NotAFolder { path });
        }
        let enter = || -> io::Result<JobLock> {
            fs::create_dir_all(&self.root)?;
            // A network file system without locks: two runs in one project folder are then the user's to avoid.
            let lock = Lock::take(&self.root.with_extension("lock"), Exclusion::Exclusive, patiently(on_wait))?;
            crate::fs::remove(&self.partial())?;
            fs::create_dir(self.partial())?;
            Ok(JobLock(lock))
        };
        enter().map_err(self.failed("make the job folder"))
    }

    /// Forget what an earlier run prepared: Spack must not take its mirror for this job's, nor `finish` its state.
    pub fn clear(&self, _lock: &JobLock) -> Result<(), JobError> {
        let clear = || -> io::Result<()> {
            for name in ["mirror", "mirror-unsigned", INDEX, "spack", "state.json", "report.json", DOTENV, OPEN_METRICS]
            {
                crate::fs::remove(&self.root.join(name))?;
            }
            Ok(())
        };
        clear().map_err(self.failed("clear the job folder"))
    }

    /// Remove the folder with everything in it.
    pub fn remove(&self) -> Result<(), JobError> {
        match kind(&self.root).map_err(self.failed("look"))? {
            Kind::Missing => Ok(()),
            Kind::Folder => fs::remove_dir_all(&self.root).map_err(self.failed("remove files")),
            Kind::File(_) | Kind::Other => Err(JobError::NotAFolder { path: self.root.clone() }),
        }
    }

    /// Write a file of the folder, whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), JobError> {
        let partial = self.partial();
        let made = fs::create_dir_all(&partial);
        let written = made.and_then(|()| crate::fs::write_atomically(&self.root.join(name), bytes, &partial));
        written.map_err(self.failed("write a file"))
    }

    /// Write `report.json`.
    pub fn write_report(&self, report: &Report) -> Result<(), JobError> {
        self.write("report.json", &serde_json::to_vec_pretty(report).unwrap_or_default())
    }

    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> JobError + '_ {
        move |source| JobError::Io { path: self.root.clone(), what, source }
    }
}
