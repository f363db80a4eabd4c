//! `larder init`: a configuration that works at once, from what is there, and no file overwritten.

use std::fs;
use std::process::Command;

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
    project.larder(&["init"]).fails_saying(
        1,
        &["there is no Spack environment in", "hint: larder looks for `spack.yaml`", "a lockfile alone: `spack.lock`"],
    );
    assert!(!project.path("larder.yaml").exists());
}

/// `git` in the project, which must succeed.
fn git(project: &Project, arguments: &[&str]) {
    let status = Command::new("git").arg("-C").arg(project.root()).args(arguments).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

/// An environment whose `spack.yaml` has these lines below `spack:`.
fn environment(project: &Project, folder: &str, lines: &str) {
    project.write(&format!("{folder}/spack.yaml"), format!("spack:\n{lines}"));
}

fn pipeline(project: &Project) -> String {
    fs::read_to_string(project.path(".gitlab-ci.yml")).unwrap()
}

fn configuration(project: &Project) -> String {
    fs::read_to_string(project.path("larder.yaml")).unwrap()
}

/// Without the environment at its top.
fn empty_project() -> Project {
    let project = Project::new(MIRROR.environment());
    for file in ["spack.yaml", "spack.lock"] {
        fs::remove_file(project.path(file)).unwrap();
    }
    project
}

#[test]
fn hidden_folders_are_looked_into_and_a_link_out_of_the_project_is_not() {
    let project = empty_project();
    let folders = [".gitlab/envs/a", ".github/b", ".ci/c", ".spack-ci", ".config/d"];
    for folder in folders.iter().chain(&["node_modules/x", ".git/x", "../outside"]) {
        environment(&project, folder, "  specs: [app]\n");
    }
    std::os::unix::fs::symlink("../outside", project.path("link")).unwrap();
    project.larder(&["init"]).succeeds();
    let text = configuration(&project);
    let listed: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  - \"")?.strip_suffix('"')).collect();
    assert_eq!(listed.len(), folders.len(), "{text}");
    assert!(folders.iter().all(|folder| listed.contains(folder)), "{text}");
}

#[test]
fn an_environment_of_another_name_is_made_in_the_job_and_left_out_beside_those_with_the_name() {
    let project = empty_project();
    project.write("docker/spack-cuda.yaml", "spack:\n  specs: [app]\n  mirrors: { m: https://h.example/m }\n");
    project.write("docker/deploy.yml", "spack:\n  script: make\n");
    let run = project.larder(&["init"]).succeeds().says(&["skipped: `docker/deploy.yml` has none of"]);
    let made = "spack env create -d .larder/environments/docker-spack-cuda docker/spack-cuda.yaml";
    assert!(pipeline(&project).contains(made), "{run}");
    assert!(configuration(&project).contains("m https://h.example/m"), "its own mirrors are read\n{run}");

    let project = empty_project();
    project.write("docker/spack-cuda.yaml", "spack:\n  specs: [app]\n");
    environment(&project, "envs/app", "  specs: [app]\n");
    project.larder(&["init"]).succeeds().says(&["left out", "`docker/spack-cuda.yaml`", "--environment FILE"]);
    assert!(!configuration(&project).contains("docker"));
    fs::remove_file(project.path("larder.yaml")).unwrap();
    project.larder(&["init", "-e", "docker/spack-cuda.yaml"]).succeeds();
    assert!(configuration(&project).contains(".larder/environments/docker-spack-cuda"));
}

#[test]
fn a_bad_environment_is_named_with_its_line_and_the_others_go_on() {
    let project = empty_project();
    environment(&project, "good", "  specs: [app]\n");
    environment(&project, "twice", "  config: {}\n  config: {}\n");
    environment(&project, "missing", "  include: [site/packages.yaml]\n");
    project.write("template/spack.yaml", "spack:\n  specs:\n{% for x in y %}\n  - a\n{% endfor %}\n");
    project.larder(&["init"]).succeeds().says(&[
        "skipped: can't make sense of `twice/spack.yaml`, line 3, column 3: the key `config` is here twice",
        "skipped: `missing/spack.yaml` includes `site/packages.yaml`",
        "skipped: can't make sense of `template/spack.yaml`, line 3",
        "it looks like a template",
    ]);
    let text = configuration(&project);
    assert!(text.contains("- \"good\"\n") && !text.contains("twice"), "{text}");

    fs::remove_file(project.path("larder.yaml")).unwrap();
    fs::remove_dir_all(project.path("good")).unwrap();
    project.larder(&["init"]).fails_saying(
        1,
        &["no Spack environment in", "can be used:", "- can't make sense of `twice/spack.yaml`, line 3", "hint:"],
    );
    assert!(!project.path("larder.yaml").exists(), "nothing is written");
}

#[test]
fn a_site_s_own_folder_that_is_not_here_is_no_obstacle() {
    let project = empty_project();
    environment(&project, "site", "  include: [/opt/no-such-site/mirrors.yaml]\n");
    project
        .larder(&["init"])
        .succeeds()
        .says(&["`site` includes `/opt/no-such-site/mirrors.yaml`, which is not on this machine"]);
    assert!(!configuration(&project).contains("collect: true"), "it may have mirrors where the job runs");
}

#[test]
fn it_tells_what_jobs_will_find_of_lockfiles_and_mirrors_and_writes_the_pipeline_for_that() {
    let server = Server::start(&MIRROR.folder());
    let project = project(&server);
    git(&project, &["init", "--quiet"]);
    project.larder(&["init"]).succeeds().says(&["`envs/app`: the lockfile is not in git yet"]);
    assert!(pipeline(&project).contains("spack -C .larder/job/spack -e envs/app install"));

    for file in ["larder.yaml", ".gitlab-ci.yml"] {
        fs::remove_file(project.path(file)).unwrap();
    }
    project.write(".gitignore", "spack.lock\n");
    environment(&project, "envs/none", "  specs: [app]\n");
    project.larder(&["init"]).succeeds().says(&[
        "`envs/app`: git ignores the lockfile",
        "`envs/none`: no lockfile: it is made in the job",
        "`envs/none`: no mirror: larder can keep what the pipeline builds",
    ]);
    let text = pipeline(&project);
    assert!(text.contains("concretize: true") && text.contains("larder run -- spack -e envs/none install"), "{text}");
    assert!(configuration(&project).contains("# mirrors: [{ name: built, path: .larder/built, collect: true }]"));
}

#[test]
fn without_any_mirror_it_configures_the_folder_that_keeps_what_is_built() {
    let project = empty_project();
    environment(&project, "app", "  specs: [app]\n");
    project.larder(&["init"]).succeeds();
    assert!(configuration(&project).contains("\n  - { name: built, path: .larder/built, collect: true }\n"));
    assert!(pipeline(&project).contains("extends: .larder-run"));
    assert!(pipeline(&project).contains("larder run -- spack -e app install"));
    // The configuration is one.
    let listed = project.larder(&["list", "--json"]).report();
    assert!(listed["caches"].as_array().unwrap().iter().any(|cache| cache["name"] == "built"), "{listed:#}");
}

#[test]
fn an_environment_that_a_script_makes_is_taken_where_it_is_named() {
    let project = empty_project();
    project.larder(&["init", "-e", "/dev/shm/no-such-build/spack_env"]).succeeds();
    assert!(configuration(&project).contains("- \"/dev/shm/no-such-build/spack_env\"\n"));
    assert!(pipeline(&project).contains("larder run -- spack -e /dev/shm/no-such-build/spack_env install"));
}

#[test]
fn what_is_open_is_listed_until_it_is_done() {
    let project = empty_project();
    project.larder(&["init", "--check"]).fails_saying(1, &["there is neither", "hint: `larder init` writes them"]);
    environment(&project, "app", "  specs: [app]\n  mirrors: { m: { url: \"https://h.example/m\", signed: true } }\n");
    project.larder(&["init"]).succeeds().says(&["still open", ".gitlab-ci.yml:3: have Spack in the jobs trust"]);
    let check = project.larder(&["init", "--check"]).exits_with(1);
    assert!(
        check.stdout.contains(".gitlab-ci.yml:3: have Spack in the jobs trust the signing key of mirror `m`"),
        "{check}"
    );
    let text = pipeline(&project);
    assert_eq!(check.stdout.lines().count(), text.matches("# TODO(larder):").count(), "{check}");
    // A project's own marks are its own business.
    let kept = text.lines().filter(|line| !line.contains("TODO(larder)"));
    let done: String = kept.flat_map(|line| [line, "\n"]).collect();
    project.write(".gitlab-ci.yml", format!("# TODO: mine\n{done}"));
    let check = project.larder(&["init", "--check"]).succeeds().says(&["nothing is open"]);
    assert!(check.stdout.is_empty(), "{check}");
}

#[test]
fn git_ignores_what_larder_keeps() {
    let (project, _server) = Project::with_server(MIRROR);
    git(&project, &["init", "--quiet"]);
    project.prepare();
    let untracked = Command::new("git").arg("-C").arg(project.root()).args(["status", "--porcelain"]).output().unwrap();
    let untracked = String::from_utf8(untracked.stdout).unwrap();
    assert!(untracked.contains("larder.yaml") && !untracked.contains(".larder/"), "{untracked}");
    // Whoever wants to commit some of it changes the file.
    project.write(".larder/.gitignore", "*\n!shared\n");
    project.prepare();
    assert_eq!(fs::read_to_string(project.path(".larder/.gitignore")).unwrap(), "*\n!shared\n");
}
