//! `larder verify`: which blobs are not what their name says.

use clap::Args;
use larder::commands::{self, OnCorrupt};
use larder::report::{BlobReport, CacheReport, Report};
use larder::types::BlobRole;

use crate::cli::invocation::{Invocation, block_on};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::palette::{BAD, GOOD, Palette};
use crate::cli::printable::printable;
use crate::cli::units::{count, size};

/// Hash every blob of the caches and say which ones are corrupt
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exits with 1 where a blob is corrupt.

Examples:
  larder verify
  larder verify --cache shared --delete")]
pub(crate) struct VerifyArgs {
    /// Remove corrupt blobs; the next `prepare` fetches them again
    #[arg(long)]
    delete: bool,
}

impl VerifyArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.session(invocation.config()?);
        let corrupt = if self.delete { OnCorrupt::Delete } else { OnCorrupt::Report };
        let report = block_on(commands::verify(&session, corrupt))?;
        invocation.show_result(&report, &render(&report, corrupt, invocation.console.out))?;
        let any = report.caches.iter().any(|cache| cache.corrupt > 0);
        Ok(if any { Outcome::Found } else { Outcome::Done })
    }
}

/// A line for each cache, and below it one for each corrupt blob.
fn render(report: &Report, corrupt: OnCorrupt, palette: Palette) -> String {
    let cache_lines = |cache: &CacheReport| {
        let bad = cache.contents.iter().filter(|blob| blob.intact == Some(false));
        cache_line(cache, palette) + &bad.map(|blob| blob_line(blob, corrupt, palette)).collect::<String>()
    };
    report.caches.iter().map(cache_lines).collect()
}

fn cache_line(cache: &CacheReport, palette: Palette) -> String {
    let name = printable(&cache.name);
    // The cache's own count is taken after the command, so that deleted blobs are missing from it.
    let (looked_at, bytes) = match cache.contents.as_slice() {
        [] => (cache.blobs, cache.bytes),
        blobs => (blobs.len() as u64, blobs.iter().map(|blob| blob.bytes).sum()),
    };
    let verdict = match (looked_at, cache.corrupt) {
        (0, 0) => return format!("{name}: empty\n"),
        (_, 0) => palette.paint(GOOD, "all intact"),
        (_, corrupt) => palette.paint(BAD, &format!("{corrupt} corrupt")),
    };
    format!("{name}: {}, {}: {verdict}\n", count(looked_at, "blob"), size(bytes))
}

fn blob_line(blob: &BlobReport, corrupt: OnCorrupt, palette: Palette) -> String {
    let spec = match blob.requests.first() {
        None if !blob.indexes.is_empty() => format!("the index of {}", printable(&blob.indexes[0].mirror)),
        None => "no longer requested".to_owned(),
        Some(request) => {
            let role = if request.role == BlobRole::Spec { ", its spec file" } else { "" };
            format!("{}@{}/{}{role}", request.name, printable(request.version.as_str()), request.hash.short())
        }
    };
    let fate = if corrupt == OnCorrupt::Delete { ", deleted" } else { "" };
    format!("  {} sha256:{} ({spec}){fate}\n", palette.paint(BAD, "corrupt"), blob.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{MIB, blob, cache};

    fn sample() -> Report {
        let look = |blob: BlobReport, intact| BlobReport { intact: Some(intact), ..blob };
        let mut shared = cache("shared", 3, 30 * MIB);
        shared.contents = vec![
            look(blob(1, "app", BlobRole::Binary, 20 * MIB, "2026-01-01T00:00:00Z"), true),
            look(blob(2, "app", BlobRole::Spec, 2 * MIB, "2026-01-01T00:00:00Z"), false),
            look(blob(3, "zlib", BlobRole::Binary, 8 * MIB, "2026-01-01T00:00:00Z"), false),
        ];
        shared.contents[2].requests.clear();
        shared.corrupt = 2;
        let mut report = Report::new("verify");
        report.caches = vec![shared, cache("branch", 2, MIB), cache("new", 0, 0)];
        report
    }

    #[test]
    fn corrupt_blobs_are_named() {
        insta::assert_snapshot!(render(&sample(), OnCorrupt::Report, Palette::Plain), @"
        shared: 3 blobs, 30.0 MiB: 2 corrupt
          corrupt sha256:0202020202020202020202020202020202020202020202020202020202020202 (app@1.2/appaaaa, its spec file)
          corrupt sha256:0303030303030303030303030303030303030303030303030303030303030303 (no longer requested)
        branch: 2 blobs, 1.0 MiB: all intact
        new: empty
        ");
    }

    #[test]
    fn deleted_blobs_are_said_to_be() {
        let text = render(&sample(), OnCorrupt::Delete, Palette::Plain);
        assert_eq!(text.matches(", deleted\n").count(), 2, "{text}");
    }
}
