//! What GitLab makes of a run: sections that fold, warnings and errors outside of them, colours, and two reports.

use std::collections::BTreeMap;
use std::fs;

use crate::context::{Project, total};
use crate::fixtures::Mirror;
use crate::server::{Fault, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;
const GITLAB: [(&str, &str); 2] = [("GITLAB_CI", "true"), ("NO_COLOR", "1")];

/// What a person sees with all sections folded. Fails where a section is not opened and closed properly.
fn folded(log: &str) -> String {
    let (mut seen, mut open) = (String::new(), None);
    for line in log.split_inclusive('\n') {
        if let Some((start, header)) =
            line.split_once("section_start:").and_then(|(_, rest)| rest.split_once("\r\u{1b}[0K"))
        {
            let (time, name) = start.split_once(':').unwrap();
            assert!(time.parse::<u64>().unwrap() > 1_600_000_000, "{line:?}");
            let name = name.strip_suffix("[collapsed=true]").unwrap();
            assert!(open.replace(name.to_owned()).is_none(), "a section in a section: {log:?}");
            seen.push_str(header);
        } else if let Some((_, end)) = line.split_once("section_end:") {
            let name = end.split_once(':').unwrap().1.strip_suffix("\r\u{1b}[0K\n").unwrap();
            assert_eq!(open.take().as_deref(), Some(name), "{log:?}");
        } else if open.is_none() {
            seen.push_str(line);
        }
    }
    assert_eq!(open, None, "a section was left open: {log:?}");
    seen
}

fn variables(project: &Project) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(project.path(".larder/job/larder.env")).unwrap();
    let pair =
        |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.parse().unwrap())).unwrap();
    text.lines().map(pair).collect()
}

#[test]
fn downloads_and_validation_are_folded_and_the_summary_is_seen() {
    let (project, _server) = Project::with_server(MIRROR);
    for doing in ["fetching 10 files", "validating 10 files"] {
        let run = project.larder_with(&["prepare"], &GITLAB).succeeds();
        let seen = folded(&run.stderr);
        assert!(seen.contains(doing) && seen.contains("5 specs needed"), "{seen}");
        assert!(!seen.contains("10 of 10 files"), "{seen}");
        assert!(run.stderr.contains("10 of 10 files"), "{run}");
    }
    let run = project.larder_with(&["prepare", "--gitlab-sections"], &[]).succeeds();
    assert!(run.stderr.contains("section_start:"), "on where it is asked for\n{run}");
    for (arguments, variables) in [
        (&["prepare", "--gitlab-sections=never"], &GITLAB[..]),
        (&["prepare", "-q"], &GITLAB),
        (&["prepare", "-v"], &[]),
    ] {
        let run = project.larder_with(arguments, variables).succeeds();
        assert!(!run.stderr.contains("section_"), "{run}");
    }
}

#[test]
fn a_warning_in_the_middle_of_a_section_and_an_error_at_its_end_are_seen() {
    let (project, server) = Project::with_server(MIRROR);
    project.prepare();
    let blob = &MIRROR.published("app").blobs[0];
    fs::write(project.cached(&blob.digest), "bad").unwrap();
    server.fault(&blob.path, Times::Always, Fault::Status(404, vec![]));
    let run = project.larder_with(&["prepare"], &GITLAB).exits_with(1);
    let seen = folded(&run.stderr);
    assert!(seen.contains("warning: cache `shared` held a bad blob"), "{seen}");
    assert!(seen.contains("error: 1 of 1 downloads failed"), "{seen}");
}

#[test]
fn gitlab_is_no_terminal_and_shows_colours_all_the_same() {
    let (project, _server) = Project::with_server(MIRROR);
    project.prepare();
    let coloured = |variables: &[(&str, &str)]| {
        let run = project.larder_with(&["finish", "--gitlab-sections=never"], variables).succeeds();
        run.stderr.contains('\u{1b}')
    };
    assert!(coloured(&[("GITLAB_CI", "true")]));
    assert!(!coloured(&[]));
    assert!(!coloured(&GITLAB));
    let run = project.larder_with(&["plan"], &[("GITLAB_CI", "true")]).succeeds();
    assert!(!run.stdout.contains('\u{1b}'), "a script may read it\n{run}");
}

#[test]
fn prepare_and_finish_write_both_reports_for_gitlab() {
    let (project, _server) = Project::with_server(MIRROR);
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    let report = project.prepare();
    let (reused, needed) = (total(&report, "bytes_reused"), total(&report, "bytes_needed"));
    let written = variables(&project);
    assert!(reused > 0 && reused < needed);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (reused, needed) = (reused as f64, needed as f64);
    assert!((written["LARDER_BYTES_REUSED"] - reused).abs() < 0.5);
    assert!((written["LARDER_HIT_RATIO"] - reused / needed).abs() < 0.0001);
    assert!(!written.contains_key("LARDER_CACHE_BYTES"), "finish has not run");

    project.finish();
    let finished = variables(&project);
    assert!((finished["LARDER_BYTES_REUSED"] - reused).abs() < 0.5, "what prepare found out stays");
    assert!(finished["LARDER_CACHE_BYTES"] >= needed);
    let metrics = fs::read_to_string(project.path(".larder/job/metrics.txt")).unwrap();
    assert!(metrics.ends_with("\n# EOF\n"));
    let values = metrics.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(values.clone().count(), finished.len());
    for line in values {
        let (name, value) = line.split_once(' ').unwrap();
        assert!(metrics.contains(&format!("# TYPE {name} gauge\n")), "{name}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn a_warm_up_job_has_the_reports_as_well_and_finish_keeps_what_it_fetched() {
    let (project, server) = Project::with_server(MIRROR);
    let caches = "caches: [{ name: shared, keep: { max-size: 1kB } }]\n";
    project.configure(&format!("{}{caches}", crate::context::mirror_entry(&server.url(), false)));
    project.larder(&["warm"]).succeeds();
    let report = project.finish();
    assert_eq!(report["caches"][0]["uploads"], "first");
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
    let written = variables(&project);
    assert!(written["LARDER_HIT_RATIO"].abs() < 0.0001 && written["LARDER_BYTES_FETCHED"] > 1000.0);
}

#[test]
fn every_figure_is_in_the_documentation() {
    let (project, _server) = Project::with_server(MIRROR);
    project.prepare();
    project.finish();
    let documentation = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/report.md")).unwrap();
    for name in variables(&project).keys() {
        assert!(documentation.contains(&format!("`{name}`")), "{name}");
    }
    let metrics = fs::read_to_string(project.path(".larder/job/metrics.txt")).unwrap();
    for name in metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next()) {
        assert!(documentation.contains(&format!("`{name}`")), "{name}");
    }
}
