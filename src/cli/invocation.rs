//! What a command is given: the configuration, a session, and the way to show its report.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use larder::commands::{CommandError, Mode, Session};
use larder::config::Config;
use larder::report::Report;
use larder::reporter::Reporter;
use larder::types::Variables;

use super::console::{self, Console, Verbosity, tell};
use super::global::GlobalOptions;
use super::outcome::{Failure, Outcome};
use super::progress::Screen;
use super::{configuration, signals};

/// One run of the program.
pub(crate) struct Invocation<'a> {
    pub(crate) global: &'a GlobalOptions,
    pub(crate) console: Console,
    pub(crate) reporter: &'a dyn Reporter,
    /// The current folder.
    pub(crate) here: PathBuf,
    pub(crate) variables: Variables,
    pub(crate) screen: Arc<Screen>,
}

impl<'a> Invocation<'a> {
    /// The configuration file with the command line on top.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        configuration::load(self.global, &self.here, &self.variables)
    }

    /// For a command that leaves nothing half-done: a signal ends it on the spot.
    pub(crate) fn session(&self, config: Config) -> Session<'a> {
        let home = self.variables.set("HOME").map(PathBuf::from);
        Session::new(config, self.variables.clone(), home, self.reporter)
    }

    /// For a command that ends between two steps when a signal asks for it.
    pub(crate) fn stoppable_session(&self) -> Result<Session<'a>, Failure> {
        let session = self.session(self.config()?);
        signals::pass_on(&session.interrupt, &self.screen).map_err(Failure::system("watch for signals"))?;
        Ok(session)
    }

    /// Print the report as data where `--json` wants that, else `result` on standard output, and on standard error the
    /// `remarks`, which `--quiet` leaves out.
    pub(crate) fn show(&self, report: &Report, result: &str, remarks: &str) -> Result<Outcome, Failure> {
        if self.global.json {
            return print(&json(report).map_err(Failure::system("write to standard output"))?);
        }
        let outcome = print(result)?;
        if self.console.verbosity > Verbosity::Quiet {
            tell(remarks);
        }
        Ok(outcome)
    }

    /// Show what a command found out.
    pub(crate) fn show_result(&self, report: &Report, result: &str) -> Result<Outcome, Failure> {
        self.show(report, result, "")
    }

    /// Show what a command did.
    pub(crate) fn show_remarks(&self, report: &Report, remarks: &str) -> Result<Outcome, Failure> {
        self.show(report, "", remarks)
    }
}

/// Print a result on standard output.
pub(crate) fn print(result: &str) -> Result<Outcome, Failure> {
    console::print(result).map_err(Failure::system("write to standard output"))?;
    Ok(Outcome::Done)
}

/// The report as indented JSON with a newline at its end.
fn json(report: &Report) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// What `--dry-run` and `--print` mean.
pub(crate) fn mode(dry_run: bool) -> Mode {
    if dry_run { Mode::Pretend } else { Mode::Act }
}

/// Two threads wait for the network; hashing and writing have threads of their own.
pub(crate) fn block_on<T, E: Into<CommandError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Failure::system("start threads"))?;
    Ok(runtime.block_on(work).map_err(Into::into)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples;

    #[test]
    fn what_is_printed_is_read_again() {
        let text = json(&samples::prepared()).unwrap();
        assert!(text.ends_with("}\n"));
        let report: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(report.specs.len(), samples::prepared().specs.len());
    }
}
