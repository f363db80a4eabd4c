//! `larder init`: a configuration that works at once, from what is there, and no file overwritten.

use std::fs;

use crate::context::{Project, names_with};
use crate::fixtures::{Mirror, copy_folder, fixture};
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;

/// An environment in a folder, whose `spack.yaml` names the mirror.
fn project(server: &Server) -> Project {
    let project = Project::new(MIRROR.environment());
    copy_folder(&fixture(MIRROR.environment()), &project.path("envs/app"));
    for file in ["spack.yaml", "spack.lock"] {
        fs::remove_file(project.path(file)).unwrap();
    }
    let url = server.url();
    project.write(
        "envs/app/spack.yaml",
        format!("spack:\n  mirrors:\n    demo: {{ url: \"{url}\", signed: false }}\n  specs: [app, plotter]\n"),
    );
    project
}

#[test]
fn what_it_writes_is_a_configuration_with_which_the_next_command_works() {
    let server = Server::start(&MIRROR.folder());
    let project = project(&server);
    let run = project.larder(&["init"]).succeeds().says(&[
        "wrote `larder.yaml`",
        "wrote `.gitlab-ci.yml`",
        "wrote `ci-templates/larder.yml`",
    ]);
    assert!(run.stdout.is_empty(), "{run}");
    let text = fs::read_to_string(project.path("larder.yaml")).unwrap();
    assert!(text.contains("- \"envs/app\"\n"), "{text}");
    let report = project.prepare();
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    let report = project.finish();
    assert!(report["caches"].as_array().unwrap().iter().any(|cache| cache["name"] == "shared"), "{report:#}");
    let pipeline = fs::read_to_string(project.path(".gitlab-ci.yml")).unwrap();
    assert!(
        pipeline.contains("- local: ci-templates/larder.yml\n") && pipeline.contains("-e envs/app install"),
        "{pipeline}"
    );
    // What the pipeline includes is there, as this repository has it.
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/ci-templates/larder.yml");
    let included = fs::read(project.path("ci-templates/larder.yml")).unwrap();
    assert_eq!(included, fs::read(template).unwrap());
    // With the pipeline and the template of this version, only the configuration is written again.
    fs::remove_file(project.path("larder.yaml")).unwrap();
    let again = project.larder(&["init"]).succeeds();
    assert!(!again.stderr.contains("already") && again.stdout.is_empty(), "{again}");
}

#[test]
fn a_template_of_another_version_stays_and_is_named() {
    let server = Server::start(&MIRROR.folder());
    let project = project(&server);
    project.write("ci-templates/larder.yml", "mine: {}\n");
    project.larder(&["init"]).succeeds().says(&["there is a `ci-templates/larder.yml` already", "stays as it is"]);
    assert_eq!(fs::read_to_string(project.path("ci-templates/larder.yml")).unwrap(), "mine: {}\n");
}

#[test]
fn a_file_that_is_there_is_named_and_stays_as_it_is() {
    let server = Server::start(&MIRROR.folder());
    let project = project(&server);
    project.write(".gitlab-ci.yml", "mine: {}\n");
    let run = project.larder(&["init"]).succeeds().says(&["there is a `.gitlab-ci.yml` already"]);
    assert!(run.stdout.contains("- local: ci-templates/larder.yml\n"), "{run}");
    let before = fs::read(project.path("larder.yaml")).unwrap();
    project.larder(&["init"]).fails_saying(1, &["larder.yaml` is there already", "hint: `larder init --print`"]);
    assert_eq!(fs::read(project.path("larder.yaml")).unwrap(), before);
    assert_eq!(fs::read_to_string(project.path(".gitlab-ci.yml")).unwrap(), "mine: {}\n");

    fs::rename(project.path("larder.yaml"), project.path("larder.yml")).unwrap();
    project.larder(&["init"]).fails_saying(1, &["larder.yml` is there already"]);
}

#[test]
fn print_writes_no_file_and_temporary_mirrors_get_a_cache_of_their_own() {
    let project = Project::new(MIRROR.environment());
    let before = project.entries(".");
    let mirrors = ["--mirror", "https://h.example/pr-${CI_MERGE_REQUEST_IID}", "--mirror", "https://h.example/develop"];
    let run = project.larder(&[&["init", "--print"], &mirrors[..]].concat()).succeeds();
    assert_eq!(project.entries("."), before);
    assert!(run.stdout.contains("- { url: \"https://h.example/develop\", signed: true }"), "{run}");
    assert!(run.stdout.contains("- { url: \"https://h.example/pr-${CI_MERGE_REQUEST_IID}\", signed: true }"), "{run}");
    let unsigned = project.larder(&["init", "--print", "--unsigned", "--mirror", "https://h.example/x"]).succeeds();
    assert!(unsigned.stdout.contains("signed: false"), "{unsigned}");
    project.larder(&["init", "--print", "--mirror", "http://h.example/x"]).fails_saying(2, &["not protected by TLS"]);
    for part in [
        "- \".\"\n",
        "prefix: [\"https://h.example/pr-\"], path: .larder/branch, keep: lockfile",
        "name: shared, path: .larder/shared",
        "include:",
    ] {
        assert!(run.stdout.contains(part), "{part} is not in\n{run}");
    }
}

#[test]
fn without_an_environment_it_says_where_it_looked() {
    let project = Project::new(MIRROR.environment());
    fs::remove_file(project.path("spack.yaml")).unwrap();
    project
        .larder(&["init"])
        .fails_saying(1, &["there is no Spack environment in", "hint: larder looks for `spack.yaml`"]);
    assert!(!project.path("larder.yaml").exists());
}
