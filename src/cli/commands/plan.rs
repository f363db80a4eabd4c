//! `larder plan`: what the job needs and where each binary would come from.

use std::collections::BTreeMap;

use anstyle::Style;
use clap::Args;
use larder::commands;
use larder::report::{Report, SpecReport, Status};

use crate::cli::invocation::{Invocation, block_on};
use crate::cli::needed;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::palette::{BAD, FAINT, GOOD, PENDING, Palette};
use crate::cli::printable::printable;
use crate::cli::selection::SelectionOptions;
use crate::cli::table::{self, Column, Line};
use crate::cli::units::size;

/// Show what the job needs and where each binary would come from; change nothing
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  larder plan
  larder plan -e envs/app --mirror https://binaries.example.org/develop
  larder plan --spec hdf5 --build-deps all --json")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    selection: SelectionOptions,
}

impl PlanArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.session(invocation.config()?);
        let report = block_on(commands::plan(&session, &self.selection.wanted()))?;
        let console = invocation.console;
        invocation.show_result(&report, &render(&report, console.width, console.out))?;
        Ok(self.selection.outcome(&report))
    }
}

const COLUMNS: [Column; 7] = [
    Column::Text("PACKAGE"),
    Column::Text("VERSION"),
    Column::Whole("HASH"),
    Column::Whole("STATUS"),
    Column::Number("SIZE"),
    Column::Text("MIRROR"),
    Column::Text("CACHE"),
];

/// The index of `STATUS`.
const STATUS: usize = 3;

/// The table, and a line with its totals.
fn render(report: &Report, width: Option<u16>, palette: Palette) -> String {
    // What has to be built comes last, just above the prompt. A stable sort keeps the order of names among the others.
    let mut specs: Vec<_> = report.specs.iter().collect();
    specs.sort_by_key(|spec| spec.status);
    let lines: Vec<_> = specs.into_iter().map(line).collect();
    table::render(&COLUMNS, &lines, width, palette)
        + &needed::headline(report, "cached", Status::Fetched, size_of)
        + "\n"
        + &groups(report)
}

/// The groups whose roots are among the needed specs, where the lockfiles have groups.
fn groups(report: &Report) -> String {
    let mut roots: BTreeMap<&str, usize> = BTreeMap::new();
    for group in report.specs.iter().flat_map(|spec| &spec.groups) {
        *roots.entry(group).or_default() += 1;
    }
    if roots.is_empty() {
        return String::new();
    }
    let shown: Vec<_> = roots.into_iter().map(|(group, roots)| format!("{} {roots}", printable(group))).collect();
    format!("roots by group: {} (`--group NAME` chooses)\n", shown.join(", "))
}

fn line(spec: &SpecReport) -> Line {
    let (word, style) = word(spec.status);
    let dash = || "-".to_owned();
    // Why there is no mirror to name stands in its place: the status stays a word.
    let reason = spec.reason.as_ref().map(|reason| format!("({reason})"));
    let bytes = match (spec.bytes, spec.status) {
        (Some(bytes), _) => size(bytes),
        (None, Status::Cached | Status::Fetch | Status::Fetched) => "?".to_owned(),
        (None, _) => "-".to_owned(),
    };
    let cells = vec![
        spec.name.to_string(),
        spec.version.to_string(),
        spec.hash.short().to_owned(),
        word.to_owned(),
        bytes,
        spec.mirror.clone().or(reason).unwrap_or_else(dash),
        // In no cache: the folder that holds it is its mirror.
        spec.cache.clone().unwrap_or_else(|| if spec.collected { "(collected)".to_owned() } else { dash() }),
    ];
    Line { cells, painted: STATUS, style }
}

fn word(status: Status) -> (&'static str, Style) {
    match status {
        Status::External => ("external", FAINT),
        Status::Installed => ("installed", FAINT),
        Status::Cached => ("cached", GOOD),
        Status::Fetched => ("fetched", GOOD),
        Status::Fetch => ("fetch", PENDING),
        Status::Build => ("build", BAD),
    }
}

/// The sizes together, as far as they are known: a v2 mirror states none before the download.
fn size_of(report: &Report, status: Status) -> String {
    let sizes: Vec<_> = report.specs.iter().filter(|spec| spec.status == status).map(|spec| spec.bytes).collect();
    let sum: u64 = sizes.iter().flatten().sum();
    match (sizes.iter().any(Option::is_none), sum) {
        (false, 0) => String::new(),
        (false, sum) => format!(" ({})", size(sum)),
        (true, 0) => " (size unknown)".to_owned(),
        (true, sum) => format!(" (at least {})", size(sum)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{GIB, MIB, spec};

    fn sample() -> Report {
        let mut report = Report::new("plan");
        report.specs = vec![
            spec("app", "2.0", Status::Build, None),
            spec("glibc", "2.36", Status::External, None),
            spec("hdf", "1.14.3", Status::Cached, Some(GIB)),
            spec("libbase", "git.feature/x=0.4", Status::Fetch, Some(100 * MIB)),
            spec("mpich", "4.2", Status::Installed, None),
            spec("zlib", "1.3", Status::Fetch, None),
        ];
        report.specs[0].reason = Some("development build".to_owned());
        report
    }

    #[test]
    fn what_has_to_be_built_comes_last_and_the_totals_below() {
        insta::assert_snapshot!(render(&sample(), None, Palette::Plain), @"
        PACKAGE  VERSION            HASH     STATUS          SIZE  MIRROR               CACHE
        glibc    2.36               glibcaa  external           -  -                    -
        mpich    4.2                mpichaa  installed          -  -                    -
        hdf      1.14.3             hdfaaaa  cached       1.0 GiB  develop              shared
        libbase  git.feature/x=0.4  libbase  fetch      100.0 MiB  develop              shared
        zlib     1.3                zlibaaa  fetch              ?  develop              shared
        app      2.0                appaaaa  build              -  (development build)  -

        4 specs needed: 1 cached (1.0 GiB), 2 to fetch (at least 100.0 MiB), 1 to build (1 external, 1 installed)
        ");
    }

    #[test]
    fn groups_are_counted_below_the_table() {
        let mut report = sample();
        report.specs[0].groups = vec!["apps".to_owned(), "tools".to_owned()];
        report.specs[2].groups = vec!["tools\n".to_owned()];
        let table = render(&report, None, Palette::Plain);
        insta::assert_snapshot!(table.lines().last().unwrap(), @r"roots by group: apps 1, tools 1, tools\n 1 (`--group NAME` chooses)");
    }

    #[test]
    fn a_narrow_terminal_cuts_text_but_not_hash_status_and_size() {
        let table = render(&sample(), Some(72), Palette::Plain);
        assert!(table.lines().take(7).all(|line| line.chars().count() <= 72), "{table}");
        insta::assert_snapshot!(table, @"
        PACKAGE  VERSION      HASH     STATUS          SIZE  MIRROR       CACHE
        glibc    2.36         glibcaa  external           -  -            -
        mpich    4.2          mpichaa  installed          -  -            -
        hdf      1.14.3       hdfaaaa  cached       1.0 GiB  develop      shared
        libbase  git.featur…  libbase  fetch      100.0 MiB  develop      shared
        zlib     1.3          zlibaaa  fetch              ?  develop      shared
        app      2.0          appaaaa  build              -  (developme…  -

        4 specs needed: 1 cached (1.0 GiB), 2 to fetch (at least 100.0 MiB), 1 to build (1 external, 1 installed)
        ");
    }

    #[test]
    fn a_terminal_of_any_width_gets_one_line_per_spec() {
        for width in 1..=140 {
            let table = render(&sample(), Some(width), Palette::Coloured);
            assert_eq!(table.lines().count(), 9, "{width}: {table}");
        }
    }

    #[test]
    fn only_the_status_is_painted_and_colours_take_no_room() {
        let coloured = render(&sample(), None, Palette::Coloured);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), render(&sample(), None, Palette::Plain));
        assert!(coloured.contains("\u{1b}[32mcached\u{1b}[0m  "), "{coloured:?}");
        assert!(coloured.contains("\u{1b}[1m\u{1b}[31mbuild\u{1b}[0m  "), "{coloured:?}");
    }

    #[test]
    fn text_of_a_mirror_can_not_paint_or_break_lines() {
        let mut report = sample();
        report.specs[2].mirror = Some("x\u{1b}[31m\n\u{2061}y\u{2062}".to_owned());
        let table = render(&report, None, Palette::Plain);
        assert!(table.contains(r"x\u{1b}[31m\n\u{2061}y\u{2062}"), "{table}");
    }

    #[test]
    fn nothing_needed_is_said_without_a_table() {
        assert_eq!(render(&Report::new("plan"), None, Palette::Plain), "0 specs needed\n");
    }
}
