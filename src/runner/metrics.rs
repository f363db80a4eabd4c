//! What a job's caches were worth, in the two forms that GitLab reads: variables for later jobs (`artifacts:reports:dotenv`)
//! and metrics that a merge request compares with its target branch (`artifacts:reports:metrics`).
//!
//! `prepare` writes both with what it knows, `finish` writes them again with what it adds. `docs/report.md` lists the names.

use std::fmt::Write as _;

use crate::job::{DOTENV, JobError, JobFolder, OPEN_METRICS, Prepared};
use crate::report::{CacheReport, Report, Uploads};
use crate::types::Totals;

/// Which part of the needed bytes a cache had: from 0 to 1, and 1 where nothing was needed.
#[expect(clippy::cast_precision_loss, reason = "a ratio with four digits")]
fn hit_ratio(prepared: &Prepared) -> f64 {
    match prepared.totals.bytes_needed {
        0 => 1.0,
        needed => prepared.totals.bytes_reused as f64 / needed as f64,
    }
}

/// A number's name as a variable and as a metric, whose end is its unit where it has one; its unit; what it is.
type Name = (&'static str, &'static str, Option<&'static str>, &'static str);

const BYTES: Option<&str> = Some("bytes");
const SECONDS: Option<&str> = Some("seconds");

/// What `prepare` tells, in the order of [`of_prepare`].
const PREPARE: [Name; 11] = [
    ("LARDER_HIT_RATIO", "larder_hit_ratio", Some("ratio"), "The part of the needed bytes that a cache had."),
    ("LARDER_BYTES_NEEDED", "larder_needed_bytes", BYTES, "Binaries that the job needed."),
    ("LARDER_BYTES_REUSED", "larder_reused_bytes", BYTES, "Of those, what a cache had."),
    ("LARDER_BYTES_FETCHED", "larder_fetched_bytes", BYTES, "Of those, what was downloaded."),
    ("LARDER_METADATA_BYTES", "larder_metadata_bytes", BYTES, "Downloaded metadata."),
    ("LARDER_REQUESTS", "larder_requests", None, "Requests to mirrors."),
    ("LARDER_SPECS_NEEDED", "larder_needed_specs", None, "Specs that the job needed."),
    ("LARDER_SPECS_REUSED", "larder_reused_specs", None, "Of those, the ones from a cache."),
    ("LARDER_SPECS_FETCHED", "larder_fetched_specs", None, "Of those, the ones downloaded."),
    ("LARDER_SPECS_TO_BUILD", "larder_unbuilt_specs", None, "Of those, the ones in no mirror."),
    ("LARDER_SECONDS", "larder_prepare_seconds", SECONDS, "How long prepare took."),
];

/// What `finish` adds, in the order of [`of_finish`].
const FINISH: [Name; 5] = [
    ("LARDER_CACHE_BYTES", "larder_cache_bytes", BYTES, "What the caches hold."),
    ("LARDER_BYTES_REMOVED", "larder_removed_bytes", BYTES, "What pruning removed."),
    ("LARDER_BLOBS_REMOVED", "larder_removed_blobs", None, "How many blobs pruning removed."),
    ("LARDER_CACHES_UPLOADED", "larder_uploaded_caches", None, "How many caches the runner uploads."),
    ("LARDER_FINISH_SECONDS", "larder_finish_seconds", SECONDS, "How long finish took."),
];

/// What GitLab takes of a dotenv report at least, where its administrator has not changed that.
const MOST_VARIABLES: usize = 20;
const MOST_BYTES: usize = 5 * 1024;

// No variable may be lost for the sake of the bound.
const _: () = assert!(PREPARE.len() + FINISH.len() <= MOST_VARIABLES);

/// Write both into the job folder, with what is known so far.
pub(crate) fn write(
    folder: &JobFolder,
    prepared: Option<&Prepared>,
    finished: Option<&Report>,
) -> Result<(), JobError> {
    folder.write(DOTENV, dotenv(prepared, finished).as_bytes())?;
    folder.write(OPEN_METRICS, open_metrics(prepared, finished).as_bytes())
}

/// The text of `larder.env`. Every value is a number.
fn dotenv(prepared: Option<&Prepared>, finished: Option<&Report>) -> String {
    bounded(figures(prepared, finished).map(|((variable, ..), value)| format!("{variable}={value}\n")))
}

/// As many of the first lines as GitLab takes. More would not only be lost: a report that GitLab refuses fails a job that succeeded.
fn bounded(lines: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for line in lines.take(MOST_VARIABLES) {
        if text.len() + line.len() > MOST_BYTES {
            break;
        }
        text += &line;
    }
    text
}

/// The text of `metrics.txt`.
fn open_metrics(prepared: Option<&Prepared>, finished: Option<&Report>) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    for ((_, metric, unit, help), value) in figures(prepared, finished) {
        let _ = writeln!(out, "# TYPE {metric} gauge");
        if let Some(unit) = unit {
            let _ = writeln!(out, "# UNIT {metric} {unit}");
        }
        let _ = writeln!(out, "# HELP {metric} {help}\n{metric} {value}");
    }
    out.push_str("# EOF\n");
    out
}

fn figures(prepared: Option<&Prepared>, finished: Option<&Report>) -> impl Iterator<Item = (Name, String)> {
    let prepared = prepared.map(|prepared| PREPARE.into_iter().zip(of_prepare(prepared)));
    let finished = finished.map(|finished| FINISH.into_iter().zip(of_finish(finished)));
    prepared.into_iter().flatten().chain(finished.into_iter().flatten())
}

fn of_prepare(prepared: &Prepared) -> [String; 11] {
    let Prepared { specs_needed, specs_reused, specs_fetched, specs_to_build, totals } = prepared;
    let Totals { bytes_needed, bytes_reused, bytes_fetched, metadata_bytes, requests, seconds, .. } = totals;
    let [needed, reused, fetched, metadata] =
        [bytes_needed, bytes_reused, bytes_fetched, metadata_bytes].map(u64::to_string);
    let [specs, of_cache, downloaded, unbuilt] =
        [specs_needed, specs_reused, specs_fetched, specs_to_build].map(u64::to_string);
    let (ratio, seconds) = (format!("{:.4}", hit_ratio(prepared)), format!("{seconds:.3}"));
    [ratio, needed, reused, fetched, metadata, requests.to_string(), specs, of_cache, downloaded, unbuilt, seconds]
}

fn of_finish(finished: &Report) -> [String; 5] {
    let sum = |of: fn(&CacheReport) -> u64| finished.caches.iter().map(of).sum::<u64>().to_string();
    let uploaded = sum(|cache| u64::from(!matches!(cache.uploads, None | Some(Uploads::No | Uploads::Unknown))));
    let [held, removed, blobs] =
        [sum(|cache| cache.bytes), sum(|cache| cache.removed_bytes), sum(|cache| cache.removed)];
    [held, removed, blobs, uploaded, format!("{:.3}", finished.totals.seconds)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(bytes_needed: u64) -> Prepared {
        let totals = Totals {
            bytes_needed,
            bytes_reused: bytes_needed / 4 * 3,
            bytes_fetched: bytes_needed / 4,
            bytes_resumed: 0,
            metadata_bytes: 5,
            requests: 6,
            seconds: 1.25,
        };
        Prepared { specs_needed: 4, specs_reused: 2, specs_fetched: 1, specs_to_build: 1, totals }
    }

    fn finished() -> Report {
        let mut report = Report::new("finish");
        let cache = CacheReport { bytes: 100, removed: 2, removed_bytes: 30, ..CacheReport::default() };
        report.caches = vec![
            CacheReport { uploads: Some(Uploads::Yes), ..cache.clone() },
            CacheReport { uploads: Some(Uploads::No), ..cache },
        ];
        report
    }

    #[test]
    fn the_variables_are_few_and_plain() {
        let text = dotenv(Some(&prepared(400)), Some(&finished()));
        insta::assert_snapshot!(text, @r"
        LARDER_HIT_RATIO=0.7500
        LARDER_BYTES_NEEDED=400
        LARDER_BYTES_REUSED=300
        LARDER_BYTES_FETCHED=100
        LARDER_METADATA_BYTES=5
        LARDER_REQUESTS=6
        LARDER_SPECS_NEEDED=4
        LARDER_SPECS_REUSED=2
        LARDER_SPECS_FETCHED=1
        LARDER_SPECS_TO_BUILD=1
        LARDER_SECONDS=1.250
        LARDER_CACHE_BYTES=200
        LARDER_BYTES_REMOVED=60
        LARDER_BLOBS_REMOVED=4
        LARDER_CACHES_UPLOADED=1
        LARDER_FINISH_SECONDS=0.000
        ");
        for line in text.lines() {
            let (name, value) = line.split_once('=').unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{name}");
            assert!(value.parse::<f64>().is_ok(), "{value}");
        }
    }

    #[test]
    fn no_more_is_written_than_gitlab_takes() {
        let lines = |length: usize| bounded((0..30).map(|number| format!("{number:0length$}\n")));
        assert_eq!(lines(2).lines().count(), 20);
        let long = lines(1000);
        assert_eq!((long.lines().count(), long.len()), (5, 5005));
    }

    #[test]
    fn metrics_are_typed_units_end_names_and_the_end_is_marked() {
        let text = open_metrics(Some(&prepared(400)), None);
        assert!(
            text.starts_with("# TYPE larder_hit_ratio gauge\n# UNIT larder_hit_ratio ratio\n# HELP larder_hit_ratio ")
        );
        assert!(text.contains("\nlarder_hit_ratio 0.7500\n") && text.ends_with("\n# EOF\n"));
        assert!(!text.contains("cache_bytes"), "finish has not said anything yet");
        for line in text.lines().filter(|line| line.starts_with("# UNIT")) {
            let (metric, unit) = line["# UNIT ".len()..].split_once(' ').unwrap();
            assert!(metric.ends_with(&format!("_{unit}")), "{line}");
        }
        assert_eq!(open_metrics(None, None), "# EOF\n");
    }

    #[test]
    fn a_job_that_needs_nothing_hits_always() {
        assert!((hit_ratio(&prepared(0)) - 1.0).abs() < f64::EPSILON);
    }
}
