//! `larder unpack`: an archive of the runner, checked, into the caches.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use larder::commands::{self, Mode};
use larder::report::{CacheReport, Report};

use super::list::{self, SortBy};
use crate::cli::invocation::{Invocation, mode};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::palette::{GOOD, PENDING, Palette};
use crate::cli::printable::printable;
use crate::cli::units::{count, sized};

/// Read an archive of the runner, or of `pack`, into the caches; everything in it is checked
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Nothing is written unless the whole archive is right, and nothing outside the configured caches.

Examples:
  larder unpack cache.zip
  larder unpack cache.zip --dry-run  # what is in it?
  larder unpack cache.zip --cache shared")]
pub(crate) struct UnpackArgs {
    /// The archive: zip, or tar compressed with zstd, whatever its name
    #[arg(value_name = "ARCHIVE")]
    archive: PathBuf,
    /// Check the archive and list what it holds for the caches, and unpack nothing
    #[arg(long, visible_alias = "list")]
    dry_run: bool,
}

impl UnpackArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.session(invocation.config()?);
        let mode = mode(self.dry_run);
        let report = commands::unpack(&session, &invocation.here.join(&self.archive), mode)?;
        let console = invocation.console;
        let contents = match mode {
            Mode::Act => String::new(),
            Mode::Pretend => list::render(&report, SortBy::Name, Timestamp::now(), console.width, console.out),
        };
        invocation.show(&report, &contents, &render(&report, mode, console.err))
    }
}

/// A line for each cache.
fn render(report: &Report, mode: Mode, palette: Palette) -> String {
    report.caches.iter().map(|cache| line(cache, mode, palette)).collect()
}

fn line(cache: &CacheReport, mode: Mode, palette: Palette) -> String {
    let added = count(cache.added, "blob");
    let deed = match (cache.added, mode, cache.changed) {
        (0, _, false) => palette.paint(GOOD, "nothing new, nothing changed"),
        (0, _, true) => "nothing new, records changed".to_owned(),
        (_, Mode::Act, _) => format!("added {added}"),
        (_, Mode::Pretend, _) => palette.paint(PENDING, &format!("would add {added}")),
    };
    let holds = if mode == Mode::Pretend { "would hold" } else { "holds" };
    format!("{}: {deed}; it {holds} {}\n", printable(&cache.name), sized(cache.blobs, "blob", cache.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{GIB, cache};

    #[test]
    fn each_cache_says_what_the_archive_brought() {
        let mut report = Report::new("unpack");
        let filled = CacheReport { added: 3, changed: true, ..cache("shared", 12, GIB) };
        let known = CacheReport { changed: true, ..cache("branch", 12, GIB) };
        report.caches = vec![filled, known, cache("new", 0, 0)];
        insta::assert_snapshot!(render(&report, Mode::Act, Palette::Plain), @"
        shared: added 3 blobs; it holds 12 blobs (1.0 GiB)
        branch: nothing new, records changed; it holds 12 blobs (1.0 GiB)
        new: nothing new, nothing changed; it holds 0 blobs (0 B)
        ");
        insta::assert_snapshot!(render(&report, Mode::Pretend, Palette::Plain), @"
        shared: would add 3 blobs; it would hold 12 blobs (1.0 GiB)
        branch: nothing new, records changed; it would hold 12 blobs (1.0 GiB)
        new: nothing new, nothing changed; it would hold 0 blobs (0 B)
        ");
    }
}
