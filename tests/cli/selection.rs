//! Which specs a job needs.

use rstest::rstest;
use serde_json::json;

use crate::context::{Project, mirror_entry, names_with, statuses};
use crate::fixtures::Mirror;
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;

fn partial() -> (Project, Server) {
    let server = Server::start(&MIRROR.folder());
    let project = Project::new("v3/env-partial");
    project.configure(&mirror_entry(&server.url(), false));
    (project, server)
}

fn plan(project: &Project, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let arguments = [&["plan", "--json"], arguments].concat();
    statuses(&project.larder_with(&arguments, variables).report())
}

#[test]
fn all_roots_with_link_and_run_dependencies_and_build_dependencies_of_what_is_missing() {
    let (project, _server) = partial();
    let expected = [
        "app fetch",
        "codegen fetch",
        "libbase fetch",
        "libmid fetch",
        "plotter fetch",
        "py-tool build",
        "rtdata fetch",
        "sysz external",
        "unbuilt build",
    ];
    assert_eq!(plan(&project, &[], &[]), expected);
}

#[rstest]
#[case::missing("missing", &["app fetch", "libbase fetch", "libmid fetch", "sysz external"])]
#[case::none("none", &["app fetch", "libbase fetch", "libmid fetch", "sysz external"])]
#[case::all("all", &["app fetch", "codegen fetch", "libbase fetch", "libmid fetch", "sysz external"])]
fn build_dependencies_of_what_a_mirror_has(#[case] which: &str, #[case] expected: &[&str]) {
    let (project, _server) = partial();
    assert_eq!(plan(&project, &["--spec", "app", "--build-deps", which], &[]), expected);
}

#[rstest]
#[case::missing("missing", &["codegen fetch", "libbase fetch", "py-tool build", "unbuilt build"])]
#[case::none("none", &["libbase fetch", "py-tool build", "unbuilt build"])]
fn build_dependencies_of_what_no_mirror_has(#[case] which: &str, #[case] expected: &[&str]) {
    let (project, _server) = partial();
    assert_eq!(plan(&project, &["--spec", "unbuilt", "--build-deps", which], &[]), expected);
}

#[test]
fn specs_and_hashes_add_up_and_a_hash_may_be_short() {
    let (project, _server) = partial();
    let rtdata = MIRROR.published("rtdata").hash;
    let chosen = plan(&project, &["--spec", "libmid", "--hash", &format!("/{}", &rtdata[..7])], &[]);
    assert_eq!(chosen, ["libbase fetch", "libmid fetch", "rtdata fetch"]);
}

#[test]
fn a_spec_or_hash_that_is_not_in_the_lockfile_is_an_error_that_says_what_is() {
    let (project, _server) = partial();
    project.larder(&["plan", "--spec", "plottr"]).fails_saying(2, &["plottr", "did you mean `plotter`"]);
    project.larder(&["plan", "--hash", "aaaaaaa"]).fails_saying(2, &["aaaaaaa", "`larder plan` lists"]);
}

#[test]
fn the_jobs_table_chooses_by_the_name_of_the_job() {
    let (project, server) = partial();
    let jobs = "jobs:\n  \"build:*\": { specs: [libmid] }\n  docs: { specs: plotter, build-deps: none }\n";
    project.configure(&format!("{}{jobs}", mirror_entry(&server.url(), false)));
    let of = |job: &str| plan(&project, &[], &[("CI_JOB_NAME", job)]);
    assert_eq!(of("build:gcc 1/2"), ["libbase fetch", "libmid fetch"]);
    assert_eq!(of("docs"), ["libbase fetch", "plotter fetch", "rtdata fetch"]);
    assert_eq!(of("deploy").len(), 9, "a job that is not in the table needs all roots");
    assert_eq!(plan(&project, &["--spec", "rtdata"], &[("CI_JOB_NAME", "docs")]), ["rtdata fetch"]);
}

#[test]
fn a_spack_ci_job_needs_the_dependencies_of_the_spec_that_it_builds() {
    let (project, _server) = partial();
    let hash = MIRROR.published("app").hash;
    let chosen = plan(&project, &[], &[("SPACK_JOB_SPEC_DAG_HASH", &hash)]);
    let expected = ["app build", "codegen fetch", "libbase fetch", "libmid fetch", "sysz external"];
    assert_eq!(chosen, expected);
}

/// An install tree whose database says that these are installed.
fn install_tree(project: &Project, folder: &str, names: &[&str]) -> String {
    let entry = |name: &&str| (MIRROR.published(name).hash, json!({ "installed": true, "ref_count": 0, "spec": {} }));
    let installs: serde_json::Map<_, _> = names.iter().map(entry).collect();
    let database = json!({ "database": { "version": "8", "installs": installs } });
    project.write(&format!("{folder}/.spack-db/index.json"), database.to_string());
    project.path(folder).to_str().unwrap().to_owned()
}

#[test]
fn what_the_install_tree_holds_is_not_needed_again() {
    let (project, server) = partial();
    let root = install_tree(&project, "opt", &["libmid", "libbase"]);
    let report = project.larder(&["prepare", "--json", "--spec", "app", "--installed", &root]).report();
    assert_eq!(names_with(&report, "fetched"), ["app"]);
    let mut expected: Vec<String> = MIRROR.published("app").blobs.into_iter().map(|blob| blob.path).collect();
    expected.sort();
    assert_eq!(server.blob_requests(), expected);
}

#[test]
fn the_install_tree_is_found_where_the_environment_names_it() {
    let (project, _server) = partial();
    install_tree(&project, "tree", &["rtdata"]);
    let yaml = "spack:\n  specs: [plotter]\n  config:\n    install_tree:\n      root: $env/tree\n";
    project.write("spack.yaml", yaml);
    assert_eq!(plan(&project, &["--spec", "plotter"], &[]), ["libbase fetch", "plotter fetch", "rtdata installed"]);
}

#[test]
fn several_environments_are_needed_together() {
    let (project, _server) = partial();
    for (name, environment) in [("one", "v3/env-demo"), ("two", "v3/env-splice")] {
        crate::fixtures::copy_folder(&crate::fixtures::fixture(environment), &project.path(name));
    }
    let both = plan(&project, &["-e", "one", "-e", "two"], &[]);
    assert!(both.contains(&"app fetch".to_owned()), "{both:?}");
    assert_eq!(
        both.iter().filter(|spec| spec.starts_with("libbase ")).collect::<Vec<_>>(),
        ["libbase fetch", "libbase build"]
    );
    assert_eq!(plan(&project, &["-e", "one"], &[]).len(), 6);
}

#[test]
fn what_no_mirror_has_is_no_failure_unless_everything_is_required() {
    let (project, _server) = partial();
    project.larder(&["prepare"]).succeeds().says(&["unbuilt", "py-tool"]);
    project.larder(&["prepare", "--require-all"]).exits_with(3).says(&["unbuilt", "py-tool"]);
    project.larder(&["prepare", "--require-all", "--spec", "app"]).succeeds();
    project.larder(&["plan", "--require-all"]).exits_with(3);
}
