//! What a job's caches were worth, in the two forms that GitLab reads: variables for later jobs (`artifacts:reports:dotenv`)
//! and metrics that a merge request compares with its target branch (`artifacts:reports:metrics`).
//!
//! `prepare` writes both with what it knows, `finish` writes them again with what it adds. `docs/report.md` lists the names.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::report::{Report, Status, Uploads};
use crate::types::Totals;

/// The dotenv report, in the job folder.
pub const DOTENV: &str = "larder.env";

/// The metrics report, in the job folder.
pub const OPEN_METRICS: &str = "metrics.txt";

/// What `prepare` found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Specs that are needed; those that are external or installed need nothing.
    pub specs_needed: u64,
    /// Of those, the ones from a cache.
    pub specs_reused: u64,
    /// Of those, the ones that were downloaded.
    pub specs_fetched: u64,
    /// Of those, the ones that Spack has to build.
    pub specs_to_build: u64,
    /// Its sums.
    pub totals: Totals,
}

impl Prepared {
    /// Out of its report.
    pub fn of(report: &Report) -> Self {
        let count = |status| report.count(status) as u64;
        let (specs_reused, specs_fetched, specs_to_build) =
            (count(Status::Cached), count(Status::Fetched), count(Status::Build));
        let specs_needed = specs_reused + specs_fetched + specs_to_build;
        Self { specs_needed, specs_reused, specs_fetched, specs_to_build, totals: report.totals.clone() }
    }

    /// Which part of the needed bytes a cache had: from 0 to 1, and 1 where nothing was needed.
    #[expect(clippy::cast_precision_loss, reason = "a ratio with four digits")]
    fn hit_ratio(&self) -> f64 {
        match self.totals.bytes_needed {
            0 => 1.0,
            needed => self.totals.bytes_reused as f64 / needed as f64,
        }
    }
}

/// One number, with its name in either form.
struct Figure {
    /// In the dotenv report.
    variable: &'static str,
    /// In the metrics report. Its end is its unit, where it has one.
    metric: &'static str,
    unit: Option<&'static str>,
    help: &'static str,
    value: String,
}

/// The text of `larder.env`. Every value is a number, and there are fewer than 20, which is all that GitLab takes.
pub fn dotenv(prepared: Option<&Prepared>, finished: Option<&Report>) -> String {
    let figures = figures(prepared, finished);
    let lines: Vec<_> = figures.iter().map(|figure| format!("{}={}\n", figure.variable, figure.value)).collect();
    lines.concat()
}

/// The text of `metrics.txt`.
pub fn open_metrics(prepared: Option<&Prepared>, finished: Option<&Report>) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    for Figure { metric, unit, help, value, .. } in figures(prepared, finished) {
        let _ = writeln!(out, "# TYPE {metric} gauge");
        if let Some(unit) = unit {
            let _ = writeln!(out, "# UNIT {metric} {unit}");
        }
        let _ = writeln!(out, "# HELP {metric} {help}\n{metric} {value}");
    }
    out.push_str("# EOF\n");
    out
}

fn figures(prepared: Option<&Prepared>, finished: Option<&Report>) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |variable, metric, unit, help, value: String| {
        figures.push(Figure { variable, metric, unit, help, value });
    };
    let (bytes, seconds) = (Some("bytes"), Some("seconds"));
    if let Some(prepared) = prepared {
        let Prepared { specs_needed, specs_reused, specs_fetched, specs_to_build, totals } = prepared;
        let text = |number: &u64| number.to_string();
        add(
            "LARDER_HIT_RATIO",
            "larder_hit_ratio",
            Some("ratio"),
            "The part of the needed bytes that a cache had.",
            format!("{:.4}", prepared.hit_ratio()),
        );
        add(
            "LARDER_BYTES_NEEDED",
            "larder_needed_bytes",
            bytes,
            "Binaries that the job needed.",
            text(&totals.bytes_needed),
        );
        add(
            "LARDER_BYTES_REUSED",
            "larder_reused_bytes",
            bytes,
            "Of those, what a cache had.",
            text(&totals.bytes_reused),
        );
        add(
            "LARDER_BYTES_FETCHED",
            "larder_fetched_bytes",
            bytes,
            "Of those, what was downloaded.",
            text(&totals.bytes_fetched),
        );
        add(
            "LARDER_METADATA_BYTES",
            "larder_metadata_bytes",
            bytes,
            "Downloaded metadata.",
            text(&totals.metadata_bytes),
        );
        add("LARDER_REQUESTS", "larder_requests", None, "Requests to mirrors.", text(&totals.requests));
        add("LARDER_SPECS_NEEDED", "larder_needed_specs", None, "Specs that the job needed.", text(specs_needed));
        add("LARDER_SPECS_REUSED", "larder_reused_specs", None, "Of those, the ones from a cache.", text(specs_reused));
        add(
            "LARDER_SPECS_FETCHED",
            "larder_fetched_specs",
            None,
            "Of those, the ones downloaded.",
            text(specs_fetched),
        );
        add(
            "LARDER_SPECS_TO_BUILD",
            "larder_unbuilt_specs",
            None,
            "Of those, the ones in no mirror.",
            text(specs_to_build),
        );
        add(
            "LARDER_SECONDS",
            "larder_prepare_seconds",
            seconds,
            "How long prepare took.",
            format!("{:.3}", totals.seconds),
        );
    }
    if let Some(Report { caches, totals, .. }) = finished {
        let sum = |of: fn(&crate::report::CacheReport) -> u64| caches.iter().map(of).sum::<u64>().to_string();
        add("LARDER_CACHE_BYTES", "larder_cache_bytes", bytes, "What the caches hold.", sum(|cache| cache.bytes));
        add(
            "LARDER_BYTES_REMOVED",
            "larder_removed_bytes",
            bytes,
            "What pruning removed.",
            sum(|cache| cache.removed_bytes),
        );
        add(
            "LARDER_BLOBS_REMOVED",
            "larder_removed_blobs",
            None,
            "How many blobs pruning removed.",
            sum(|cache| cache.removed),
        );
        let uploads = sum(|cache| u64::from(!matches!(cache.uploads, None | Some(Uploads::No))));
        add("LARDER_CACHES_UPLOADED", "larder_uploaded_caches", None, "How many caches the runner uploads.", uploads);
        add(
            "LARDER_FINISH_SECONDS",
            "larder_finish_seconds",
            seconds,
            "How long finish took.",
            format!("{:.3}", totals.seconds),
        );
    }
    figures
}

#[cfg(test)]
mod tests {
    use crate::report::CacheReport;
    use crate::runner::metrics::*;

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
        assert!(text.lines().count() < 20);
        for line in text.lines() {
            let (name, value) = line.split_once('=').unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{name}");
            assert!(value.parse::<f64>().is_ok(), "{value}");
        }
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
        assert!((prepared(0).hit_ratio() - 1.0).abs() < f64::EPSILON);
    }
}
