//! The use cases, one file each.
//!
//! Each takes a [`Session`] and returns a [`Report`]; none prints. What two of them share lies in `environments` (lockfiles,
//! mirrors, install trees), `resolve` (asking mirrors), `obtain` and `fetch` (caches and downloads) and `upkeep` (caches without
//! downloads).

mod clean;
mod collect;
mod collected;
mod environments;
mod error;
mod export;
mod fetch;
mod finish;
mod init;
mod list;
mod obtain;
mod pack;
mod plan;
mod prepare;
mod prune;
mod resolve;
mod team_cache;
mod unpack;
mod upkeep;
mod upload;
mod verify;
mod warm;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

pub use clean::clean;
pub use collect::{CollectError, CollectOptions, collect};
pub use error::CommandError;
pub use export::export;
pub use finish::finish;
pub use init::{FileOutcome, InitError, InitOptions, Initialised, TEMPLATE, WriteFiles, init};
pub use list::list;
pub use pack::{Output, PackError, pack};
pub use plan::plan;
pub use prepare::{Prepared, prepare};
pub use prune::{PruneOptions, prune};
pub use unpack::{UnpackError, unpack};
pub use verify::{OnCorrupt, verify};
pub use warm::warm;

use crate::config::{BuildDeps, Config};
use crate::interrupt::Interrupt;
use crate::plan::Selection;
use crate::report::Report;
use crate::reporter::{Level, Reporter};
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
    now: Timestamp,
    warnings: Mutex<Vec<String>>,
}

/// What `plan`, `prepare` and `warm` are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The specs.
    pub selection: Selection,
    /// Which build dependencies, where the command line says so.
    pub build_deps: Option<BuildDeps>,
    /// When what was fetched goes into the team caches.
    pub push: Push,
    /// Install trees named on the command line. A missing database is then an error.
    pub install_trees: Vec<PathBuf>,
}

/// When what was fetched goes into the team caches.
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

impl<'a> Session<'a> {
    /// Start now.
    pub fn new(config: Config, variables: Variables, home: Option<PathBuf>, reporter: &'a dyn Reporter) -> Self {
        let (started, now) = (Instant::now(), Timestamp::now());
        let interrupt = Interrupt::default();
        Self { config, variables, home, reporter, interrupt, started, now, warnings: Mutex::default() }
    }

    /// Stop here if somebody asked for it.
    fn go_on(&self) -> Result<(), CommandError> {
        self.interrupt.signal().map_or(Ok(()), |signal| Err(CommandError::Interrupted { signal }))
    }

    /// Do the work, unless somebody asks to stop meanwhile: it is dropped then.
    async fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        tokio::select! {
            biased;
            signal = self.interrupt.wait() => Err(CommandError::Interrupted { signal }),
            result = work => result,
        }
    }

    /// Tell the person who reads the log, and the report.
    fn warn(&self, text: &str) {
        self.reporter.note(Level::Warning, text);
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }

    /// Tell the person who reads the log.
    fn inform(&self, text: &str) {
        self.reporter.note(Level::Info, text);
    }

    /// Add what the session knows to a report that is complete otherwise.
    fn conclude(&self, mut report: Report) -> Report {
        report.totals.seconds = self.started.elapsed().as_secs_f64();
        report.warnings = std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        report
    }
}
