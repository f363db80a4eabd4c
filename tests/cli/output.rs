//! What people and programs read: help, reports, exit codes, and lines that suit a job log.

use rstest::rstest;
use serde_json::Value;

use crate::context::{NETWORK, Project, total};
use crate::fixtures::{Mirror, read_json};

const MIRROR: Mirror = Mirror::V3Unsigned;
const COMMANDS: [&str; 8] = ["plan", "prepare", "finish", "warm", "export", "verify", "list", "clean"];

/// A run's text without what differs between runs.
macro_rules! assert_snapshot {
    ($text:expr, @$expected:literal) => {
        insta::with_settings!({
            filters => vec![
                (r"127\.0\.0\.1:\d+", "[SERVER]"),
                (r"/tmp/[^/ `]+/", "[TMP]/"),
                (r"\d+(\.\d+)? ?(ms|s)\b", "[TIME]"),
                (r"\d+\.\d+\.\d+", "[VERSION]"),
            ],
        }, { insta::assert_snapshot!($text, @$expected) })
    };
}

#[test]
fn the_version_is_told() {
    let project = Project::new("v3/env-demo");
    assert_snapshot!(project.larder(&["--version"]).succeeds().stdout, @"larder [VERSION]");
}

#[test]
fn the_help_of_each_command_shows_an_example_of_it() {
    let project = Project::new("v3/env-demo");
    for command in COMMANDS {
        let run = project.larder(&[command, "--help"]).succeeds();
        assert!(run.stdout.contains("Example"), "{run}");
        let example = run.stdout.lines().any(|line| line.trim().starts_with("larder ") && line.contains(command));
        assert!(example, "{run}");
        assert!(run.stderr.is_empty(), "{run}");
    }
    let run = project.larder(&["--help"]).succeeds();
    for command in COMMANDS {
        assert!(run.stdout.contains(command), "{command} is not in\n{run}");
    }
}

#[test]
fn json_is_all_that_is_on_standard_output_and_names_its_version_and_command() {
    let (project, _server) = Project::with_server(MIRROR);
    for command in COMMANDS {
        let folder: &[&str] = if command == "export" { &["../out"] } else { &[] };
        let run = project.larder(&[&[command, "--json"], folder].concat()).succeeds();
        let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{run}"));
        assert_eq!(report["version"], 1, "{run}");
        assert_eq!(report["command"], command);
        for (field, shape) in [("specs", "array"), ("caches", "array"), ("totals", "object"), ("warnings", "array")] {
            let found = if report[field].is_array() { "array" } else { "object" };
            assert!(report[field] != Value::Null && found == shape, "{field} in {run}");
        }
        for field in ["bytes_needed", "bytes_reused", "bytes_fetched", "metadata_bytes", "requests"] {
            // Fails where there is no such number.
            total(&report, field);
        }
        assert!(report["totals"]["seconds"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn each_spec_of_the_report_says_where_its_binary_comes_from() {
    let (project, _server) = Project::with_server(MIRROR);
    let report = project.prepare();
    let app = report["specs"].as_array().unwrap().iter().find(|spec| spec["name"] == "app").unwrap();
    let published = MIRROR.published("app");
    assert_eq!(app["version"], "3.1.4");
    assert_eq!(app["hash"], published.hash.as_str());
    assert_eq!(app["mirror"], "demo");
    assert_eq!(app["cache"], "shared");
    assert_eq!(app["digest"], published.blobs[0].digest.as_str());
    assert_eq!(app["bytes"], published.blobs.iter().map(|blob| blob.bytes).sum::<u64>());
    let written = read_json(&project.path(".larder/job/report.json"));
    assert_eq!(written["specs"], report["specs"]);
    assert_eq!(written["caches"], report["caches"]);
}

#[test]
fn without_json_standard_output_of_prepare_and_finish_is_empty() {
    let (project, _server) = Project::with_server(MIRROR);
    for command in ["prepare", "finish"] {
        let run = project.larder(&[command]).succeeds();
        assert!(run.stdout.is_empty(), "messages go to standard error\n{run}");
        assert!(!run.stderr.is_empty());
    }
}

#[test]
fn plan_is_a_table_that_one_can_read() {
    let (project, server) = Project::with_server(MIRROR);
    project.use_environment("v3/env-partial");
    let run = project.larder(&["plan"]).succeeds();
    let line = |name: &str| {
        let found = run.stdout.lines().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("{name} is not in the table\n{run}"))
    };
    assert!(line("app").contains("3.1.4") && line("app").contains(&MIRROR.published("app").hash[..7]));
    assert!(line("unbuilt").contains("build"));
    assert!(line("sysz").contains("external"));
    drop(server);
}

#[rstest]
#[case::the_first_run(false, &["fetched", "5"])]
#[case::the_second_run(true, &["reused"])]
fn a_job_log_gets_plain_lines_and_a_summary(#[case] warm: bool, #[case] said: &[&str]) {
    let (project, _server) = Project::with_server(MIRROR);
    if warm {
        project.prepare();
    }
    let variables = [("CI", "true"), ("GITLAB_CI", "true"), ("TERM", "xterm-256color")];
    let plain = ["prepare", "--gitlab-sections=never", "--color=never"];
    let run = project.larder_with(&plain, &variables).succeeds().says(said);
    assert!(!run.stderr.contains('\r') && !run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
    assert!(run.stderr.lines().count() < 40, "{run}");
}

#[test]
fn quiet_says_nothing_when_all_is_well_and_errors_all_the_same() {
    let (project, server) = Project::with_server(MIRROR);
    let run = project.larder(&["prepare", "-q"]).succeeds();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    server.stop();
    let run = project.larder(&["prepare", "-q"]).exits_with(1);
    assert!(run.stderr.contains("can't get"), "{run}");
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let (project, _server) = Project::with_server(MIRROR);
    let colours = |arguments: &[&str]| {
        let run = project.larder(arguments);
        format!("{}{}", run.stdout, run.stderr).contains('\u{1b}')
    };
    assert!(!colours(&["plan"]));
    assert!(!colours(&["plan", "--color", "never"]));
    assert!(colours(&["plan", "--color", "always", "--mirror", "/no-such-mirror"]));
}

#[rstest]
#[case::an_unknown_command(&["plann"], "plan")]
#[case::an_unknown_option(&["plan", "--jsno"], "--json")]
#[case::no_command(&[], "Usage")]
#[case::a_wrong_value(&["plan", "--build-deps", "some"], "missing")]
#[case::a_mirror_that_is_none(&["plan", "--mirror", "gopher://x"], "gopher")]
fn a_wrong_command_line_ends_with_two(#[case] arguments: &[&str], #[case] said: &str) {
    let project = Project::new("v3/env-demo");
    project.larder(arguments).fails_saying(2, &[said]);
}

#[test]
fn an_error_says_what_failed_where_and_what_to_do() {
    let project = Project::new("v3/env-demo");
    project.configure(&format!("{NETWORK}mirrors: [{{ name: x, url: \"http://127.0.0.1:9/x\" }}]\n"));
    let run = project.larder(&["prepare"]).fails_saying(1, &["`http://127.0.0.1:9/x", "Caused by:", "hint:"]);
    let error = run.stderr.lines().position(|line| line.contains("can't get")).unwrap();
    let hint = run.stderr.lines().position(|line| line.contains("hint:")).unwrap();
    assert!(error < hint, "{run}");
}

#[test]
fn a_failed_run_with_json_prints_no_half_report() {
    let (project, server) = Project::with_server(MIRROR);
    server.stop();
    let run = project.larder(&["prepare", "--json"]).exits_with(1);
    assert!(run.stdout.is_empty(), "{run}");
}

#[test]
fn a_reader_who_hangs_up_is_no_reason_to_panic() {
    let (project, _server) = Project::with_server(MIRROR);
    let mut child = project.command(&["plan", "--json"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}
