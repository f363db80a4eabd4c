//! Names from lockfiles, mirrors and archives never become a path that leaves the folder it belongs in.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::context::{Project, mirror_entry, names_with};
use crate::fixtures::{Mirror, copy_folder, fixture, read_json};
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;

fn demo_with(change: impl Fn(&mut Value)) -> (Project, Server) {
    let mut lockfile = read_json(&fixture("v3/env-demo/spack.lock"));
    change(&mut lockfile["concrete_specs"][MIRROR.published("rtdata").hash]);
    let project = Project::new("v3/env-demo");
    project.write("spack.lock", lockfile.to_string());
    let server = Server::start(&MIRROR.folder());
    project.configure(&mirror_entry(&server.url(), false));
    (project, server)
}

/// What the test made itself is all there is beside the project.
fn assert_nothing_outside(project: &Project) {
    let mut names: Vec<_> = fs::read_dir(project.outside()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["home", "project"]);
    let mut names: Vec<_> = fs::read_dir(project.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names.retain(|name| name != ".larder");
    assert_eq!(names, ["larder.yaml", "spack.lock", "spack.yaml"]);
}

#[rstest]
#[case::up_and_away("../../../escaped")]
#[case::an_absolute_path("/tmp/escaped")]
#[case::a_folder("a/b")]
#[case::the_folder_above("..")]
#[case::nothing("")]
#[case::an_option("-rf")]
#[case::a_line_break("x\ny")]
#[case::a_terminal_sequence("\u{1b}[2Jx")]
#[case::a_nul("x\0y")]
fn a_hostile_package_name_is_refused_before_anything_is_asked(#[case] name: &str) {
    let (project, server) = demo_with(|spec| spec["name"] = json!(name));
    let run = project.larder(&["prepare"]).fails_saying(1, &["spack.lock"]);
    assert!(!run.stderr.contains("\u{1b}[2J"), "the name was printed as it is");
    assert_eq!(server.log().len(), 0);
    assert_nothing_outside(&project);
}

#[rstest]
#[case::up_and_away("../../../escaped")]
#[case::the_folder_above("..")]
#[case::a_git_branch("git.feature/x=0.4")]
#[case::an_address("..%2f..%2fescaped")]
fn a_version_with_separators_stays_one_part_of_a_path(#[case] version: &str) {
    let (project, server) = demo_with(|spec| spec["version"] = json!(version));
    let report = project.prepare();
    assert_eq!(names_with(&report, "build"), ["rtdata"], "no mirror has it under this version");
    assert!(server.log().iter().any(|request| request.path.contains("/rtdata-")), "{:#?}", server.log());
    for request in server.log() {
        assert!(!request.path.contains("/../") && !request.path.contains("%2"), "{}", request.path);
        let folder = request.path.starts_with("/v3/") || request.path.starts_with("/build_cache/");
        assert!(folder || request.path.starts_with("/blobs/sha256/"), "{}", request.path);
    }
    assert_nothing_outside(&project);
}

#[test]
fn a_git_version_is_asked_for_under_the_name_that_spack_gives_it() {
    let (project, server) = demo_with(|spec| spec["version"] = json!("git.feature/x=0.4"));
    project.prepare();
    let hash = MIRROR.published("rtdata").hash;
    let expected = format!("/v3/manifests/spec/rtdata/rtdata-git.feature_x_0.4-{hash}.spec.manifest.json");
    assert_eq!(server.count(&expected), 1, "{:#?}", server.log());
}

#[rstest]
#[case::an_architecture("platform", "../..")]
#[case::an_operating_system("platform_os", "x/../../y")]
#[case::a_target("target", "../../escaped")]
fn a_hostile_architecture_is_refused_before_anything_is_asked(#[case] key: &str, #[case] value: &str) {
    let mut lockfile = read_json(&fixture("v2/env-demo/spack.lock"));
    lockfile["concrete_specs"][Mirror::V2Unsigned.published("rtdata").hash]["arch"][key] = json!(value);
    let project = Project::new("v2/env-demo");
    project.write("spack.lock", lockfile.to_string());
    let server = Server::start(&Mirror::V2Unsigned.folder());
    project.configure(&mirror_entry(&server.url(), false));
    project.larder(&["prepare"]).fails_saying(1, &["spack.lock", "is not a valid lockfile"]);
    assert_eq!(server.log().len(), 0);
    assert_nothing_outside(&project);
}

#[test]
fn a_hash_that_is_a_path_is_refused() {
    let mut text = fs::read_to_string(fixture("v3/env-demo/spack.lock")).unwrap();
    text = text.replace(&MIRROR.published("rtdata").hash, "../../../../../../../../tmp/esca");
    let project = Project::new("v3/env-demo");
    project.write("spack.lock", text);
    project.configure("mirrors: []\n");
    project.larder(&["prepare"]).fails_saying(1, &["spack.lock", "DAG hash"]);
    assert_nothing_outside(&project);
}

#[test]
fn a_file_mirror_with_a_link_to_a_secret_does_not_bring_it_into_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&MIRROR.folder(), folder.path());
    let secret = folder.path().join("secret");
    fs::write(&secret, "password").unwrap();
    let blob = &MIRROR.published("app").blobs[0];
    let path = folder.path().join(&blob.path[1..]);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&secret, &path).unwrap();
    let project = Project::new("v3/env-demo");
    project.larder(&["prepare", "--unsigned", "--mirror", folder.path().to_str().unwrap()]).exits_with(1);
    project.blobs_in(".larder/shared");
    assert!(!project.cached(&blob.digest).exists());
}

#[test]
fn a_password_in_a_mirrors_address_is_never_printed() {
    let (project, server) = Project::with_server(MIRROR);
    let url = server.url().replace("http://", "http://ci:hunter2@");
    project.configure(&mirror_entry(&url, false));
    let mut printed = Vec::new();
    for arguments in
        [&["plan", "-vvv"][..], &["prepare", "-vvv"], &["prepare", "--json"], &["list", "--json"], &["list"]]
    {
        printed.push(project.larder(arguments).succeeds());
    }
    for file in [".larder/shared/larder.json", ".larder/job/report.json", ".larder/job/state.json"] {
        let text = fs::read_to_string(project.path(file)).unwrap();
        assert!(!text.contains("hunter2"), "{file}");
    }
    server.fault("/**", crate::server::Times::Always, crate::server::Fault::Status(500, vec![]));
    printed.push(project.larder(&["prepare", "-vvv"]).exits_with(1));
    for run in printed {
        assert!(!run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"), "{run}");
    }
}
