//! Killed at any point: the next run comes out right, and nothing unfinished is ever part of a cache.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use rstest::rstest;

use crate::context::{Project, Run, names_with};
use crate::fixtures::Mirror;
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;

fn start(project: &Project) -> Child {
    project.command(&["prepare"]).spawn().unwrap()
}

fn assert_the_next_run_comes_out_right(project: &Project, server: &Server) {
    project.blobs_in(".larder/shared");
    server.heal();
    project.prepare();
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
    // A file of the killed run may be one that another job writes, until it has been still for a day.
    for path in project.unfinished() {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(48 * 3600)).unwrap();
    }
    project.finish();
    assert_eq!(project.unfinished(), [""; 0].map(PathBuf::from), "what the killed run left is cleared away");
}

#[test]
fn killed_at_every_request_in_turn() {
    // Five manifests and ten blobs, and whatever else is asked for.
    for answered in 0..18 {
        let (project, server) = Project::with_server(MIRROR);
        server.stall_after(answered);
        let mut child = start(&project);
        let stalled = loop {
            if server.log().len() > answered {
                server.wait_until_stalled();
                break true;
            }
            if child.try_wait().unwrap().is_some() {
                break false;
            }
            std::thread::yield_now();
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(stalled || answered >= 15, "a run makes more than {answered} requests");
        assert_the_next_run_comes_out_right(&project, &server);
    }
}

#[test]
fn killed_in_the_middle_of_a_blob() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::Always, Fault::StallHalfWay);
    let mut child = start(&project);
    server.wait_until_stalled();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!project.cached(&blob.digest).exists());
    assert!(!project.unfinished().is_empty(), "it is looked for afterwards where it lies now");
    assert_the_next_run_comes_out_right(&project, &server);
}

#[rstest]
#[case::a_cancelled_job("TERM", Some(143))]
#[case::a_person_at_the_keyboard("INT", Some(130))]
#[case::a_lost_terminal("HUP", None)]
fn a_signal_ends_it_and_the_state_is_good(
    #[case] signal: &str,
    #[case] code: Option<i32>,
    #[values("prepare", "warm")] command: &str,
) {
    let (project, server) = Project::with_server(MIRROR);
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::Always, Fault::StallHalfWay);
    let child = project.command(&[command]).spawn().unwrap();
    server.wait_until_stalled();
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let run = Run::wait(child, &[command]);
    assert_eq!(run.code, code, "{run}");
    assert_the_next_run_comes_out_right(&project, &server);
}

#[test]
fn finish_after_a_killed_prepare_keeps_what_had_arrived() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::Always, Fault::StallHalfWay);
    let mut child = start(&project);
    server.wait_until_stalled();
    // The others come by connections of their own.
    project.wait_for_blobs(MIRROR.needed_blobs().len() - 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let arrived = project.blobs_in(".larder/shared");
    project.larder(&["finish"]).succeeds();
    assert_eq!(project.blobs_in(".larder/shared"), arrived);
    assert_the_next_run_comes_out_right(&project, &server);
}

#[test]
fn a_half_written_state_of_the_last_job_is_no_obstacle() {
    let (project, _server) = Project::with_server(MIRROR);
    project.prepare();
    let state = fs::read(project.path(".larder/job/state.json")).unwrap();
    project.write(".larder/job/state.json", &state[..state.len() / 2]);
    project.larder(&["finish"]).fails_saying(1, &["state.json", "is damaged", "larder prepare"]);
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
    project.next_job();
    let report = project.prepare();
    assert_eq!(names_with(&report, "cached"), MIRROR.needed());
    project.finish();
}

#[test]
fn a_job_mirror_of_an_earlier_run_is_not_mixed_with_this_ones() {
    let (project, _server) = Project::with_server(MIRROR);
    project.prepare();
    project.larder(&["prepare", "--spec", "rtdata"]).succeeds();
    let job_mirror = project.path(".larder/job/mirror/v3/manifests/spec");
    let mut names: Vec<_> = fs::read_dir(job_mirror).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["rtdata"]);
}

#[test]
fn a_failed_run_leaves_no_job_mirror_that_spack_could_take_for_this_jobs() {
    let (project, server) = Project::with_server(MIRROR);
    project.prepare();
    server.fault("/v3/**", Times::Always, Fault::Status(500, vec![]));
    project.larder(&["prepare"]).exits_with(1);
    let job_mirror = project.path(".larder/job/mirror/v3/manifests/spec");
    assert!(!job_mirror.exists(), "nothing that was not checked in this run is reachable from the job mirror");
}
