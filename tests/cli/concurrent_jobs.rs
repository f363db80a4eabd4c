//! Two jobs on one host share a cache on a persistent volume.

use std::time::Duration;

use crate::context::{Project, Run, mirror_entry};
use crate::fixtures::{Mirror, sha256};
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;

/// Projects whose configuration names one and the same cache folder.
fn sharing(count: usize, keep: &str) -> (Vec<Project>, tempfile::TempDir, Server) {
    let volume = tempfile::tempdir().unwrap();
    let server = Server::start(&MIRROR.folder());
    let path = volume.path().join("shared").display().to_string();
    let project = || {
        let project = Project::new("v3/env-demo");
        let caches = format!("caches: [{{ name: shared, path: \"{path}\", keep: {keep} }}]\n");
        project.configure(&format!("{}{caches}", mirror_entry(&server.url(), false)));
        project
    };
    ((0..count).map(|_| project()).collect(), volume, server)
}

fn assert_whole(volume: &tempfile::TempDir) {
    let mut blobs = 0;
    crate::fixtures::walk(&volume.path().join("shared"), &mut |path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_file() && name != "larder.json" {
            assert_eq!(sha256(&std::fs::read(path).unwrap()), name);
            blobs += 1;
        }
    });
    assert_eq!(blobs, MIRROR.needed_blobs().len());
    let records = crate::fixtures::read_json(&volume.path().join("shared/larder.json")).to_string();
    for blob in MIRROR.needed_blobs() {
        assert!(records.contains(&blob.digest), "no run may write over the records of another: {records}");
    }
}

#[test]
fn four_at_once_fill_one_cache_and_download_each_blob_once() {
    let (projects, volume, server) = sharing(4, "all");
    let children: Vec<_> = projects.iter().map(|project| project.command(&["prepare"]).spawn().unwrap()).collect();
    for child in children {
        Run::wait(child, &["prepare"]).succeeds();
    }
    assert_whole(&volume);
    for blob in MIRROR.needed_blobs() {
        assert_eq!(server.count(&blob.path), 1, "parallel jobs of one host download {} once", blob.path);
    }
    for project in &projects {
        for blob in MIRROR.needed_blobs() {
            let bytes = std::fs::read(project.path(".larder/job/mirror").join(&blob.path[1..])).unwrap();
            assert_eq!(sha256(&bytes), blob.digest);
        }
    }
}

#[test]
fn each_with_specs_of_its_own_leave_the_records_of_all() {
    let (projects, volume, _server) = sharing(4, "all");
    let specs = ["app", "plotter", "libmid", "rtdata"];
    let start = |(project, spec): (&Project, &&str)| project.command(&["prepare", "--spec", spec]).spawn().unwrap();
    let children: Vec<_> = projects.iter().zip(&specs).map(start).collect();
    for child in children {
        Run::wait(child, &["prepare"]).succeeds();
    }
    assert_whole(&volume);
}

#[test]
fn a_job_that_is_still_downloading_does_not_hold_up_another() {
    let (projects, volume, server) = sharing(2, "all");
    for project in &projects {
        let yaml = std::fs::read_to_string(project.path("larder.yaml")).unwrap();
        project.configure(&yaml.replace("idle-timeout: 30s", "idle-timeout: 1h"));
    }
    let slow = &MIRROR.published("app").blobs[0];
    server.fault(&slow.path, Times::First(1), Fault::StallHalfWay);
    let mut first = projects[0].command(&["prepare"]).spawn().unwrap();
    server.wait_until_stalled();
    let second = projects[1].command(&["prepare"]).spawn().unwrap();
    let (done, waiting) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || done.send(Run::wait(second, &["prepare"])));
    let in_time = waiting.recv_timeout(Duration::from_secs(20));
    let still_downloading = first.try_wait().unwrap().is_none();
    // Its end lets the second one go on in any case, so that nothing is left running.
    first.kill().unwrap();
    first.wait().unwrap();
    waiter.join().unwrap().unwrap();
    assert!(still_downloading, "the first job was meant to stall");
    in_time.expect("the second job waited for the first").succeeds();
    assert_whole(&volume);
}

#[test]
fn one_that_prunes_while_another_prepares_does_no_harm() {
    let (projects, volume, _server) = sharing(2, "{ max-age: 30d }");
    projects[0].prepare();
    for _ in 0..5 {
        let finish = projects[0].command(&["finish"]).spawn().unwrap();
        let prepare = projects[1].command(&["prepare"]).spawn().unwrap();
        Run::wait(finish, &["finish"]).succeeds();
        Run::wait(prepare, &["prepare"]).succeeds();
    }
    assert_whole(&volume);
}

#[test]
fn the_lock_is_beside_the_cache_and_not_in_it() {
    let (projects, volume, _server) = sharing(1, "all");
    projects[0].prepare();
    let mut names: Vec<_> = std::fs::read_dir(volume.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["shared", "shared.lock", "shared.records.lock"]);
}
