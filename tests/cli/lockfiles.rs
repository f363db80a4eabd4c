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

/// The demo as Spack 1.2 and 1.3 write it: roots have groups, nodes say what they provide.
fn in_format(number: u32) -> Value {
    let mut lockfile = demo();
    lockfile["_meta"]["lockfile-version"] = json!(number);
    for (at, root) in lockfile["roots"].as_array_mut().unwrap().iter_mut().enumerate() {
        root["group"] = json!(if at == 0 { "compiler" } else { "default" });
    }
    if number >= 8 {
        lockfile["_meta"]["specfile-version"] = json!(6);
        let specs = lockfile["concrete_specs"].as_object_mut().unwrap();
        specs.values_mut().for_each(|node| node["provided_virtuals"] = json!(["base-api", "language@5"]));
    }
    lockfile
}

#[rstest]
#[case::spack_1_2(7)]
#[case::spack_1_3(8)]
fn newer_formats_are_read_like_the_older_ones(#[case] number: u32) {
    let (project, _server) = project_with(&demo());
    let expected = statuses(&project.larder(&["plan", "--json"]).report());
    assert!(expected.len() > 3, "{expected:?}");
    project.write("spack.lock", in_format(number).to_string());
    let report = project.larder(&["plan", "--json"]).report();
    assert_eq!(statuses(&report), expected);
    assert_eq!(report["warnings"], json!([]));
}

#[test]
fn a_format_of_the_future_is_read_with_a_warning_as_long_as_its_shape_is_known() {
    let (project, _server) = project_with(&in_format(9));
    let report = project.larder(&["plan", "--json"]).report();
    let warning = report["warnings"][0].as_str().unwrap();
    for said in ["spack.lock", "format 9", "knows is 8"] {
        assert!(warning.contains(said), "{warning}");
    }
    assert!(statuses(&report).len() > 3);

    let mut strange = in_format(9);
    strange["concrete_specs"] = json!([]);
    project.write("spack.lock", strange.to_string());
    project.larder(&["plan"]).fails_saying(1, &["spack.lock", "format 9", "4 to 8", "newer larder"]);
}

#[test]
fn a_format_of_a_distant_past_is_refused_with_both_numbers() {
    let mut lockfile = demo();
    lockfile["_meta"]["lockfile-version"] = json!(3);
    let (project, _server) = project_with(&lockfile);
    project.larder(&["plan"]).fails_saying(1, &["spack.lock", "format 3", "4 to 8", "concretize"]);
}

#[test]
fn groups_choose_roots_and_unknown_ones_are_told_from_known_ones() {
    let lockfile = in_format(7);
    let roots = lockfile["roots"].as_array().unwrap();
    assert!(roots.len() > 1, "{roots:?}");
    let named = |root: &Value| lockfile["concrete_specs"][root["hash"].as_str().unwrap()]["name"].clone();
    let (project, server) = project_with(&lockfile);
    let in_group = |arguments: &[&str], variables: &[(&str, &str)], group: &str| {
        let report = project.larder_with(&[&["plan", "--json"], arguments].concat(), variables).report();
        let specs = report["specs"].as_array().unwrap();
        let has = |spec: &&Value| spec["groups"].as_array().is_some_and(|groups| groups.contains(&json!(group)));
        specs.iter().filter(has).map(|spec| spec["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(in_group(&["--group", "compiler"], &[], "compiler"), [named(&roots[0])]);
    let both = ["--group", "compiler", "--group", "default"];
    assert_eq!(in_group(&both, &[], "default").len(), roots.len() - 1);
    assert_eq!(in_group(&["--group", "default"], &[], "compiler"), [] as [Value; 0]);

    let shown = project.larder(&["plan"]).succeeds();
    assert!(shown.stdout.contains("roots by group: compiler 1, default "), "{shown}");
    project.larder(&["plan", "--group", "compilr"]).fails_saying(2, &["`compilr`", "did you mean `compiler`?"]);
    project.larder(&["plan", "--group", "apps"]).fails_saying(2, &["`apps`", "`compiler`, `default`"]);

    project.configure(&format!("{}jobs:\n  a: {{ groups: [compiler] }}\n", mirror_entry(&server.url(), false)));
    assert_eq!(in_group(&[], &[("CI_JOB_NAME", "a")], "compiler").len(), 1);
    assert_eq!(in_group(&[], &[("CI_JOB_NAME", "a")], "default").len(), 0);

    project.write("spack.lock", demo().to_string());
    project.larder(&["plan", "--group", "apps"]).fails_saying(2, &["no lockfile names groups", "Spack 1.2"]);
    assert!(project.larder(&["plan", "--json", "--group", "default"]).report()["specs"].as_array().unwrap().len() > 3);
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
