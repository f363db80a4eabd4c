//! `larder run`: a command of the job, between `prepare` and `finish`.

use std::ffi::OsString;

use clap::Args;
use larder::commands::{self, Ended, Mode, RunOptions, Session};
use larder::config::{BuildDeps, HandOver};

use super::collect;
use crate::cli::cache_lines;
use crate::cli::console::tell;
use crate::cli::hand_over::HandOverOptions;
use crate::cli::invocation::{Invocation, block_on};
use crate::cli::needed;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::selection::FillOptions;

/// Concretize where there is no lockfile, prepare, run a command that sees the job mirror, and finish
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
What it does, in this order:
  1. has Spack concretize environments without a lockfile, or with one that is out of date
  2. `larder prepare`, by default with all build dependencies, which a plain `spack install` wants
  3. the command, with standard input and output as they are
  4. whatever its outcome: `larder collect`, where larder.yaml has a mirror with `collect: true` and nothing
     asked the command to stop, and `larder finish`

Its exit code is that of the command; 128 and the number of the signal that ended it; 127 or 126 where there is no such command or
it can't be started. Where step 1 or 2 fails, the command is not run, and the code is that of `prepare`. Trouble in step 4
is only told: it changes no exit code. SIGTERM and SIGINT are passed on to the command.

Examples:
  larder run -- spack -e . install
  larder run -e /dev/shm/env -- ./build_and_test.sh
  larder run --hand-over environment -- ./wrapper-with-a-clean-environment.sh
  larder run --concretize=always --spack /opt/spack/bin/spack -- make -j8")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    fill: FillOptions,
    #[command(flatten)]
    hand_over: HandOverOptions,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl RunArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let mut session = invocation.stoppable_session()?;
        // What the command asks of Spack is not known, and a plain `spack install` wants all of them.
        session.config.build_deps.get_or_insert(BuildDeps::All);
        let concretize = self.fill.concretize_anyway(&session.config, &invocation.here);
        let prepared = block_on(async {
            commands::concretize(&session, &concretize).await?;
            Box::pin(commands::prepare(&session, &self.fill.wanted())).await
        })?;
        invocation.show_remarks(&prepared.report, &needed::summary(&prepared.report, invocation.console.err))?;
        let outcome = self.fill.selection.outcome(&prepared.report);
        if outcome != Outcome::Done {
            return Ok(outcome);
        }
        let ways = self.hand_over.ways(&session.config, HandOver::Path);
        let handed_over = commands::hand_over(&session, &ways, self.fill.spack(&invocation.here).as_deref())?;
        let (program, arguments) =
            self.command.split_first().map_or_else(Default::default, |(first, rest)| (first.clone(), rest.to_vec()));
        let ended = commands::run(&session, &RunOptions { program, arguments, handed_over }).map_err(Failure::from);
        self.finish(invocation, &session, ended.as_ref().ok());
        Ok(Outcome::Command(ended?.code))
    }

    /// After the command. What goes wrong here is told, and changes nothing of how the command ended.
    fn finish(&self, invocation: &Invocation<'_>, before: &Session<'_>, ended: Option<&Ended>) {
        let mut session = invocation.session(before.config.clone());
        session.interrupt = before.interrupt.clone();
        let tell_trouble = |failure: &Failure| tell(&failure.render(invocation.console.err));
        let collects = session.config.collect.is_some() || session.config.built_mirror.is_some();
        if collects && ended.is_some_and(|ended| ended.stopped.is_none()) {
            let installed = self.fill.selection.installed();
            let options = collect::options(self.fill.spack(&invocation.here).as_deref(), installed, &invocation.here);
            match block_on(commands::collect(&session, &options, Mode::Act)) {
                Ok(report) => {
                    let shown = collect::render(&report, Mode::Act, invocation.console.err);
                    let _ = invocation.show_remarks(&report, &shown);
                }
                Err(failure) => tell_trouble(&failure),
            }
        }
        match block_on(commands::finish(&session, None, Mode::Act)) {
            Ok(report) => {
                let shown = cache_lines::pruned(&report, Mode::Act, invocation.console.err);
                let _ = invocation.show_remarks(&report, &shown);
            }
            Err(failure) => tell_trouble(&failure),
        }
    }
}
