//! What `finish`, `clean` and `prune` say in the end: a line for each cache.

use std::fmt::Write as _;

use larder::commands::Mode;
use larder::report::{CacheReport, Report, UploadReason, Uploads};
use larder::types::UploadCause;

use super::palette::{GOOD, PENDING, Palette};
use super::printable::printable;
use super::units::{count, size, sized};

/// What was removed, what is left, and whether the runner uploads it.
pub(crate) fn pruned(report: &Report, mode: Mode, palette: Palette) -> String {
    let line = |cache: &CacheReport| format!("{}: {}\n", printable(&cache.name), deed(cache, mode, palette));
    report.caches.iter().map(line).collect()
}

fn deed(cache: &CacheReport, mode: Mode, palette: Palette) -> String {
    if let Some(uploads) = cache.uploads {
        return format!("{}; {}", upload(cache, uploads, mode, palette), archive(cache, mode));
    }
    let removed = sized(cache.removed, "blob", cache.removed_bytes);
    let removed = match mode {
        Mode::Act => format!("removed {removed}"),
        Mode::Pretend => palette.paint(PENDING, &format!("would remove {removed}")),
    };
    if let Some(url) = &cache.url {
        let deed = match (cache.removed, cache.added) {
            (0, 0) => palette.paint(GOOD, "nothing to add, nothing to remove"),
            (0, added) => format!("added {}", sized(added, "blob", cache.added_bytes)),
            _ => removed,
        };
        return format!("{deed}; at {}", printable(url));
    }
    let deed = match (cache.removed, cache.changed, cache.added) {
        (0, false, _) => palette.paint(GOOD, "nothing to remove, nothing changed"),
        (0, true, 0) => "nothing to remove, records changed".to_owned(),
        (0, true, added) => format!("nothing to remove, {} added", count(added, "blob")),
        _ => removed,
    };
    format!("{deed}; {}", archive(cache, mode))
}

/// Blobs are compressed already: the archive is as large as they are together.
fn archive(cache: &CacheReport, mode: Mode) -> String {
    let (is, holds) = match mode {
        Mode::Act => ("is", "holds"),
        Mode::Pretend => ("would be", "would hold"),
    };
    match cache.blobs {
        0 => format!("it {is} empty"),
        blobs => format!("its archive {holds} {}, about {}", count(blobs, "blob"), size(cache.bytes)),
    }
}

/// Whether the runner uploads the cache, and why.
fn upload(cache: &CacheReport, uploads: Uploads, mode: Mode, palette: Palette) -> String {
    let reasons: Vec<_> = cache.upload_reasons.iter().map(reason).collect();
    let because = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let does = if mode == Mode::Pretend { "the runner would upload it" } else { "the runner uploads it" };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{GIB, MIB, cache};

    fn after_finish(cache: CacheReport, mode: Mode) -> String {
        let mut report = Report::new("finish");
        report.caches = vec![cache];
        pruned(&report, mode, Palette::Plain)
    }

    #[test]
    fn a_pruned_cache_says_what_is_gone_and_what_is_left() {
        let pruned = CacheReport { removed: 3, removed_bytes: GIB, changed: true, ..cache("shared", 12, 4 * GIB) };
        insta::assert_snapshot!(after_finish(pruned.clone(), Mode::Act), @"shared: removed 3 blobs (1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(CacheReport { changed: false, ..pruned }, Mode::Pretend), @"shared: would remove 3 blobs (1.0 GiB); its archive would hold 12 blobs, about 4.0 GiB");
        let emptied = CacheReport { removed: 1, removed_bytes: MIB, changed: true, ..cache("branch", 0, 0) };
        insta::assert_snapshot!(after_finish(emptied, Mode::Act), @"branch: removed 1 blob (1.0 MiB); it is empty");
    }

    fn because(cause: UploadCause, entries: u64, bytes: u64, example: Option<&str>) -> UploadReason {
        UploadReason { cause, entries, bytes, example: example.map(str::to_owned) }
    }

    #[test]
    fn finish_says_in_one_line_whether_the_runner_uploads_and_what_makes_it() {
        let kept = CacheReport { uploads: Some(Uploads::No), ..cache("shared", 12, 4 * GIB) };
        insta::assert_snapshot!(after_finish(kept.clone(), Mode::Act), @"shared: no upload, nothing in it changed; its archive holds 12 blobs, about 4.0 GiB");
        let lazy = CacheReport { waste_bytes: 300 * MIB, ..kept.clone() };
        insta::assert_snapshot!(after_finish(lazy, Mode::Act), @"shared: no upload, nothing in it changed, and 300.0 MiB of waste stay for now; its archive holds 12 blobs, about 4.0 GiB");
        let reasons = vec![
            because(UploadCause::NewBlobs, 2, MIB, Some("blobs/sha256/ab/x")),
            because(UploadCause::Records, 1, 800, Some("larder.json")),
            because(UploadCause::RemovedBlobs, 1, GIB, None),
        ];
        let changed = CacheReport { uploads: Some(Uploads::Yes), upload_reasons: reasons.clone(), ..kept.clone() };
        insta::assert_snapshot!(after_finish(changed.clone(), Mode::Act), @"shared: the runner uploads it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(changed.clone(), Mode::Pretend), @"shared: the runner would upload it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive would hold 12 blobs, about 4.0 GiB");
        let pulled = CacheReport { uploads: Some(Uploads::No), ..changed };
        insta::assert_snapshot!(after_finish(pulled, Mode::Act), @"shared: no upload, since this job only restores it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        let first =
            CacheReport { uploads: Some(Uploads::First), upload_reasons: reasons[..1].to_vec(), ..kept.clone() };
        insta::assert_snapshot!(after_finish(first, Mode::Act), @"shared: the runner uploads it for the first time (2 new blobs: 1.0 MiB); its archive holds 12 blobs, about 4.0 GiB");
        let reasons = vec![because(UploadCause::Foreign, 3, 0, Some("a\u{1b}[0K"))];
        let touched = CacheReport { uploads: Some(Uploads::Yes), upload_reasons: reasons, ..kept };
        insta::assert_snapshot!(after_finish(touched, Mode::Act), @r"shared: the runner uploads it (what larder did not put there, such as `a\u{1b}[0K`); its archive holds 12 blobs, about 4.0 GiB");
    }

    #[test]
    fn a_cache_without_change_says_so() {
        insta::assert_snapshot!(after_finish(cache("shared", 12, 4 * GIB), Mode::Act), @"shared: nothing to remove, nothing changed; its archive holds 12 blobs, about 4.0 GiB");
        let added = CacheReport { added: 2, changed: true, ..cache("shared", 12, 4 * GIB) };
        insta::assert_snapshot!(after_finish(added.clone(), Mode::Act), @"shared: nothing to remove, 2 blobs added; its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(CacheReport { added: 0, ..added }, Mode::Act), @"shared: nothing to remove, records changed; its archive holds 12 blobs, about 4.0 GiB");
    }
}
