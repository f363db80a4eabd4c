//! What `finish`, `clean` and `prune` say in the end: a line for each cache.

use std::fmt::Write as _;

use larder::commands::Mode;
use larder::report::{CacheReport, Report, UploadReason, Uploads};
use larder::types::{UploadCause, UploadRule};

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
    let rule = cache.upload_rule.map_or("", |rule| ground(rule, mode));
    let mut text = match uploads {
        Uploads::No if cache.upload_rule == Some(UploadRule::OtherOutcome) => {
            format!("{}{because}", palette.paint(PENDING, &format!("no upload, {rule}")))
        }
        Uploads::No => format!("{}{because}", palette.paint(GOOD, &format!("no upload, {rule}"))),
        Uploads::Yes if rule.is_empty() => format!("{}{because}", palette.paint(PENDING, does)),
        Uploads::Yes => palette.paint(PENDING, &format!("{does}, {rule}")),
        Uploads::First => format!("{}{because}", palette.paint(PENDING, &format!("{does} for the first time"))),
        Uploads::Unknown => {
            format!("{}{because}", palette.paint(PENDING, &format!("whether {does} can't be known here: {rule}")))
        }
    };
    if cache.waste_bytes > 0 {
        let _ = write!(text, ", and {} of waste stay for now", size(cache.waste_bytes));
    }
    text
}

/// The rule in words, as the end of a sentence; empty where the reasons say it.
fn ground(rule: UploadRule, mode: Mode) -> &'static str {
    match rule {
        UploadRule::Changed | UploadRule::FirstTime => "",
        UploadRule::OnlyRestored => "since this job only restores it",
        UploadRule::OtherOutcome => "since its `when` is not for a job that ends like this",
        UploadRule::NothingThere => "nothing is there",
        UploadRule::SetAside if mode == Mode::Pretend => {
            "nothing in it changed: it would be moved out of the runner's sight"
        }
        UploadRule::SetAside => "nothing in it changed: it is out of the runner's sight",
        UploadRule::UpToDate => "nothing in it changed",
        UploadRule::OtherKey => "unchanged, since it came from a fallback key and there is none under its own yet",
        UploadRule::StoreIsSilent => "unchanged, since the store does not tell the runner whether it has it",
        UploadRule::UnknownStore => "nothing in it changed, and some stores make the runner send it all the same",
        UploadRule::UnknownKey => "nothing in it changed, and if it came from a fallback key, it does once",
        UploadRule::UnknownArchive => {
            "nothing in it changed, but it did not come out of an archive in this job, and there may be none"
        }
        UploadRule::UnknownWhen => "that depends on its `when`",
        UploadRule::UnknownOutcome => "that depends on how the job ends",
        UploadRule::UnknownTime => "the clocks of the machines disagree, and the runner compares times",
    }
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
        UploadCause::Touched => format!("{} touched,{example}", count(reason.entries, "folder")),
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
        let kept = CacheReport {
            uploads: Some(Uploads::No),
            upload_rule: Some(UploadRule::UpToDate),
            ..cache("shared", 12, 4 * GIB)
        };
        insta::assert_snapshot!(after_finish(kept.clone(), Mode::Act), @"shared: no upload, nothing in it changed; its archive holds 12 blobs, about 4.0 GiB");
        let lazy = CacheReport { waste_bytes: 300 * MIB, ..kept.clone() };
        insta::assert_snapshot!(after_finish(lazy, Mode::Act), @"shared: no upload, nothing in it changed, and 300.0 MiB of waste stay for now; its archive holds 12 blobs, about 4.0 GiB");
        let reasons = vec![
            because(UploadCause::NewBlobs, 2, MIB, Some("blobs/sha256/ab/x")),
            because(UploadCause::Records, 1, 800, Some("larder.json")),
            because(UploadCause::RemovedBlobs, 1, GIB, None),
        ];
        let changed = CacheReport {
            uploads: Some(Uploads::Yes),
            upload_rule: Some(UploadRule::Changed),
            upload_reasons: reasons.clone(),
            ..kept.clone()
        };
        insta::assert_snapshot!(after_finish(changed.clone(), Mode::Act), @"shared: the runner uploads it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(changed.clone(), Mode::Pretend), @"shared: the runner would upload it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive would hold 12 blobs, about 4.0 GiB");
        let pulled =
            CacheReport { uploads: Some(Uploads::No), upload_rule: Some(UploadRule::OnlyRestored), ..changed.clone() };
        insta::assert_snapshot!(after_finish(pulled, Mode::Act), @"shared: no upload, since this job only restores it (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        let first = CacheReport {
            uploads: Some(Uploads::First),
            upload_rule: Some(UploadRule::FirstTime),
            upload_reasons: reasons[..1].to_vec(),
            ..kept.clone()
        };
        insta::assert_snapshot!(after_finish(first, Mode::Act), @"shared: the runner uploads it for the first time (2 new blobs: 1.0 MiB); its archive holds 12 blobs, about 4.0 GiB");
        let by = |uploads, rule| CacheReport { uploads: Some(uploads), upload_rule: Some(rule), ..kept.clone() };
        insta::assert_snapshot!(after_finish(by(Uploads::No, UploadRule::SetAside), Mode::Act), @"shared: no upload, nothing in it changed: it is out of the runner's sight; its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(by(Uploads::Yes, UploadRule::OtherKey), Mode::Act), @"shared: the runner uploads it, unchanged, since it came from a fallback key and there is none under its own yet; its archive holds 12 blobs, about 4.0 GiB");
        insta::assert_snapshot!(after_finish(by(Uploads::Unknown, UploadRule::UnknownStore), Mode::Act), @"shared: whether the runner uploads it can't be known here: nothing in it changed, and some stores make the runner send it all the same; its archive holds 12 blobs, about 4.0 GiB");
        let failed = CacheReport { uploads: Some(Uploads::No), upload_rule: Some(UploadRule::OtherOutcome), ..changed };
        insta::assert_snapshot!(after_finish(failed, Mode::Act), @"shared: no upload, since its `when` is not for a job that ends like this (2 new blobs: 1.0 MiB, new records, 1 removed blob: 1.0 GiB); its archive holds 12 blobs, about 4.0 GiB");
        let reasons = vec![because(UploadCause::Foreign, 3, 0, Some("a\u{1b}[0K"))];
        let touched = CacheReport {
            uploads: Some(Uploads::Yes),
            upload_rule: Some(UploadRule::Changed),
            upload_reasons: reasons,
            ..kept
        };
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
