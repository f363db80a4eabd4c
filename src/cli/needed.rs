//! What `prepare`, `warm` and `export` say of the needed specs in the end; `plan` shares the first sentence.
//!
//! Warnings are not repeated here: the reporter told them when they came up.

use larder::report::{IndexReport, IndexStatus, Report, SpecReport, Status};
use larder::types::Totals;

use super::palette::{GOOD, PENDING, Palette};
use super::printable::printable;
use super::units::{count, duration, size};

/// How many specs that must be built are named.
const NAMED: usize = 10;

/// What is there by now, what it took, and what is left for Spack to build.
pub(crate) fn summary(report: &Report, palette: Palette) -> String {
    if is_unknown(report) {
        return String::new();
    }
    let counts = headline(report, "reused", Status::Fetch, |_, _| String::new());
    let with_indexes = if report.indexes.is_empty() { String::new() } else { indexes_line(&report.indexes) };
    let mut out = counts + "\n" + &built_before(report) + &with_indexes + &traffic(&report.totals);
    if report.totals.bytes_reused > 0 {
        let saved = format!("the cache saved {} of downloads", size(report.totals.bytes_reused));
        out = out + &palette.paint(GOOD, &saved) + "\n";
    }
    out + &to_build(report, palette)
}

/// Whether nothing is known of what is needed, which was told already: no environment has a lockfile.
pub(crate) fn is_unknown(report: &Report) -> bool {
    report.specs.is_empty() && !report.without_lockfile.is_empty()
}

/// What there is to concretize with, and what it took.
pub(crate) fn indexes(report: &Report, palette: Palette) -> String {
    let mut out = indexes_line(&report.indexes) + &traffic(&report.totals);
    if report.totals.bytes_reused > 0 {
        let saved = format!("the cache saved {} of downloads", size(report.totals.bytes_reused));
        out = out + &palette.paint(GOOD, &saved) + "\n";
    }
    out
}

/// `indexes of mirrors: 1 reused, 2 fetched (1 mirror has none)`.
fn indexes_line(indexes: &[IndexReport]) -> String {
    let number = |status| indexes.iter().filter(|index| index.status == status).count();
    let (reused, fetched) = (number(IndexStatus::Cached), number(IndexStatus::Fetched));
    let missing = match number(IndexStatus::Missing) {
        0 => String::new(),
        1 => " (1 mirror has none)".to_owned(),
        many => format!(" ({many} mirrors have none)"),
    };
    format!("indexes of mirrors: {reused} reused, {fetched} fetched{missing}\n")
}

/// `5 specs needed: 3 CACHED (1.9 GiB), 2 fetched, 0 to build (2 external, 1 installed)`. The optional status is left out
/// where nothing has it.
pub(crate) fn headline(report: &Report, cached: &str, optional: Status, size: fn(&Report, Status) -> String) -> String {
    let part = |(status, words): (Status, &str)| match report.count(status) {
        0 if status == optional => None,
        number => Some(format!("{number} {words}{}", size(report, status))),
    };
    let from_mirrors = [(Status::Cached, cached), (Status::Fetched, "fetched"), (Status::Fetch, "to fetch")];
    let to_build = format!("{} to build", report.count(Status::Build));
    let parts: Vec<String> = from_mirrors.into_iter().filter_map(part).chain([to_build]).collect();
    let provided = [(Status::External, "external"), (Status::Installed, "installed")]
        .map(|(status, word)| (report.count(status), word));
    let needed = report.specs.len() - provided.iter().map(|(number, _)| number).sum::<usize>();
    let mut out = count(needed as u64, "spec") + " needed";
    if needed > 0 {
        out = out + ": " + &parts.join(", ");
    }
    let provided = provided.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}"));
    let provided = provided.collect::<Vec<_>>().join(", ");
    if provided.is_empty() { out } else { format!("{out} ({provided})") }
}

/// What comes out of a cache together with its metadata is told apart.
fn built_before(report: &Report) -> String {
    let built = || report.specs.iter().filter(|spec| spec.collected);
    let Some(first) = built().next() else { return String::new() };
    let mirror = first.mirror.as_deref().map(printable).unwrap_or_default();
    let number = count(built().count() as u64, "spec");
    format!("{number} of these: built here before, from mirror `{mirror}`\n")
}

/// `reused 1.9 GiB of 2.0 GiB, fetched 100.0 MiB and 28.1 KiB of metadata in 31 requests, 4.2 s`.
fn traffic(totals: &Totals) -> String {
    let reused = match totals.bytes_needed {
        0 => String::new(),
        needed => format!("reused {} of {}, ", size(totals.bytes_reused), size(needed)),
    };
    let resumed = match totals.bytes_resumed {
        0 => String::new(),
        bytes => format!(" (of it {} by a run before)", size(bytes)),
    };
    let (fetched, metadata) = (size(totals.bytes_fetched), size(totals.metadata_bytes));
    let (requests, time) = (count(totals.requests, "request"), duration(totals.seconds));
    format!("{reused}fetched {fetched}{resumed} and {metadata} of metadata in {requests}, {time}\n")
}

/// The specs that no mirror has, at most [`NAMED`] of them.
fn to_build(report: &Report, palette: Palette) -> String {
    let specs: Vec<_> = report.specs.iter().filter(|spec| spec.status == Status::Build).collect();
    if specs.is_empty() {
        return String::new();
    }
    let heading = palette.paint(PENDING, "Spack has to build:") + "\n";
    let named: String = specs.iter().take(NAMED).map(|spec| spec_line(spec)).collect();
    let rest = specs.len().saturating_sub(NAMED);
    heading + &named + &if rest > 0 { format!("  and {rest} more\n") } else { String::new() }
}

/// `app@2.0/abcdefg (development build)`.
fn spec_line(spec: &SpecReport) -> String {
    let reason = spec.reason.as_deref().map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
    format!("  {}@{}/{}{reason}\n", spec.name, printable(spec.version.as_str()), spec.hash.short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{self, MIB, spec};

    #[test]
    fn a_warm_run_says_what_the_cache_saved() {
        insta::assert_snapshot!(summary(&samples::prepared(), Palette::Plain), @"
        5 specs needed: 3 reused, 2 fetched, 0 to build (2 external, 1 installed)
        reused 1.9 GiB of 2.0 GiB, fetched 100.0 MiB and 28.1 KiB of metadata in 31 requests, 4.2 s
        the cache saved 1.9 GiB of downloads
        ");
    }

    #[test]
    fn a_cold_run_claims_no_savings() {
        let mut report = Report::new("prepare");
        report.specs = vec![spec("zlib", "1.3", Status::Fetched, Some(24 * MIB))];
        report.totals = Totals {
            bytes_needed: 24 * MIB,
            bytes_reused: 0,
            bytes_fetched: 24 * MIB,
            bytes_resumed: 0,
            metadata_bytes: 812,
            requests: 1,
            seconds: 75.2,
        };
        insta::assert_snapshot!(summary(&report, Palette::Plain), @"
        1 spec needed: 0 reused, 1 fetched, 0 to build
        reused 0 B of 24.0 MiB, fetched 24.0 MiB and 812 B of metadata in 1 request, 1 min 15 s
        ");
    }

    #[test]
    fn what_has_to_be_built_is_named_up_to_a_point() {
        let mut report = samples::prepared();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        report.specs = names.iter().map(|name| spec(name, "git.x/y=1", Status::Build, None)).collect();
        report.specs[1].reason = Some("development build".to_owned());
        insta::assert_snapshot!(summary(&report, Palette::Plain), @"
        12 specs needed: 0 reused, 0 fetched, 12 to build
        reused 1.9 GiB of 2.0 GiB, fetched 100.0 MiB and 28.1 KiB of metadata in 31 requests, 4.2 s
        the cache saved 1.9 GiB of downloads
        Spack has to build:
          a@git.x/y=1/aaaaaaa
          b@git.x/y=1/baaaaaa (development build)
          c@git.x/y=1/caaaaaa
          d@git.x/y=1/daaaaaa
          e@git.x/y=1/eaaaaaa
          f@git.x/y=1/faaaaaa
          g@git.x/y=1/gaaaaaa
          h@git.x/y=1/haaaaaa
          i@git.x/y=1/iaaaaaa
          j@git.x/y=1/jaaaaaa
          and 2 more
        ");
    }

    #[test]
    fn an_environment_of_externals_needs_nothing() {
        let mut report = Report::new("prepare");
        report.specs = vec![spec("glibc", "2.36", Status::External, None)];
        insta::assert_snapshot!(summary(&report, Palette::Plain), @"
        0 specs needed (1 external)
        fetched 0 B and 0 B of metadata in 0 requests, 0.0 s
        ");
    }
}
