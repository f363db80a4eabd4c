//! `larder pack`: an archive as the runner makes it.

use std::path::PathBuf;

use clap::Args;
use larder::commands::{self, Output};
use larder::report::Report;

use crate::cli::configuration;
use crate::cli::invocation::Invocation;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::printable::printable;
use crate::cli::units::{size, sized};

/// Write caches into an archive as the runner does
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Paths in the archive are relative to the project folder; the same caches give the same bytes.

Examples:
  larder pack -o cache.zip
  larder pack shared -o /mnt/stick/cache.zip --force")]
pub(crate) struct PackArgs {
    /// Names of the caches, as with `--cache` [default: all]
    #[arg(value_name = "CACHE")]
    names: Vec<String>,
    /// The archive to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite the archive if there is one
    #[arg(long)]
    force: bool,
}

impl PackArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let mut config = invocation.config()?;
        if !self.names.is_empty() {
            configuration::only(&mut config, &self.names)?;
        }
        let path = invocation.here.join(&self.output);
        let output = if self.force { Output::Overwrite(path) } else { Output::New(path) };
        let report = commands::pack(&invocation.session(config), &output)?;
        invocation.show_remarks(&report, &render(&report))
    }
}

/// What the archive holds.
fn render(report: &Report) -> String {
    let caches = report.caches.iter().filter(|cache| cache.blobs > 0);
    let caches =
        caches.map(|cache| format!("{}: {}\n", printable(&cache.name), sized(cache.blobs, "blob", cache.bytes)));
    let archive = report.archive.iter();
    let archive = archive.map(|archive| format!("wrote `{}` ({})\n", printable(&archive.path), size(archive.bytes)));
    caches.chain(archive).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{GIB, MIB, cache};
    use larder::report::ArchiveReport;

    #[test]
    fn an_archive_says_what_it_holds() {
        let mut report = Report::new("pack");
        report.caches = vec![cache("shared", 12, GIB), cache("new", 0, 0)];
        report.archive = Some(ArchiveReport { path: "cache.zip".to_owned(), bytes: GIB + MIB, blobs: 12 });
        insta::assert_snapshot!(render(&report), @"
        shared: 12 blobs (1.0 GiB)
        wrote `cache.zip` (1.0 GiB)
        ");
    }
}
