//! `larder list`: what the caches hold, for whom, how large, and when it was last used.
//!
//! In layout v3 a spec has two blobs, the archive and a few kilobytes with the spec's own JSON. A row stands for a
//! spec, so the small one is counted in the row of the large one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anstyle::Style;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use larder::commands;
use larder::report::{BlobReport, CacheReport, Report};
use larder::types::{BlobRole, DagHash, IndexStanding};

use crate::cli::invocation::{Invocation, block_on};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::palette::{FAINT, Palette};
use crate::cli::printable::printable;
use crate::cli::table::{self, Column, Line};
use crate::cli::units::{count, size};

/// Show what the caches hold, for whom, how large, and when it was last used
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  larder list
  larder list --sort size
  larder list --cache shared --json")]
pub(crate) struct ListArgs {
    /// What comes first: the alphabet, the largest, or what was unused for longest (as pruning takes it)
    #[arg(long, value_enum, value_name = "BY", default_value_t)]
    sort: SortBy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SortBy {
    #[default]
    Name,
    Size,
    Used,
}

impl ListArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.session(invocation.config()?);
        let report = block_on(commands::list(&session))?;
        let console = invocation.console;
        let table = render(&report, self.sort, Timestamp::now(), console.width, console.out);
        invocation.show_result(&report, &table)
    }
}

const COLUMNS: [Column; 7] = [
    Column::Text("PACKAGE"),
    Column::Text("VERSION"),
    Column::Whole("HASH"),
    Column::Number("SIZE"),
    Column::Whole("LAST USED"),
    Column::Text("MIRROR"),
    Column::Text("CACHE"),
];

/// The index of `PACKAGE`.
const PACKAGE: usize = 0;

/// One spec in one cache.
struct Entry<'a> {
    blob: &'a BlobReport,
    cache: &'a str,
    /// With the blobs that are counted in.
    bytes: u64,
    last_used: Timestamp,
}

/// The table, and a line with the totals of each cache. `now` is what `LAST USED` counts from.
pub(super) fn render(report: &Report, order: SortBy, now: Timestamp, width: Option<u16>, palette: Palette) -> String {
    let mut entries: Vec<_> = report.caches.iter().flat_map(entries).collect();
    match order {
        SortBy::Name => entries.sort_by(|a, b| a.name().cmp(&b.name())),
        SortBy::Size => entries.sort_by_key(|entry| Reverse(entry.bytes)),
        SortBy::Used => entries.sort_by_key(|entry| entry.last_used),
    }
    let lines: Vec<_> = entries.iter().map(|entry| entry.line(now)).collect();
    let totals = report.caches.iter().map(|cache| {
        let (name, path) = (printable(&cache.name), printable(cache.url.as_ref().unwrap_or(&cache.path)));
        format!("{name}: {}, {} in {path}\n", count(cache.blobs, "blob"), size(cache.bytes))
    });
    table::render(&COLUMNS, &lines, width, palette) + &totals.collect::<String>()
}

/// The blobs of a cache, those of layout v3 with their spec's JSON counted in.
fn entries(cache: &CacheReport) -> Vec<Entry<'_>> {
    let entry = |blob| Entry { blob, cache: &cache.name, bytes: blob.bytes, last_used: blob.last_used };
    let (spec_files, binaries): (Vec<&BlobReport>, Vec<_>) = cache.contents.iter().partition(|blob| is_spec_file(blob));
    let mut row_of: BTreeMap<DagHash, usize> = BTreeMap::new();
    for (row, blob) in binaries.iter().enumerate() {
        for request in &blob.requests {
            row_of.entry(request.hash).or_insert(row);
        }
    }
    let mut entries: Vec<Entry<'_>> = binaries.into_iter().map(entry).collect();
    for blob in spec_files {
        match blob.requests.iter().find_map(|request| row_of.get(&request.hash)) {
            Some(row) => {
                entries[*row].bytes += blob.bytes;
                entries[*row].last_used = entries[*row].last_used.max(blob.last_used);
            }
            None => entries.push(entry(blob)),
        }
    }
    entries
}

fn is_spec_file(blob: &BlobReport) -> bool {
    blob.requests.iter().map(|request| request.role).min() == Some(BlobRole::Spec)
}

impl Entry<'_> {
    /// What names sort by: what is no longer requested comes last.
    fn name(&self) -> (bool, Option<(&str, &str, &str)>) {
        let first = self.blob.requests.first();
        (first.is_none(), first.map(|first| (first.name.as_str(), first.version.as_str(), first.hash.as_str())))
    }

    fn line(&self, now: Timestamp) -> Line {
        let requests = &self.blob.requests;
        let dash = || "-".to_owned();
        let indexes = &self.blob.indexes;
        let is_superseded = indexes.iter().all(|index| index.standing == IndexStanding::Superseded);
        let (package, version, style) = match requests.first() {
            None if !indexes.is_empty() && is_superseded => ("(older index)".to_owned(), dash(), FAINT),
            None if !indexes.is_empty() => ("(index)".to_owned(), dash(), Style::new()),
            None => ("(no longer requested)".to_owned(), dash(), FAINT),
            Some(first) if is_spec_file(self.blob) => {
                (format!("{} (spec file)", first.name), first.version.to_string(), Style::new())
            }
            Some(first) => (first.name.to_string(), first.version.to_string(), Style::new()),
        };
        let mirrors = requests.iter().map(|request| request.mirror.as_str());
        let cells = vec![
            package,
            version,
            first_of(requests.iter().map(|request| request.hash.short())),
            size(self.bytes),
            ago(self.last_used, now),
            first_of(mirrors.chain(indexes.iter().map(|index| index.mirror.as_str()))),
            self.cache.to_owned(),
        ];
        Line { cells, painted: PACKAGE, style }
    }
}

/// The first text, and how many others there are besides.
fn first_of<'a>(mut texts: impl Iterator<Item = &'a str>) -> String {
    let Some(first) = texts.next() else { return "-".to_owned() };
    let others: BTreeSet<&str> = texts.filter(|text| *text != first).collect();
    if others.is_empty() { first.to_owned() } else { format!("{first} +{}", others.len()) }
}

/// `3 days ago`. What lies in the future was written by a machine whose clock is ahead: that is now.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.duration_since(then).as_secs()).unwrap_or(0);
    match (seconds / 60, seconds / 3600, seconds / 86_400) {
        (0, ..) => "just now".to_owned(),
        (minutes, 0, _) => count(minutes, "minute") + " ago",
        (_, hours, 0) => count(hours, "hour") + " ago",
        (.., days) => count(days, "day") + " ago",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{GIB, MIB, blob, cache, hash};

    const NOW: &str = "2026-03-04T12:00:00Z";

    fn sample() -> Report {
        let mut shared = cache("shared", 5, GIB + 41 * MIB);
        shared.contents = vec![
            blob(1, "zlib", BlobRole::Binary, 24 * MIB, "2026-03-04T11:59:50Z"),
            blob(2, "app", BlobRole::Binary, 16 * MIB, "2026-02-01T12:00:00Z"),
            blob(3, "app", BlobRole::Spec, 9_000, "2026-03-01T12:00:00Z"),
            blob(4, "lost", BlobRole::Spec, 9_000, "2026-03-03T11:00:00Z"),
            blob(5, "gone", BlobRole::Binary, GIB, "2025-03-03T11:00:00Z"),
        ];
        shared.contents[4].requests.clear();
        let mut again = shared.contents[0].requests[0].clone();
        again.mirror = "https://other.example.org".to_owned();
        shared.contents[0].requests.push(again.clone());
        again.hash = hash("rebuilt");
        shared.contents[0].requests.push(again);
        let mut branch = cache("branch", 1, 5 * MIB);
        branch.contents = vec![blob(6, "app", BlobRole::Binary, 5 * MIB, "2026-03-04T10:00:00Z")];
        let mut report = Report::new("list");
        report.caches = vec![branch, shared, cache("new", 0, 0)];
        report
    }

    fn shown(order: SortBy, width: Option<u16>) -> String {
        render(&sample(), order, NOW.parse().unwrap(), width, Palette::Plain)
    }

    #[test]
    fn specs_are_listed_by_name_with_their_small_file_counted_in() {
        insta::assert_snapshot!(shown(SortBy::Name, None), @"
        PACKAGE                VERSION  HASH            SIZE  LAST USED     MIRROR                                   CACHE
        app                    1.2      appaaaa      5.0 MiB  2 hours ago   https://binaries.example.org/develop     branch
        app                    1.2      appaaaa     16.0 MiB  3 days ago    https://binaries.example.org/develop     shared
        lost (spec file)       1.2      lostaaa      8.8 KiB  1 day ago     https://binaries.example.org/develop     shared
        zlib                   1.2      zlibaaa +1  24.0 MiB  just now      https://binaries.example.org/develop +1  shared
        (no longer requested)  -        -            1.0 GiB  366 days ago  -                                        shared

        branch: 1 blob, 5.0 MiB in .larder/branch
        shared: 5 blobs, 1.0 GiB in .larder/shared
        new: 0 blobs, 0 B in .larder/new
        ");
    }

    #[test]
    fn the_largest_or_the_longest_unused_may_come_first() {
        let first = |order| shown(order, None).lines().skip(1).take(2).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(first(SortBy::Size), @"
        (no longer requested)  -        -            1.0 GiB  366 days ago  -                                        shared
        zlib                   1.2      zlibaaa +1  24.0 MiB  just now      https://binaries.example.org/develop +1  shared
        ");
        insta::assert_snapshot!(first(SortBy::Used), @"
        (no longer requested)  -        -            1.0 GiB  366 days ago  -                                        shared
        app                    1.2      appaaaa     16.0 MiB  3 days ago    https://binaries.example.org/develop     shared
        ");
    }

    #[test]
    fn a_narrow_terminal_cuts_the_mirror() {
        insta::assert_snapshot!(shown(SortBy::Name, Some(80)), @"
        PACKAGE        VERSION  HASH            SIZE  LAST USED     MIRROR        CACHE
        app            1.2      appaaaa      5.0 MiB  2 hours ago   https://bin…  branch
        app            1.2      appaaaa     16.0 MiB  3 days ago    https://bin…  shared
        lost (spec…    1.2      lostaaa      8.8 KiB  1 day ago     https://bin…  shared
        zlib           1.2      zlibaaa +1  24.0 MiB  just now      https://bin…  shared
        (no longer…    -        -            1.0 GiB  366 days ago  -             shared

        branch: 1 blob, 5.0 MiB in .larder/branch
        shared: 5 blobs, 1.0 GiB in .larder/shared
        new: 0 blobs, 0 B in .larder/new
        ");
    }

    #[test]
    fn times_are_told_as_people_do() {
        let now: Timestamp = NOW.parse().unwrap();
        let told = |then: &str| ago(then.parse().unwrap(), now);
        assert_eq!(told("2026-03-04T12:00:30Z"), "just now");
        assert_eq!(told("2026-03-04T11:58:50Z"), "1 minute ago");
        assert_eq!(told("2026-03-04T09:59:00Z"), "2 hours ago");
        assert_eq!(told("2026-03-03T12:00:00Z"), "1 day ago");
        assert_eq!(told("2025-03-04T12:00:00Z"), "365 days ago");
    }
}
