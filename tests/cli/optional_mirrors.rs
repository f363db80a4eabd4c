//! A mirror may be optional: where it is not there, it is told once and the others are asked. And there may be none at all.

use std::net::TcpListener;

use rstest::rstest;

use crate::context::{NETWORK, Project, names_with, total};
use crate::fixtures::Mirror;
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;
const EVERY_DOCUMENT: &str = "/{v3,build_cache}/**";

fn entry(name: &str, url: &str, keys: &str) -> String {
    format!("- {{ name: {name}, url: \"{url}\", signed: false{keys} }}\n")
}

/// An optional mirror that is asked first, and one that has everything.
fn project_with(optional: &str) -> (Project, Server) {
    let server = Server::start(&MIRROR.folder());
    let project = Project::new(MIRROR.environment());
    let (first, second) = (entry("site", optional, ", optional: true"), entry("public", &server.url(), ""));
    project.configure(&format!("{NETWORK}mirrors:\n{first}{second}"));
    (project, server)
}

#[track_caller]
fn goes_on_saying(project: &Project, parts: &[&str]) {
    let run = project.larder(&["prepare", "--json"]).succeeds().says(parts);
    assert_eq!(run.stderr.matches("going on without").count(), 1, "it is told once\n{run}");
    let report = run.report();
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{report:#}");
}

#[test]
fn a_folder_that_is_not_there_is_told_once_and_skipped() {
    let (project, _server) = project_with("/facility/spack/mirror");
    goes_on_saying(
        &project,
        &["going on without the optional mirror `site`", "/facility/spack/mirror", "No such file"],
    );
}

#[rstest]
#[case::only_reachable_from_inside(403)]
#[case::behind_a_login(401)]
#[case::in_trouble(500)]
fn a_site_that_lets_nobody_in_is_told_once_and_skipped(#[case] status: u16) {
    let site = Server::start(&MIRROR.folder());
    site.fault(EVERY_DOCUMENT, Times::Always, Fault::Status(status, vec![]));
    let (project, _server) = project_with(&site.url());
    goes_on_saying(&project, &["going on without the optional mirror `site`", &status.to_string()]);
    // One spec was asked for, in two layouts at most, with its retries: not every spec.
    assert!(site.log().len() <= 3, "{:#?}", site.log());
}

#[test]
fn a_site_that_can_not_be_reached_is_skipped_and_one_that_must_be_there_is_not() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    let (project, server) = project_with(&url);
    goes_on_saying(&project, &["going on without", &url, "Connection refused"]);
    let (first, second) = (entry("site", &url, ", optional: false"), entry("public", &server.url(), ""));
    project.configure(&format!("{NETWORK}mirrors:\n{first}{second}"));
    project.larder(&["prepare"]).fails_saying(1, &["can't get", &url]);
}

#[test]
fn an_optional_mirror_that_is_there_and_wrong_is_an_error() {
    let site = Server::start(&MIRROR.folder());
    site.fault(EVERY_DOCUMENT, Times::Always, Fault::Html);
    let (project, _server) = project_with(&site.url());
    project.larder(&["prepare"]).fails_saying(1, &["is not Spack's metadata"]);
}

#[test]
fn an_optional_mirror_that_is_there_is_used_in_its_place() {
    let site = Server::start(&MIRROR.folder());
    let (project, server) = project_with(&site.url());
    assert_eq!(names_with(&project.prepare(), "fetched"), MIRROR.needed());
    assert_eq!(server.log().len(), 0);
}

#[test]
fn folders_of_spacks_own_configuration_are_optional() {
    let server = Server::start(&MIRROR.folder());
    let project = Project::new(MIRROR.environment());
    project.configure(NETWORK);
    let mirrors = format!("    facility: /facility/mirror\n    web: {{ url: \"{}\", signed: false }}\n", server.url());
    project.write("spack.yaml", format!("spack:\n  specs: [app, plotter]\n  mirrors:\n{mirrors}"));
    goes_on_saying(&project, &["the optional mirror `facility`", "/facility/mirror"]);
}

#[test]
fn without_any_mirror_everything_is_to_build_and_the_lines_to_copy_are_said() {
    let project = Project::new(MIRROR.environment());
    let run = project.larder(&["prepare", "--json"]).succeeds();
    let run =
        run.says(&["there is no mirror of binaries", "collect: true", "oci://${CI_REGISTRY_IMAGE}", "after_script"]);
    let report = run.report();
    assert!(names_with(&report, "build").contains(&"app".to_owned()), "{report:#}");
    assert_eq!((names_with(&report, "fetched").len(), total(&report, "requests")), (0, 0));
    // Spack is given a mirror that is empty and valid, so that the pipeline's `-C` works.
    assert!(project.path(".larder/job/spack/mirrors.yaml").is_file() && project.path(".larder/job/mirror").is_dir());
    project.larder(&["finish"]).succeeds();
    for command in ["plan", "warm"] {
        project.larder(&[command]).succeeds().says(&["there is no mirror of binaries"]);
    }
    project.larder(&["export", "out"]).fails_saying(2, &["there is no mirror to export from"]);
}

#[test]
fn where_a_place_collects_there_is_nothing_to_propose() {
    let project = Project::new(MIRROR.environment());
    project.configure("mirrors: [{ path: .larder/built, collect: true }]\n");
    let run = project.larder(&["prepare"]).succeeds();
    assert!(!run.stderr.contains("there is no mirror"), "{run}");
}
