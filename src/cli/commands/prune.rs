//! `larder prune`: make room in object stores.

use bytesize::ByteSize;
use clap::Args;
use larder::commands;
use larder::config::{Keep, KeepRules, Size};
use larder::types::MaxAge;

use crate::cli::cache_lines;
use crate::cli::invocation::{Invocation, block_on, mode};
use crate::cli::outcome::{Failure, Outcome};

/// Make room in caches in object stores and in the mirror that collects what pipelines built
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Safe while jobs read and write: what is younger than a day stays.

Examples:
  larder prune --dry-run
  larder prune --cache team --max-age 30d --max-size 500GiB
  larder prune --cache built --dry-run")]
pub(crate) struct PruneArgs {
    /// Remove what no job needed for so long, as in `30d` [default: the cache's `keep`]
    #[arg(long, value_name = "TIME")]
    max_age: Option<MaxAge>,
    /// Remove what was unused for longest until the rest is no larger, as in `500GiB` [default: the cache's `keep`]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<ByteSize>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl PruneArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.session(invocation.config()?);
        let mode = mode(self.dry_run);
        let rules = KeepRules { max_age: self.max_age, max_size: self.max_size.map(Size), ..KeepRules::default() };
        let keep = (rules != KeepRules::default()).then_some(Keep::Rules(rules));
        let report = block_on(commands::prune(&session, keep, mode))?;
        invocation.show_remarks(&report, &cache_lines::pruned(&report, mode, invocation.console.err))
    }
}
