//! Servers that send something else than what they promised, once or always.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::context::{Project, mirror_entry, names_with, total};
use crate::fixtures::{Blob, Mirror, mirror_with_manifest, sha256};
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;

fn victim(mirror: Mirror) -> Blob {
    mirror.published("libmid").blobs[0].clone()
}

/// Neither a wrong byte in the cache, nor anything unfinished, nor a job mirror that promises what is not there.
fn assert_clean_after_failure(project: &Project, blob: &Blob) {
    assert!(!project.cached(&blob.digest).exists());
    project.blobs_in(".larder/shared");
    assert_eq!(project.unfinished(), [""; 0].map(PathBuf::from), "unfinished files were left");
}

#[rstest]
#[case::a_server_error(Fault::Status(500, vec![]))]
#[case::an_overloaded_gateway(Fault::Status(503, vec![]))]
#[case::too_many_requests(Fault::Status(429, vec![("retry-after", "0".to_owned())]))]
#[case::a_broken_connection(Fault::Broken)]
fn what_goes_wrong_twice_and_then_well_is_no_error(
    #[case] fault: Fault,
    #[values(Mirror::V3Unsigned, Mirror::V2Unsigned)] mirror: Mirror,
) {
    let (project, server) = Project::with_server(mirror);
    let blob = victim(mirror);
    server.fault(&blob.path, Times::First(2), fault);
    let report = project.prepare();
    assert_eq!(server.count(&blob.path), 3);
    project.assert_cache_holds_exactly(&mirror.needed_blobs());
    let needed: u64 = mirror.needed_blobs().iter().map(|blob| blob.bytes).sum();
    assert_eq!(total(&report, "bytes_fetched"), needed, "what was thrown away does not count");
}

#[test]
fn half_of_it_under_the_right_name_is_asked_for_again() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = victim(MIRROR);
    server.fault(&blob.path, Times::First(2), Fault::Half);
    project.prepare();
    assert_eq!(server.count(&blob.path), 3);
}

#[test]
fn a_mirror_whose_bytes_are_wrong_is_not_asked_again_and_the_next_one_is() {
    let (project, server) = Project::with_server(MIRROR);
    let other = Server::start(&MIRROR.folder());
    let blob = victim(MIRROR);
    server.fault(&blob.path, Times::Always, Fault::WrongByte);
    let entry = format!("  - {{ name: other, url: \"{}\", signed: false }}\n", other.url());
    project.configure(&(mirror_entry(&server.url(), false) + &entry));
    project.prepare();
    assert_eq!((server.count(&blob.path), other.count(&blob.path)), (1, 1));
    assert_eq!(other.log().len(), 1, "nothing else is asked of it");
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
}

#[rstest]
#[case::a_server_error(Fault::Status(500, vec![]), "500")]
#[case::no_permission(Fault::Status(401, vec![]), "401")]
#[case::a_missing_blob(Fault::Status(404, vec![]), "does not exist")]
#[case::a_broken_connection(Fault::Broken, "can't get")]
#[case::a_wrong_byte(Fault::WrongByte, "sha256")]
#[case::half_of_it(Fault::Half, "ends after")]
#[case::a_body_without_end(Fault::TooLong(64 << 20), "longer")]
#[case::a_byte_more_than_promised(Fault::OneByteMore, "announces")]
#[case::a_captive_portal(Fault::Html, "web page")]
fn what_always_goes_wrong_is_said_and_the_next_run_comes_out_right(#[case] fault: Fault, #[case] said: &str) {
    let (project, server) = Project::with_server(MIRROR);
    let blob = victim(MIRROR);
    server.fault(&blob.path, Times::Always, fault);
    project.larder(&["prepare"]).fails_saying(1, &[&blob.path, said, "hint"]);
    assert_clean_after_failure(&project, &blob);

    server.heal();
    let report = project.prepare();
    assert!(names_with(&report, "fetched").contains(&"libmid".to_owned()));
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
}

#[test]
fn a_body_without_end_is_cut_off_at_the_size_that_the_metadata_states() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = victim(MIRROR);
    server.fault(&blob.path, Times::Always, Fault::TooLong(1 << 30));
    project.larder(&["prepare"]).exits_with(1);
    assert!(server.count(&blob.path) > 0);
    for request in server.log().iter().filter(|request| request.path == blob.path) {
        assert!(request.bytes < blob.bytes + (32 << 20), "{} bytes were taken", request.bytes);
    }
}

#[test]
fn metadata_without_end_is_cut_off_as_well() {
    let (project, server) = Project::with_server(MIRROR);
    let metadata = MIRROR.published("libmid").metadata;
    server.fault(&metadata, Times::Always, Fault::TooLong(1 << 30));
    project.larder(&["prepare"]).fails_saying(1, &[&metadata, "longer"]);
    assert!(server.count(&metadata) > 0);
    for request in server.log().iter().filter(|request| request.path == metadata) {
        assert!(request.bytes < 64 << 20, "{} bytes were taken", request.bytes);
    }
}

#[test]
fn a_wrong_layout_v2_binary_is_never_visible_under_the_right_name() {
    let (project, server) = Project::with_server(Mirror::V2Signed);
    let blob = victim(Mirror::V2Signed);
    server.fault(&blob.path, Times::Always, Fault::WrongByte);
    project.larder(&["prepare"]).fails_saying(1, &[&blob.path]);
    assert_clean_after_failure(&project, &blob);
    assert_eq!(server.count(&blob.path), 1, "a mirror whose bytes are wrong is not asked again");
}

#[test]
fn retry_after_is_honoured() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = victim(MIRROR);
    server.fault(&blob.path, Times::First(1), Fault::Status(429, vec![("retry-after", "1".to_owned())]));
    let began = Instant::now();
    project.prepare();
    assert!(began.elapsed() >= Duration::from_secs(1), "the configured delay is 1 ms, the server asked for 1 s");
}

#[test]
fn a_server_that_asks_for_an_hour_ends_the_attempts() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = victim(MIRROR);
    server.fault(&blob.path, Times::Always, Fault::Status(429, vec![("retry-after", "3600".to_owned())]));
    project.larder(&["prepare"]).fails_saying(1, &["429", "network: connections"]);
    assert_eq!(server.count(&blob.path), 1);
}

#[test]
fn blobs_that_arrived_before_the_failure_are_not_fetched_again() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = victim(MIRROR);
    // One at a time, so that it is known what came before.
    project.configure(&mirror_entry(&server.url(), false).replace("retries: 2", "retries: 0, connections: 1"));
    server.fault(&blob.path, Times::Always, Fault::WrongByte);
    project.larder(&["prepare"]).exits_with(1);
    let arrived = project.blobs_in(".larder/shared").len();
    assert!(arrived > 0, "the bad one is not the first");
    server.heal();
    server.clear_log();
    project.prepare();
    assert_eq!(server.blob_requests().len(), MIRROR.needed_blobs().len() - arrived);
}

#[rstest]
#[case::not_json(|_: String| "<html>sign in</html>".to_owned())]
#[case::empty(|_: String| String::new())]
#[case::cut_off(|text: String| text[..text.len() / 2].to_owned())]
#[case::a_newer_version(|text: String| text.replace("\"version\":3", "\"version\":4"))]
#[case::a_path_as_digest(|text: String| text.replace(&digest(), "../../../../etc/passwd"))]
#[case::a_short_digest(|text: String| text.replace(&digest(), &digest()[..40]))]
#[case::an_uppercase_digest(|text: String| text.replace(&digest(), &digest().to_uppercase()))]
#[case::a_weak_algorithm(|text: String| text.replace("\"sha256\"", "\"md5\""))]
#[case::an_unknown_algorithm(|text: String| text.replace("\"sha256\"", "\"../x\""))]
#[case::no_binary(|text: String| text.replace("vnd.spack.install", "vnd.spack.other"))]
#[case::a_negative_size(|text: String| text.replace("\"contentLength\":94043", "\"contentLength\":-1"))]
fn metadata_that_is_not_what_it_should_be_is_an_error_that_names_it(#[case] change: fn(String) -> String) {
    let (folder, metadata) = mirror_with_manifest(change);
    let server = Server::start(folder.path());
    let project = Project::new("v3/env-demo");
    project.configure(&mirror_entry(&server.url(), false));
    project.larder(&["prepare"]).fails_saying(1, &[&metadata]);
    assert!(!project.cached(&digest()).exists());
}

fn digest() -> String {
    victim(MIRROR).digest
}

#[test]
fn a_digest_of_other_bytes_of_the_same_length_is_refused_although_the_server_is_consistent() {
    let (folder, _) = mirror_with_manifest(|text| text);
    let path = folder.path().join(&victim(MIRROR).path[1..]);
    let bytes: Vec<u8> = fs::read(&path).unwrap().into_iter().map(|byte| byte ^ 0xff).collect();
    fs::write(&path, &bytes).unwrap();
    let project = Project::new("v3/env-demo");
    let url = folder.path().to_str().unwrap();
    project.larder(&["prepare", "--unsigned", "--mirror", url]).fails_saying(1, &[&digest(), &sha256(&bytes)]);
}
