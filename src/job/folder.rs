//! The folder itself: made, locked, cleared.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::JobError;
use crate::fs::{Exclusion, Folder, Kind, Lock, kind, patiently};
use crate::report::Report;

/// The dotenv report for GitLab.
pub(crate) const DOTENV: &str = "larder.env";

/// The metrics report for GitLab.
pub(crate) const OPEN_METRICS: &str = "metrics.txt";

/// What keeps git out of `.larder`, this file included.
const GITIGNORE: &str = "# Made by larder: nothing in here belongs into the repository.\n*\n";

/// What a shell is given for `--hand-over path`: a folder for its PATH, what those programs need, and a file to source.
pub(super) const PROGRAMS: [&str; 3] = ["bin", "libexec", "env.sh"];
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

    /// The folder for the PATH of `--hand-over path`, without links, as programs see it.
    pub(crate) fn programs(&self) -> PathBuf {
        crate::fs::without_links(&self.root).join(PROGRAMS[0])
    }

    /// Make the folder, wait until no other run writes in it (`on_wait` is called once), and clear what a killed run left.
    pub fn enter(&self, on_wait: impl FnOnce()) -> Result<JobLock, JobError> {
        self.keep_out_of_git()?;
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

    /// Have git ignore `.larder`: its caches hold gigabytes, and one `git add .` would commit them. A file of this name that is
    /// there stays as it is.
    pub fn keep_out_of_git(&self) -> Result<(), JobError> {
        self.refuse_links()?;
        let folder = self.root.parent().unwrap_or(&self.root);
        let write = || -> io::Result<()> {
            fs::create_dir_all(folder)?;
            let file = fs::OpenOptions::new().write(true).create_new(true).open(folder.join(".gitignore"));
            match file {
                Ok(mut file) => file.write_all(GITIGNORE.as_bytes()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        };
        // Where nothing can be written, whatever is kept there says so; this is no reason to end a job.
        let _ = write();
        Ok(())
    }

    /// An error where the folder, or one between it and the project, is a link that a restored archive may hold.
    pub(super) fn refuse_links(&self) -> Result<(), JobError> {
        let project = self.root.ancestors().nth(2).unwrap_or(&self.root);
        match Folder::at(&self.root).first_link(project).map_err(self.failed("look"))? {
            Some(path) => Err(JobError::NotAFolder { path }),
            None => Ok(()),
        }
    }

    /// Forget what an earlier run prepared: Spack must not take its mirror for this job's, nor `finish` its state.
    pub fn clear(&self, _lock: &JobLock) -> Result<(), JobError> {
        let clear = || -> io::Result<()> {
            let reports = ["state.json", "report.json", DOTENV, OPEN_METRICS];
            let names = ["mirror", "mirror-unsigned", INDEX, "spack"].into_iter().chain(PROGRAMS).chain(reports);
            names.map(|name| self.root.join(name)).try_for_each(|path| crate::fs::remove(&path))
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
