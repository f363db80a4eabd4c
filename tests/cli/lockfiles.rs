//! Lockfiles of every format, and those that are broken: the file and what is wrong with it are named.

use rstest::rstest;
use serde_json::{Value, json};

use crate::context::{Project, mirror_entry, names_with, statuses};
use crate::fixtures::{Mirror, fixture, read_json};
use crate::server::Server;

/// A project with this lockfile and a mirror that has nothing of it.
fn project_with(lockfile: &Value) -> (Project, Server) {
    let project = Project::new("v3/env-demo");
    project.write("spack.lock", lockfile.to_string());
    let server = Server::start(&Mirror::V3Unsigned.folder());
    project.configure(&mirror_entry(&server.url(), false));
    (project, server)
}

fn demo() -> Value {
    read_json(&fixture("v3/env-demo/spack.lock"))
}

#[rstest]
#[case::format_4("demo-format4.lock", 8, 1)]
#[case::format_5("demo-format5.lock", 7, 2)]
#[case::llvm("llvm.lock", 23, 9)]
#[case::hpctoolkit("hpctoolkit.lock", 48, 12)]
#[case::science("science30.lock", 144, 15)]
fn every_format_is_read(#[case] file: &str, #[case] built: usize, #[case] external: usize) {
    let lockfile = read_json(&fixture("lockfiles").join(file));
    let specs = lockfile["concrete_specs"].as_object().unwrap();
    let is_external = |node: &&Value| !node["external"].is_null();
    assert_eq!(specs.values().filter(is_external).count(), external, "the fixture's own number");

    let (project, _server) = project_with(&lockfile);
    let report = project.larder(&["plan", "--json", "--build-deps", "all"]).report();
    let names = |status| names_with(&report, status).len();
    let found = names("build") + names("fetch");
    assert!(found > 0 && found <= specs.len() - external, "{:?}", statuses(&report));
    // Format 4 says nothing of test dependencies that are not needed; all else is reachable from the roots.
    assert!(found >= built.min(specs.len() - external) - 1, "{found} of {built}: {:?}", statuses(&report));
}

#[test]
fn the_specs_of_an_included_environment_are_needed_like_ones_own() {
    let (project, _server) = project_with(&read_json(&fixture("v3/env-stacked/spack.lock")));
    let report = project.larder(&["plan", "--json"]).report();
    assert_eq!(names_with(&report, "build"), ["py-tool", "unbuilt"]);
    let fetch = ["app", "codegen", "libbase", "libmid", "plotter", "rtdata"];
    assert_eq!(names_with(&report, "fetch"), fetch);
}

#[test]
fn a_development_build_is_never_asked_of_a_mirror() {
    let lockfile = read_json(&fixture("v3/env-develop/spack.lock"));
    let (project, server) = project_with(&lockfile);
    let report = project.prepare();
    assert_eq!(names_with(&report, "build"), ["app"]);
    // It is built here, so what builds it is needed too.
    assert_eq!(names_with(&report, "fetched"), ["codegen", "libbase", "libmid"]);
    assert!(!server.log().iter().any(|request| request.path.contains("/app/")));
}

#[test]
fn a_spliced_spec_needs_the_binary_of_its_build_spec() {
    let (project, _server) = project_with(&read_json(&fixture("v3/env-splice/spack.lock")));
    let report = project.prepare();
    let plotter = Mirror::V3Unsigned.published("plotter");
    assert!(project.cached(&plotter.blobs[0].digest).is_file());
    let entry = report["specs"].as_array().unwrap().iter().find(|spec| spec["name"] == "plotter").unwrap().clone();
    assert_eq!(entry["build_spec"], plotter.hash.as_str());
    assert_eq!(entry["status"], "fetched");
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let mut lockfile = demo();
    lockfile["_meta"]["lockfile-version"] = json!(99);
    let (project, _server) = project_with(&lockfile);
    project.larder(&["plan"]).fails_saying(1, &["spack.lock", "99", "6"]);
}

#[test]
fn a_missing_dependency_is_named() {
    let mut lockfile = demo();
    let specs = lockfile["concrete_specs"].as_object_mut().unwrap();
    let hash = Mirror::V3Unsigned.published("libbase").hash;
    specs.shift_remove(&hash).unwrap();
    let (project, _server) = project_with(&lockfile);
    project.larder(&["plan"]).fails_saying(1, &["spack.lock", "libmid", &hash]);
}

#[test]
fn a_cycle_is_shown() {
    let mut lockfile = demo();
    let (app, libbase) = (Mirror::V3Unsigned.published("app").hash, Mirror::V3Unsigned.published("libbase").hash);
    lockfile["concrete_specs"][&libbase]["dependencies"] =
        json!([{ "name": "app", "hash": app, "parameters": { "deptypes": ["link"], "virtuals": [] } }]);
    let (project, _server) = project_with(&lockfile);
    project.larder(&["plan"]).fails_saying(1, &["spack.lock", "cycle", "app", "libbase", "libmid"]);
}

#[rstest]
#[case::no_json("{ \"_meta\": ")]
#[case::nothing("")]
#[case::another_json_file("{\"name\": \"left-pad\"}")]
#[case::a_list("[]")]
#[case::a_merge_conflict("<<<<<<< HEAD\n{}\n")]
fn a_file_that_is_no_lockfile_is_named(#[case] text: &str) {
    let project = Project::new("v3/env-demo");
    project.write("spack.lock", text);
    project.larder(&["plan"]).fails_saying(1, &["spack.lock"]);
}
