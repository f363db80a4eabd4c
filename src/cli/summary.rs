//! What a run did, in a few sentences.
//!
//! Warnings are not repeated here: the reporter told them when they came up.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use larder::commands::{FileOutcome, Initialised, TEMPLATE};
use larder::report::{CacheReport, Report, SpecReport, Status, UploadReason, Uploads};
use larder::types::{Totals, UploadCause};

use super::console::{GOOD, PENDING, Palette, count, duration, printable, size};

/// How many specs that must be built are named.
const NAMED: usize = 10;

/// Whether a command did what it says or only looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// It did.
    Real,
    /// `--dry-run`.
    Dry,
}

/// The end of `prepare` and `warm`.
pub fn prepared(report: &Report, palette: Palette) -> String {
    let mut out = needed(report);
    out.push_str(&built_before(report));
    let totals = &report.totals;
    out.push_str(&traffic(totals));
    if totals.bytes_reused > 0 {
        let saved = format!("the cache saved {} of downloads", size(totals.bytes_reused));
        line(&mut out, &palette.paint(GOOD, &saved));
    }
    out.push_str(&to_build(report, palette));
    out
}

/// How to have Spack use the job mirror, in one line that can be copied.
pub fn how_to_use(scope: &Path, environments: &[PathBuf], here: &Path) -> String {
    let shown = |path: &Path| match path.strip_prefix(here) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => printable(&inside.to_string_lossy()).into_owned(),
        Err(_) => printable(&path.to_string_lossy()).into_owned(),
    };
    let environment = match environments {
        [folder] if folder.is_dir() => shown(folder),
        _ => "ENVIRONMENT".to_owned(),
    };
    format!("now run: spack -C {} -e {environment} install\n", shown(scope))
}

/// The end of `finish` and `clean`: a line for each cache.
pub fn pruned(report: &Report, run: Run, palette: Palette) -> String {
    let mut out = String::new();
    for cache in &report.caches {
        line(&mut out, &pruned_cache(cache, run, palette));
    }
    out
}

/// The end of `collect`.
pub fn collected(report: &Report, run: Run, palette: Palette) -> String {
    let mut out = String::new();
    let specs = report.specs.len() as u64;
    for folder in &report.caches {
        let pushed: u64 = report.specs.iter().filter_map(|spec| spec.bytes).sum();
        let deed = match (specs, run) {
            (0, _) => palette.paint(GOOD, "nothing to push, nothing changed"),
            (_, Run::Real) => format!("pushed {} ({})", count(specs, "spec"), size(pushed)),
            (_, Run::Dry) => palette.paint(PENDING, &format!("would push {}", count(specs, "spec"))),
        };
        let removed = match folder.removed {
            0 => String::new(),
            removed => format!("; removed {} ({})", count(removed, "blob"), size(folder.removed_bytes)),
        };
        let state = format!("it holds {} ({})", count(folder.blobs, "blob"), size(folder.bytes));
        line(&mut out, &format!("{}: {deed}{removed}; {state}", printable(&folder.name)));
    }
    out
}

/// What `init` made, as text.
pub struct InitText {
    /// For the person at the keyboard.
    pub notes: Vec<String>,
    /// What no file took.
    pub result: String,
}

/// The end of `init`.
pub fn initialised(made: &Initialised, here: &Path) -> InitText {
    let named = |path: &Path| path.strip_prefix(here).unwrap_or(path).display().to_string();
    let mut notes: Vec<_> = made.written.iter().map(|path| format!("wrote `{}`", named(path))).collect();
    let result = match made.pipeline_file {
        FileOutcome::Printed => format!("# larder.yaml\n{}\n# .gitlab-ci.yml\n{}", made.config, made.pipeline),
        FileOutcome::Kept => {
            notes.push("there is a `.gitlab-ci.yml` already; add this to it:".to_owned());
            made.pipeline.clone()
        }
        FileOutcome::Written | FileOutcome::Same => String::new(),
    };
    if made.template_file == FileOutcome::Kept {
        notes.push(format!("there is a `{TEMPLATE}` already, and it is not the one of this larder; it stays as it is"));
    }
    InitText { notes, result }
}

/// The end of `export`: what the folder holds.
pub fn exported(report: &Report) -> String {
    let Some(export) = &report.export else { return String::new() };
    let mut out =
        format!("`{}` holds {} ({})", printable(&export.path), count(export.blobs, "blob"), size(export.bytes));
    // Writing to a string can't fail.
    let _ = match export.added {
        0 => writeln!(out, ", all of them from before"),
        added => writeln!(out, ", {added} of them new ({})", size(export.added_bytes)),
    };
    for key in &export.keys {
        line(&mut out, &format!("with the public key {}", printable(key)));
    }
    line(&mut out, "README.txt in it says how to install from it");
    out
}

/// The end of `pack`: what the archive holds.
pub fn packed(report: &Report) -> String {
    let mut out = String::new();
    for cache in report.caches.iter().filter(|cache| cache.blobs > 0) {
        line(&mut out, &format!("{}: {} ({})", printable(&cache.name), count(cache.blobs, "blob"), size(cache.bytes)));
    }
    if let Some(archive) = &report.archive {
        line(&mut out, &format!("wrote `{}` ({})", printable(&archive.path), size(archive.bytes)));
    }
    out
}

/// The end of `unpack`: a line for each cache.
pub fn unpacked(report: &Report, run: Run, palette: Palette) -> String {
    let mut out = String::new();
    for cache in &report.caches {
        let added = count(cache.added, "blob");
        let deed = match (cache.added, run, cache.changed) {
            (0, _, false) => palette.paint(GOOD, "nothing new, nothing changed"),
            (0, _, true) => "nothing new, records changed".to_owned(),
            (_, Run::Real, _) => format!("added {added}"),
            (_, Run::Dry, _) => palette.paint(PENDING, &format!("would add {added}")),
        };
        let now = if run == Run::Dry { "would hold" } else { "holds" };
        let state = format!("it {now} {} ({})", count(cache.blobs, "blob"), size(cache.bytes));
        line(&mut out, &format!("{}: {deed}; {state}", printable(&cache.name)));
    }
    out
}

/// `5 specs needed: 3 reused, 2 fetched, 0 to build (2 external, 1 installed)`.
fn needed(report: &Report) -> String {
    let of = |status| report.count(status);
    let provided = provided(report);
    let needed = report.specs.len() - of(Status::External) - of(Status::Installed);
    let mut out = count(needed as u64, "spec") + " needed";
    if needed > 0 {
        let to_fetch = of(Status::Fetch);
        // Writing to a string can't fail.
        let _ = write!(out, ": {} reused, {} fetched", of(Status::Cached), of(Status::Fetched));
        if to_fetch > 0 {
            let _ = write!(out, ", {to_fetch} to fetch");
        }
        let _ = write!(out, ", {} to build", of(Status::Build));
    }
    if !provided.is_empty() {
        let _ = write!(out, " ({provided})");
    }
    out.push('\n');
    out
}

/// What comes out of a cache together with its metadata is told apart.
fn built_before(report: &Report) -> String {
    let collected: Vec<_> = report.specs.iter().filter(|spec| spec.collected).collect();
    match &collected[..] {
        [] => String::new(),
        [first, ..] => {
            let mirror = first.mirror.as_deref().map(printable).unwrap_or_default();
            let number = count(collected.len() as u64, "spec");
            format!("{number} of these: built here before, from mirror `{mirror}`\n")
        }
    }
}

/// `2 external, 1 installed`: what needs nothing.
pub(super) fn provided(report: &Report) -> String {
    [(Status::External, "external"), (Status::Installed, "installed")]
        .into_iter()
        .filter_map(|(status, word)| match report.count(status) {
            0 => None,
            number => Some(format!("{number} {word}")),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// `reused 1.9 GiB of 2.0 GiB, fetched 100.0 MiB and 28.1 KiB of metadata in 31 requests, 4.2 s`.
fn traffic(totals: &Totals) -> String {
    let mut out = String::new();
    if totals.bytes_needed > 0 {
        let _ = write!(out, "reused {} of {}, ", size(totals.bytes_reused), size(totals.bytes_needed));
    }
    let resumed = match totals.bytes_resumed {
        0 => String::new(),
        bytes => format!(" (of it {} by a run before)", size(bytes)),
    };
    let _ = write!(
        out,
        "fetched {}{resumed} and {} of metadata in {}, {}",
        size(totals.bytes_fetched),
        size(totals.metadata_bytes),
        count(totals.requests, "request"),
        duration(totals.seconds)
    );
    out.push('\n');
    out
}

/// The specs that no mirror has, at most [`NAMED`] of them.
fn to_build(report: &Report, palette: Palette) -> String {
    let specs: Vec<_> = report.specs.iter().filter(|spec| spec.status == Status::Build).collect();
    let mut out = String::new();
    if specs.is_empty() {
        return out;
    }
    line(&mut out, &palette.paint(PENDING, "Spack has to build:"));
    for spec in specs.iter().take(NAMED) {
        line(&mut out, &format!("  {}", spec_line(spec)));
    }
    if specs.len() > NAMED {
        line(&mut out, &format!("  and {} more", specs.len() - NAMED));
    }
    out
}

/// `app@2.0/abcdefg (development build)`.
fn spec_line(spec: &SpecReport) -> String {
    let reason = spec.reason.as_deref().map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
    format!("{}@{}/{}{reason}", spec.name, printable(spec.version.as_str()), spec.hash.short())
}

fn pruned_cache(cache: &CacheReport, run: Run, palette: Palette) -> String {
    let name = printable(&cache.name);
    if let Some(uploads) = cache.uploads {
        return format!("{name}: {}; {}", upload(cache, uploads, run, palette), archive(cache, run));
    }
    let removed = format!("{} ({})", count(cache.removed, "blob"), size(cache.removed_bytes));
    if let Some(url) = &cache.url {
        let deed = match (cache.removed, cache.added, run) {
            (0, 0, _) => palette.paint(GOOD, "nothing to add, nothing to remove"),
            (0, added, _) => format!("added {} ({})", count(added, "blob"), size(cache.added_bytes)),
            (_, _, Run::Real) => format!("removed {removed}"),
            (_, _, Run::Dry) => palette.paint(PENDING, &format!("would remove {removed}")),
        };
        return format!("{name}: {deed}; at {}", printable(url));
    }
    let deed = match (cache.removed, run, cache.changed) {
        (0, _, false) => palette.paint(GOOD, "nothing to remove, nothing changed"),
        (0, _, true) => match cache.added {
            0 => "nothing to remove, records changed".to_owned(),
            added => format!("nothing to remove, {} added", count(added, "blob")),
        },
        (_, Run::Real, _) => format!("removed {removed}"),
        (_, Run::Dry, _) => palette.paint(PENDING, &format!("would remove {removed}")),
    };
    format!("{name}: {deed}; {}", archive(cache, run))
}

/// Blobs are compressed already: the archive is as large as they are together.
fn archive(cache: &CacheReport, run: Run) -> String {
    match (cache.blobs, run) {
        (0, Run::Real) => "it is empty".to_owned(),
        (0, Run::Dry) => "it would be empty".to_owned(),
        (blobs, Run::Real) => format!("its archive holds {}, about {}", count(blobs, "blob"), size(cache.bytes)),
        (blobs, Run::Dry) => format!("its archive would hold {}, about {}", count(blobs, "blob"), size(cache.bytes)),
    }
}

/// Whether the runner uploads the cache, and why.
fn upload(cache: &CacheReport, uploads: Uploads, run: Run, palette: Palette) -> String {
    let reasons: Vec<_> = cache.upload_reasons.iter().map(reason).collect();
    let because = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let does = if run == Run::Dry { "the runner would upload it" } else { "the runner uploads it" };
    let mut text = match uploads {
        Uploads::No if reasons.is_empty() => palette.paint(GOOD, "no upload, nothing in it changed"),
        Uploads::No => format!("no upload, since this job only restores it{because}"),
        Uploads::Yes => format!("{}{because}", palette.paint(PENDING, does)),
        Uploads::First => format!("{}{because}", palette.paint(PENDING, &format!("{does} for the first time"))),
    };
    if cache.waste_bytes > 0 {
        let _ = write!(text, ", and {} of waste stay for now", size(cache.waste_bytes));
    }
    text
}

/// `2 new blobs, 1.2 MiB`.
fn reason(reason: &UploadReason) -> String {
    let example = reason.example.as_deref().map(|path| format!(" such as `{}`", printable(path))).unwrap_or_default();
    match reason.cause {
        UploadCause::NewBlobs => format!("{}: {}", count(reason.entries, "new blob"), size(reason.bytes)),
        UploadCause::RemovedBlobs if reason.bytes > 0 => {
            format!("{}: {}", count(reason.entries, "removed blob"), size(reason.bytes))
        }
        UploadCause::RemovedBlobs => "removed blobs".to_owned(),
        UploadCause::Records => "new records".to_owned(),
        UploadCause::Foreign => format!("what larder did not put there,{example}"),
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{self, GIB, MIB, cache, spec};

    fn after_finish(cache: CacheReport, run: Run) -> String {
        let mut report = Report::new("finish");
        report.caches = vec![cache];
        pruned(&report, run, Palette::Plain)
    }

    #[test]
    fn a_warm_run_says_what_the_cache_saved() {
        insta::assert_snapshot!(prepared(&samples::prepared(), Palette::Plain), @"
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
        insta::assert_snapshot!(prepared(&report, Palette::Plain), @"
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
        insta::assert_snapshot!(prepared(&report, Palette::Plain), @"
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
        insta::assert_snapshot!(prepared(&report, Palette::Plain), @"
        0 specs needed (1 external)
        fetched 0 B and 0 B of metadata in 0 requests, 0.0 s
        ");
    }

    #[test]
    fn a_pruned_cache_says_what_is_gone_and_what_is_left() {
        let pruned = CacheReport { removed: 3, removed_bytes: GIB, changed: true, ..cache("shared", 12, 4 * GIB) };
        insta::assert_snapshot!(after_finish(pruned.clone(), Run::Real), @"shared: removed 3 blobs (1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(CacheReport { changed: false, ..pruned }, Run::Dry), @"shared: would remove 3 blobs (1.0 GiB); its archive would hold 12 blobs, about 4.0 GiB");
        let emptied = CacheReport { removed: 1, removed_bytes: MIB, changed: true, ..cache("branch", 0, 0) };
        insta::assert_snapshot!(after_finish(emptied, Run::Real), @"branch: removed 1 blob (1.0 MiB); it is empty");
    }

    fn because(cause: UploadCause, entries: u64, bytes: u64, example: Option<&str>) -> UploadReason {
        UploadReason { cause, entries, bytes, example: example.map(str::to_owned) }
    }

    #[test]
    fn finish_says_in_one_line_whether_the_runner_uploads_and_what_makes_it() {
        let kept = CacheReport { uploads: Some(Uploads::No), ..cache("shared", 12, 4 * GIB) };
        insta::assert_snapshot!(after_finish(kept.clone(), Run::Real), @"shared: no upload, nothing in it changed; its archive holds 12 blobs, about 4.0 GiB");
        let lazy = CacheReport { waste_bytes: 300 * MIB, ..kept.clone() };
        insta::assert_snapshot!(after_finish(lazy, Run::Real), @"shared: no upload, nothing in it changed, and 300.0 MiB of waste stay for now; its archive holds 12 blobs, about 4.0 GiB");
        let reasons = vec![
            because(UploadCause::NewBlobs, 2, MIB, Some("blobs/sha256/ab/x")),
            because(UploadCause::Records, 1, 800, Some("larder.json")),
            because(UploadCause::RemovedBlobs, 1, GIB, None),
        ];
        let changed = CacheReport { uploads: Some(Uploads::Yes), upload_reasons: reasons.clone(), ..kept.clone() };
        insta::assert_snapshot!(after_finish(changed.clone(), Run::Real), @"shared: the runner uploads it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(changed.clone(), Run::Dry), @"shared: the runner would upload it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive would hold 12 blobs, about 4.0 GiB");
        let pulled = CacheReport { uploads: Some(Uploads::No), ..changed };
        insta::assert_snapshot!(after_finish(pulled, Run::Real), @"shared: no upload, since this job only restores it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        let first =
            CacheReport { uploads: Some(Uploads::First), upload_reasons: reasons[..1].to_vec(), ..kept.clone() };
        insta::assert_snapshot!(after_finish(first, Run::Real), @"shared: the runner uploads it for the first time (2 new blobs: 1.0 MiB); its archive holds 12 blobs, about 4.0 GiB");
        let reasons = vec![because(UploadCause::Foreign, 3, 0, Some("a\u{1b}[0K"))];
        let touched = CacheReport { uploads: Some(Uploads::Yes), upload_reasons: reasons, ..kept };
        insta::assert_snapshot!(after_finish(touched, Run::Real), @r"shared: the runner uploads it (what larder did not put there, such as `a\u{1b}[0K`); its archive holds 12 blobs, about 4.0 GiB");
    }

    #[test]
    fn a_cache_without_change_says_so() {
        insta::assert_snapshot!(after_finish(cache("shared", 12, 4 * GIB), Run::Real), @"shared: nothing to remove, nothing changed; its archive holds 12 blobs, about 4.0 GiB");
        let added = CacheReport { added: 2, changed: true, ..cache("shared", 12, 4 * GIB) };
        insta::assert_snapshot!(after_finish(added.clone(), Run::Real), @"shared: nothing to remove, 2 blobs added; its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(CacheReport { added: 0, ..added }, Run::Real), @"shared: nothing to remove, records changed; its archive holds 12 blobs, about 4.0 GiB");
    }
}
