//! `larder run`, and environments without a lockfile. A script stands in for Spack; `real_spack` has the same with the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use serde_json::Value;

use crate::context::{Project, Run, names_with, statuses};
use crate::fixtures::{Mirror, fixture};
use crate::server::Server;

/// A stand-in for Spack: notes how it was called, and "concretizes" with a lockfile that real Spack made.
const SPACK: &str = r#"#!/bin/sh
echo "$@" >> "@log@"
while [ "$1" = -C ] || [ "$1" = -c ] || [ "$1" = -e ]; do
  if [ "$1" = -e ]; then environment=$2; fi
  shift 2
done
if [ "$1" = concretize ]; then
  echo "==> Concretized 2 specs"
  if [ -n "$SPACK_FAILS" ]; then echo "==> Error: no solution" >&2; exit 3; fi
  cp "@lockfile@" "$environment/spack.lock"
fi
"#;

/// A project whose environment has no lockfile yet.
struct Job {
    project: Project,
    server: Server,
    spack: PathBuf,
}

impl Job {
    fn new() -> Self {
        let (project, server) = Project::with_server(Mirror::V3Unsigned);
        fs::remove_file(project.path("spack.lock")).unwrap();
        let lockfile = fixture("v3/env-demo/spack.lock");
        let script = SPACK.replace("@log@", project.outside().join("calls").to_str().unwrap());
        let spack = project.outside().join("spack");
        fs::write(&spack, script.replace("@lockfile@", lockfile.to_str().unwrap())).unwrap();
        fs::set_permissions(&spack, fs::Permissions::from_mode(0o755)).unwrap();
        Self { project, server, spack }
    }

    fn larder(&self, arguments: &[&str]) -> Run {
        self.larder_with(arguments, &[])
    }

    /// With the stand-in for Spack.
    fn larder_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let spack = ["--spack", self.spack.to_str().unwrap()];
        self.project.larder_with(&[&arguments[..1], &spack, &arguments[1..]].concat(), variables)
    }

    /// What Spack was asked for since the last time, without the scopes and settings.
    fn calls(&self) -> Vec<String> {
        let log = self.project.outside().join("calls");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        let root = self.project.root();
        let without_scopes = |mut line: &str| {
            while let Some(rest) = line.strip_prefix("-C ").or_else(|| line.strip_prefix("-c ")) {
                line = rest.split_once(' ').unwrap().1;
            }
            line.replace(root.to_str().unwrap(), "ROOT")
        };
        text.lines().map(without_scopes).collect()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.project.path(".larder/job/report.json")).unwrap()).unwrap()
    }
}

const CONCRETIZE: &str = "-e ROOT concretize";
const ANEW: &str = "-e ROOT concretize --force";

#[test]
fn a_run_concretizes_prepares_runs_the_command_and_finishes() {
    let job = Job::new();
    let script = "cat .larder/job/spack/mirrors.yaml; ls .larder/job/mirror/v3/manifests/spec; cat";
    let run = job.larder(&["run", "--", "sh", "-c", script]).succeeds();
    assert_eq!(job.calls(), [CONCRETIZE]);
    assert!(run.stdout.contains("larder:") && run.stdout.contains("\napp\n"), "the command sees the job mirror: {run}");
    assert!(!run.stdout.contains("Concretized"), "standard output is the command's: {run}");
    let order = ["it has no lockfile yet", "==> Concretized 2 specs", "specs needed: 0 reused, 6 fetched", "shared:"];
    let at: Vec<usize> =
        order.iter().map(|part| run.stderr.find(part).unwrap_or_else(|| panic!("{part}: {run}"))).collect();
    assert!(at.is_sorted(), "{at:?} {run}");
    assert_eq!(job.report()["command"], "finish");

    let blobs = job.server.blob_requests().len();
    job.larder(&["run", "true"]).succeeds();
    assert_eq!(job.calls(), [""; 0], "the lockfile is there and up to date");
    assert_eq!(job.server.blob_requests().len(), blobs);
}

#[rstest]
#[case::an_exit_code(&["sh", "-c", "exit 7"], 7, "")]
#[case::a_signal(&["sh", "-c", "kill -9 $$"], 137, "")]
#[case::no_program(&["no-such-program"], 127, "can't run `no-such-program`")]
#[case::no_executable(&["./spack.yaml"], 126, "can't run `./spack.yaml`")]
fn the_exit_code_is_the_commands_and_the_job_is_finished_all_the_same(
    #[case] command: &[&str],
    #[case] code: i32,
    #[case] said: &str,
) {
    let job = Job::new();
    job.larder(&[&["run", "--"], command].concat()).fails_saying(code, &[said, "shared:"]);
    assert_eq!(job.report()["command"], "finish");
}

#[test]
fn the_command_is_not_run_where_what_comes_before_fails() {
    let job = Job::new();
    let command = ["run", "--", "touch", "ran"];
    let run = job.larder_with(&command, &[("SPACK_FAILS", "1")]);
    run.fails_saying(1, &["==> Error: no solution", "concretize` failed for the environment", "exit status: 3"]);
    job.project.write("spack.lock", "{}");
    job.larder(&["run", "--concretize=never", "--", "touch", "ran"]).fails_saying(1, &["spack.lock"]);
    job.project.use_environment("v3/env-partial");
    job.larder(&["run", "--concretize=never", "--require-all", "--", "touch", "ran"]).exits_with(3);
    assert!(!job.project.path("ran").exists());
    let nowhere = [("PATH", "/no-such-folder")];
    fs::remove_file(job.project.path("spack.lock")).unwrap();
    job.project.larder_with(&command, &nowhere).fails_saying(1, &["there is no `spack` to run", "--spack PATH"]);
    assert!(!job.project.path("ran").exists());
}

#[test]
fn a_signal_is_the_commands_business_and_the_job_is_finished() {
    for (signal, code) in [("TERM", 9), ("INT", 8)] {
        let job = Job::new();
        let script = "trap 'exit 9' TERM; trap 'exit 8' INT; touch started; while :; do sleep 0.02; done";
        let arguments = ["run", "--spack", job.spack.to_str().unwrap(), "--", "sh", "-c", script];
        let larder = job.project.command(&arguments).spawn().unwrap();
        while !job.project.path("started").exists() {
            std::thread::yield_now();
        }
        let sent = Command::new("kill").args([&format!("-{signal}"), &larder.id().to_string()]).status().unwrap();
        assert!(sent.success());
        Run::wait(larder, &arguments).fails_saying(code, &["shared:"]);
        assert_eq!(job.report()["command"], "finish");
    }
}

#[test]
fn what_concretize_says_counts_for_run_and_the_command_line_counts_more() {
    let job = Job::new();
    let config = fs::read_to_string(job.project.path("larder.yaml")).unwrap();
    job.project.configure(&format!("{config}concretize: never\n"));
    job.larder(&["run", "true"]).succeeds().says(&["no lockfile yet in `.`: the job mirror is empty"]);
    assert_eq!(job.calls(), [""; 0]);
    job.larder(&["run", "--concretize=missing", "true"]).succeeds();
    assert_eq!(job.calls(), [CONCRETIZE]);
    job.project.configure(&format!("{config}concretize: always\n"));
    job.larder(&["run", "true"]).succeeds();
    assert_eq!(job.calls(), [ANEW]);
    job.larder(&["prepare"]).succeeds();
    assert_eq!(job.calls(), [""; 0], "`prepare` needs to be asked");
    job.larder(&["prepare", "--concretize"]).succeeds();
    assert_eq!(job.calls(), [ANEW]);
    job.larder(&["warm", "--concretize=missing"]).succeeds();
    assert_eq!(job.calls(), [""; 0]);
}

#[test]
fn a_lockfile_that_larder_had_made_is_made_anew_where_a_file_of_the_environment_changed() {
    let job = Job::new();
    job.project.write("site/packages.yaml", "packages: {}\n");
    job.project.write("spack.yaml", "spack:\n  include: [site]\n  specs: [app, plotter]\n");
    job.larder(&["prepare", "--concretize"]).succeeds();
    assert_eq!(job.calls(), [CONCRETIZE]);
    let later = std::time::SystemTime::now() + Duration::from_secs(3600);
    fs::File::open(job.project.path("spack.yaml")).unwrap().set_modified(later).unwrap();
    job.larder(&["prepare", "--concretize"]).succeeds();
    assert_eq!(job.calls(), [""; 0], "a time alone says nothing where the contents are known");
    job.project.write("site/packages.yaml", "packages: { all: { prefer: [x] } }\n");
    let run = job.larder(&["prepare", "--concretize"]).succeeds();
    run.says(&["`site/packages.yaml` has changed since its lockfile was made"]);
    assert_eq!(job.calls(), [ANEW]);
    job.project.write("site/config.yaml", "config: {}\n");
    job.larder(&["prepare", "--concretize"]).succeeds();
    assert_eq!(job.calls(), [ANEW], "a file more is a change too");
}

#[test]
fn a_lockfile_that_came_with_the_checkout_is_out_of_date_by_its_roots_and_only_outside_of_ci_by_its_age() {
    let job = Job::new();
    job.project.use_environment("v3/env-demo");
    let concretize = |variables: &[(&str, &str)]| {
        let _ = fs::remove_dir_all(job.project.path(".larder/job"));
        job.larder_with(&["prepare", "--concretize"], variables).succeeds();
        job.calls()
    };
    let set_age = |age: u64| {
        let time = std::time::SystemTime::now() - Duration::from_secs(age);
        fs::File::open(job.project.path("spack.lock")).unwrap().set_modified(time).unwrap();
    };
    assert_eq!(concretize(&[]), [""; 0], "all files of a checkout are of about the same time");
    set_age(3600);
    assert_eq!(concretize(&[("CI", "true")]), [""; 0], "an artifact is older than any checkout");
    assert_eq!(concretize(&[]), [CONCRETIZE]);
    job.project.write("spack.yaml", "spack:\n  specs: [app, plotter, zlib]\n");
    assert_eq!(concretize(&[("CI", "true")]), [CONCRETIZE], "Spack adds the root that is new");
    job.project.write("spack.yaml", "spack:\n  specs: [$all]\n  definitions: [{ all: [app, plotter] }]\n");
    assert_eq!(concretize(&[("CI", "true")]), [""; 0], "what only Spack can expand is not judged");
}

#[test]
fn without_a_lockfile_prepare_says_in_two_lines_what_to_do_and_leaves_an_empty_job_mirror() {
    let job = Job::new();
    let run = job.larder(&["prepare"]).succeeds();
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "warning: no lockfile yet in `.`: the job mirror is empty",
            "  `larder run -- COMMAND` has Spack concretize, prepares and runs the command; or run `spack -e . concretize` and \
             then `larder prepare`",
        ]
    );
    assert!(job.project.path(".larder/job/mirror").is_dir());
    let scope = fs::read_to_string(job.project.path(".larder/job/spack/mirrors.yaml")).unwrap();
    assert!(scope.contains("/.larder/job/mirror"), "{scope}");
    let report = job.project.larder(&["prepare", "--json"]).report();
    assert_eq!((statuses(&report), &report["without_lockfile"]), (vec![], &Value::from(vec!["."])));
    job.larder(&["prepare", "--require-lockfile"]).fails_saying(1, &["there is no", "spack.lock", "concretize"]);
    for command in ["warm", "plan"] {
        let run = job.project.larder(&[command]).succeeds();
        run.says(&["no lockfile yet in `.`", "`larder run -- COMMAND`"]);
    }
    job.project.larder(&["warm", "--require-lockfile"]).fails_saying(1, &["spack.lock"]);
    assert_eq!(job.server.log().len(), 0, "nothing is asked of a mirror");
    job.project.write("spack.lock", "{}");
    job.larder(&["prepare"]).fails_saying(1, &["spack.lock"]);
}

#[test]
fn an_environment_may_lie_anywhere_and_appear_later_and_the_others_are_prepared() {
    let job = Job::new();
    job.project.use_environment("v3/env-demo");
    let outside = job.project.outside().join("shm/spack_env");
    let environments = ["-e", ".", "-e", outside.to_str().unwrap()];
    let run = job.project.larder(&[&["prepare"], &environments[..]].concat()).succeeds();
    run.says(&["no lockfile yet in", "shm/spack_env`: nothing of theirs", "5 fetched"]);
    job.project.larder(&[&["finish"], &environments[..]].concat()).succeeds();

    fs::create_dir_all(&outside).unwrap();
    fs::copy(fixture("v3/env-demo/spack.yaml"), outside.join("spack.yaml")).unwrap();
    let lock = outside.to_str().unwrap();
    job.larder(&["run", "-e", lock, "--", "test", "-f", &format!("{lock}/spack.lock")]).succeeds();
    assert!(job.calls()[0].ends_with("shm/spack_env concretize"));
    let report = job.project.larder(&["prepare", "--json", "-e", lock]).report();
    assert_eq!(names_with(&report, "cached").len(), 5);
}

#[test]
fn nothing_goes_from_a_cache_that_keeps_what_lockfiles_name_while_one_is_missing() {
    let job = Job::new();
    job.project.use_environment("v3/env-demo");
    let config = fs::read_to_string(job.project.path("larder.yaml")).unwrap();
    job.project.configure(&format!("{config}caches: [{{ name: shared, keep: lockfile }}]\n"));
    job.project.prepare();
    let before = job.project.blobs_in(".larder/shared");
    assert_eq!(before.len(), 10);
    fs::remove_file(job.project.path("spack.lock")).unwrap();
    job.project.next_job();
    job.project.larder(&["prepare"]).succeeds();
    job.project.larder(&["finish"]).succeeds().says(&["nothing is pruned from cache `shared`", "spack.lock"]);
    assert_eq!(job.project.blobs_in(".larder/shared"), before);
    job.project.next_job();
    job.project.larder(&["finish"]).succeeds();
    assert_eq!(job.project.blobs_in(".larder/shared"), before);
}

#[test]
fn a_run_leaves_standard_output_and_input_to_the_command() {
    let job = Job::new();
    job.project.larder(&["run", "--json", "--", "true"]).fails_saying(2, &["report.json"]);
    let input = job.project.write("input", "some text");
    let arguments = ["run", "--spack", job.spack.to_str().unwrap(), "--", "cat"];
    let child = job.project.command(&arguments).stdin(fs::File::open(input).unwrap()).spawn().unwrap();
    assert_eq!(Run::wait(child, &arguments).succeeds().stdout, "some text");
    assert!(Path::new(&job.spack).is_file());
}
