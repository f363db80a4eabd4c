//! A mirror that cannot be reached is never taken for one that lacks the spec.

use std::net::TcpListener;
use std::time::Duration;

use rstest::rstest;

use crate::context::{Project, mirror_entry, names_with};
use crate::fixtures::Mirror;
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;
const EVERY_DOCUMENT: &str = "/{v3,build_cache}/**";

#[rstest]
#[case::in_trouble(500, "try again later")]
#[case::behind_a_broken_gateway(502, "try again later")]
#[case::behind_a_login(401, "credentials")]
#[case::forbidden(403, "right to read")]
#[case::limiting_requests(429, "limits requests")]
#[case::a_teapot(418, "418")]
fn a_mirror_that_answers_anything_but_there_is_none_ends_the_run(#[case] status: u16, #[case] hint: &str) {
    let (project, server) = Project::with_server(MIRROR);
    server.fault(EVERY_DOCUMENT, Times::Always, Fault::Status(status, vec![]));
    project.larder(&["prepare"]).fails_saying(1, &[&server.url(), &status.to_string(), hint]);
    assert_eq!(server.blob_requests(), [] as [&str; 0]);
}

#[test]
fn a_refused_connection_is_retried_and_then_an_error() {
    let project = Project::new("v3/env-demo");
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    project.configure(&mirror_entry(&url, false));
    let run = project.larder(&["plan"]).fails_saying(1, &["can't get", &url, "Connection refused"]);
    assert_eq!(run.stderr.matches("Connection refused").count(), 1, "a cause is told once\n{run}");
}

#[test]
fn a_name_that_does_not_resolve_is_an_error() {
    let project = Project::new("v3/env-demo");
    project.configure(&mirror_entry("https://mirror.invalid/x", false));
    project.larder(&["plan"]).fails_saying(1, &["https://mirror.invalid/x"]);
}

#[test]
fn a_server_that_stalls_is_given_up() {
    for fault in [Fault::Stall, Fault::StallHalfWay] {
        let (project, server) = Project::with_server(MIRROR);
        let blob = &MIRROR.published("app").blobs[0];
        let network = "network: { retries: 0, idle-timeout: 300ms }\n";
        let mirrors = mirror_entry(&server.url(), false).replace(crate::context::NETWORK, network);
        project.configure(&mirrors);
        server.fault(&blob.path, Times::Always, fault);
        project.larder(&["prepare"]).fails_saying(1, &[&blob.path, "sent nothing", "idle-timeout"]);
        server.heal();
        project.prepare();
    }
}

#[test]
fn a_server_that_is_too_slow_is_given_up() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = &MIRROR.published("app").blobs[0];
    let network = "network: { retries: 0, total-timeout: 300ms, idle-timeout: 1h }\n";
    project.configure(&mirror_entry(&server.url(), false).replace(crate::context::NETWORK, network));
    server.fault(&blob.path, Times::Always, Fault::StallHalfWay);
    project.larder(&["prepare"]).fails_saying(1, &[&blob.path, "total-timeout"]);
}

#[test]
fn there_is_none_and_an_object_store_that_forbids_a_missing_key_both_mean_to_be_built() {
    for (status, header) in [(404, "x-other"), (410, "x-other"), (403, "x-amz-request-id")] {
        let (project, server) = Project::with_server(MIRROR);
        let answer = Fault::Status(status, vec![(header, "1".to_owned())]);
        server.fault("/**/*libmid*", Times::Always, answer);
        let report = project.prepare();
        assert_eq!(names_with(&report, "build"), ["libmid"], "{status}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_not_a_mirror_without_binaries() {
    let project = Project::new("v3/env-demo");
    let missing = project.outside().join("not-mounted");
    let run = project.larder(&["prepare", "--mirror", missing.to_str().unwrap()]);
    run.fails_saying(1, &["not-mounted"]);
}

#[test]
fn a_mirror_that_is_down_is_not_passed_over_in_favour_of_the_next() {
    let project = Project::new("v3/env-demo");
    let (down, up) = (Server::start(&MIRROR.folder()), Server::start(&MIRROR.folder()));
    down.fault("/**", Times::Always, Fault::Status(503, vec![]));
    let entry =
        |name: &str, server: &Server| format!("  - {{ name: {name}, url: \"{}\", signed: false }}\n", server.url());
    let mirrors = format!("{}mirrors:\n{}{}", crate::context::NETWORK, entry("down", &down), entry("up", &up));
    project.configure(&mirrors);
    project.larder(&["prepare"]).fails_saying(1, &[&down.url(), "503"]);

    down.heal();
    let report = project.prepare();
    assert!(report["specs"].as_array().unwrap().iter().all(|spec| spec["mirror"] != "up"), "the first one wins");
    assert_eq!(up.blob_requests(), [] as [&str; 0]);
}

#[test]
fn the_second_mirror_is_asked_for_what_the_first_one_lacks() {
    let project = Project::new("v3/env-demo");
    let (first, second) = (Server::start(&Mirror::V3Signed.folder()), Server::start(&Mirror::V3Signed.folder()));
    first.fault("/**/*libmid*", Times::Always, Fault::Status(404, vec![]));
    let (one, two) = (first.url(), second.url());
    project.configure(&format!("mirrors:\n  - {{ name: one, url: \"{one}\" }}\n  - {{ name: two, url: \"{two}\" }}\n"));
    let report = project.prepare();
    let specs = report["specs"].as_array().unwrap();
    let from = |name: &str| specs.iter().find(|spec| spec["name"] == name).unwrap()["mirror"].clone();
    assert_eq!((from("libmid"), from("app")), ("two".into(), "one".into()));
    let mut expected: Vec<String> =
        Mirror::V3Signed.published("libmid").blobs.into_iter().map(|blob| blob.path).collect();
    expected.sort();
    assert_eq!(second.blob_requests(), expected);
}

#[test]
fn metadata_that_fails_now_and_then_is_asked_for_again() {
    let (project, server) = Project::with_server(Mirror::V2Signed);
    server.fault("/build_cache/**", Times::First(1), Fault::Status(503, vec![]));
    let report = project.prepare();
    assert_eq!(names_with(&report, "fetched"), Mirror::V2Signed.needed());
}

#[test]
fn a_web_page_instead_of_metadata_is_not_believed() {
    let (project, server) = Project::with_server(MIRROR);
    server.fault(EVERY_DOCUMENT, Times::Always, Fault::Html);
    project.larder(&["prepare"]).fails_saying(1, &[&server.url()]);
}

#[test]
fn a_failure_does_not_wait_for_longer_than_the_retries_take() {
    let (project, server) = Project::with_server(MIRROR);
    server.fault("/**", Times::Always, Fault::Status(500, vec![]));
    let began = std::time::Instant::now();
    project.larder(&["plan"]).exits_with(1);
    assert!(began.elapsed() < Duration::from_secs(20), "two retries a millisecond apart took {:?}", began.elapsed());
}
