//! `larder clean`: empty the caches.

use clap::Args;
use larder::commands;
use larder::reporter::Level;

use crate::cli::cache_lines;
use crate::cli::invocation::{Invocation, block_on, mode};
use crate::cli::outcome::{Failure, Outcome};

/// Empty the caches
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Touches only folders that larder made.

Examples:
  larder clean --dry-run
  larder clean --cache branch")]
pub(crate) struct CleanArgs {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl CleanArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let mut config = invocation.config()?;
        if invocation.global.caches.is_empty() {
            for cache in std::mem::take(&mut config.remote_caches) {
                let text = format!(
                    "cache `{0}` is shared with other projects and stays as it is; `--cache {0}` empties it",
                    cache.name
                );
                invocation.reporter.note(Level::Info, &text);
            }
        }
        let session = invocation.session(config);
        let mode = mode(self.dry_run);
        let report = block_on(commands::clean(&session, mode))?;
        invocation.show_remarks(&report, &cache_lines::pruned(&report, mode, invocation.console.err))
    }
}
