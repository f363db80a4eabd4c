//! What all commands work with: the configuration, the variables, the reporter, and a clock that is read once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::error::RunError;
use crate::config::{BuildDeps, Config};
use crate::interrupt::Interrupt;
use crate::plan::Selection;
use crate::report::Report;
use crate::reporter::{Level, Reporter};
use crate::runner::job_timeout::time_left;
use crate::transport::{Limits, NetworkSettings, Transport};
use crate::types::Variables;

/// What all commands work with.
pub struct Session<'a> {
    /// The configuration, with what the command line says on top.
    pub config: Config,
    /// The environment variables.
    pub variables: Variables,
    /// The user's home folder, where Spack's configuration of the user lies.
    pub home: Option<PathBuf>,
    /// Receives progress and notes.
    pub reporter: &'a dyn Reporter,
    /// Asks the command to stop.
    pub interrupt: Interrupt,
    started: Instant,
    /// When the run began, for everything that asks how old something is.
    pub(crate) now: Timestamp,
    warnings: Mutex<Vec<String>>,
}

/// What `plan`, `prepare` and `warm` are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The specs.
    pub selection: Selection,
    /// Which build dependencies, where the command line says so.
    pub build_deps: Option<BuildDeps>,
    /// When what was fetched goes into the remote caches.
    pub push: Push,
    /// Install trees named on the command line. A missing database is then an error.
    pub install_trees: Vec<PathBuf>,
    /// What an environment without lockfile means.
    pub missing_lockfile: MissingLockfile,
}

/// What an environment without lockfile means. One that is there and broken is an error in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingLockfile {
    /// Its lockfile is made later, in the job: say what to do then, and go on with the others.
    #[default]
    Tell,
    /// It is an error: `--require-lockfile`.
    Refuse,
}

/// What a command works for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scope {
    /// This CI job on this machine: its entry in `jobs:`, or the spec that `spack ci` has it build, chooses the specs, and what the
    /// install trees of Spack's configuration hold is installed.
    Job,
    /// Other machines: whole environments, and only install trees that are named on the command line count.
    WholeEnvironments,
}

/// When what was fetched goes into the remote caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Push {
    /// `finish` does it.
    #[default]
    AtFinish,
    /// At once: `--push`.
    Now,
}

/// Whether to do what a command is for, or only to say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    #[default]
    Act,
    /// Say it: `--dry-run`.
    Pretend,
}

/// What to do with a blob that is not what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCorrupt {
    /// Name it.
    Report,
    /// Name it and remove it.
    Delete,
}

impl<'a> Session<'a> {
    /// Start now.
    pub fn new(config: Config, variables: Variables, home: Option<PathBuf>, reporter: &'a dyn Reporter) -> Self {
        let (started, now) = (Instant::now(), Timestamp::now());
        let interrupt = Interrupt::default();
        Self { config, variables, home, reporter, interrupt, started, now, warnings: Mutex::default() }
    }

    /// What asks mirrors. It has not set up anything yet.
    pub(crate) fn transport(&self) -> Arc<Transport> {
        Arc::new(self.transport_with(self.config.network.clone()))
    }

    /// The same with other settings.
    pub(crate) fn transport_with(&self, network: NetworkSettings) -> Transport {
        Transport::new(network, Limits::default(), &self.variables)
    }

    /// End the command here if a signal asked for it.
    pub(crate) fn stop_if_asked(&self) -> Result<(), RunError> {
        self.interrupt.signal().map_or(Ok(()), |signal| Err(RunError::Interrupted { signal }))
    }

    /// When downloads are to stop, because the job has to save what it has; `None` where nothing is known of a timeout.
    pub(crate) fn downloads_end(&self) -> Option<Instant> {
        Some(self.started + time_left(&self.variables, self.now)?)
    }

    /// Do the work, unless a signal asks to stop meanwhile: the work is dropped then.
    pub(crate) async fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        tokio::select! {
            biased;
            signal = self.interrupt.wait() => Err(RunError::Interrupted { signal }),
            result = work => result,
        }
    }

    /// Tell the person who reads the log, and the report.
    pub(crate) fn warn(&self, text: &str) {
        self.reporter.note(Level::Warning, text);
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }

    /// Tell the person who reads the log.
    pub(crate) fn inform(&self, text: &str) {
        self.reporter.note(Level::Info, text);
    }

    /// Add what the session knows to a report that is complete otherwise.
    pub(crate) fn conclude(&self, mut report: Report) -> Report {
        report.totals.seconds = self.started.elapsed().as_secs_f64();
        report.warnings = std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        report
    }
}
