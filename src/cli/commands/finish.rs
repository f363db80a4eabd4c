//! `larder finish`: after the job.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use larder::commands;
use larder::config::SetAside;

use super::collect;
use crate::cli::cache_lines;
use crate::cli::invocation::{Invocation, block_on, mode};
use crate::cli::outcome::{Failure, Outcome};

/// After the job: prune the caches, so that the runner uploads only what is worth it
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
What this job used stays in any case. Safe to run without `prepare`, after a failed job, and twice.

Examples:
  larder finish
  larder finish --dry-run
  larder finish --collect  # in after_script of a job that builds
  larder finish --set-aside never
  larder finish --cache shared")]
pub(crate) struct FinishArgs {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// When to move an unchanged cache out of the runner's sight, so that it sends nothing [default: that of larder.yaml, else
    /// `auto`: in `after_script`, where the cache came out of an archive and certainly did not change]
    #[arg(
        long,
        value_name = "WHEN",
        value_parser = PossibleValuesParser::new(["auto", "always", "never"]).try_map(|text| text.parse::<SetAside>())
    )]
    set_aside: Option<SetAside>,
    /// First push what this job built, as `larder collect` does, but for 200 seconds at most, all pushing together
    #[arg(long)]
    collect: bool,
    /// For `--collect`: the program `spack`
    #[arg(long, value_name = "PATH", requires = "collect")]
    spack: Option<PathBuf>,
    /// For `--collect`: root of the install tree; may be repeated
    #[arg(long = "installed", value_name = "ROOT", requires = "collect")]
    installed: Vec<PathBuf>,
}

impl FinishArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let mut session = invocation.stoppable_session()?;
        session.config.set_aside = self.set_aside.unwrap_or(session.config.set_aside);
        let collect = self.collect.then(|| collect::options(self.spack.as_deref(), &self.installed, &invocation.here));
        let mode = mode(self.dry_run);
        let report = block_on(commands::finish(&session, collect.as_ref(), mode))?;
        invocation.show_remarks(&report, &cache_lines::pruned(&report, mode, invocation.console.err))
    }
}
