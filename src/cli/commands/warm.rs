//! `larder warm`: as `prepare`, without a job.

use clap::Args;
use larder::commands;

use crate::cli::invocation::{Invocation, block_on};
use crate::cli::needed;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::selection::FillOptions;

/// Fill the caches by hand, for whole environments
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Downloads and checks as `prepare` does, but makes no local mirror.

Examples:
  larder warm
  larder warm --concretize  # in a pipeline whose lockfile is made in the job
  larder warm -e envs/app -e envs/docs --build-deps all
  larder warm --cache shared --mirror https://binaries.example.org/develop")]
pub(crate) struct WarmArgs {
    #[command(flatten)]
    fill: FillOptions,
}

impl WarmArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.stoppable_session()?;
        let concretize = self.fill.concretize(&session.config, &invocation.here);
        let report = block_on(async {
            if let Some(options) = concretize {
                commands::concretize(&session, &options).await?;
            }
            Box::pin(commands::warm(&session, &self.fill.wanted())).await
        })?;
        invocation.show_remarks(&report, &needed::summary(&report, invocation.console.err))?;
        Ok(self.fill.selection.outcome(&report))
    }
}
