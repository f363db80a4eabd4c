//! Real Spack below `larder run`, in projects that commit no lockfile. Needs what `real_spack` needs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;

use crate::context::{Project, Run};
use crate::fixtures::{fixture, read_json};
use crate::real_spack::{NEEDED, Spack};

/// A folder for the PATH in which this Spack is named `spack`.
fn on_path(spack: &Spack, project: &Project) -> String {
    let folder = project.outside().join("path");
    if !folder.exists() {
        fs::create_dir(&folder).unwrap();
        symlink(spack.wrapper(), folder.join("spack")).unwrap();
    }
    let rest = std::env::var("PATH").unwrap();
    format!("{}:{rest}", folder.display())
}

/// One job of a pipeline, in a fresh checkout: `larder run` with these arguments.
fn job(spack: &Spack, project: &Project, arguments: &[&str]) -> Run {
    let _ = fs::remove_dir_all(project.path(".larder/job"));
    let _ = fs::remove_file(project.path("spack.lock"));
    let path = on_path(spack, project);
    let variables = [("PATH", path.as_str()), ("CI", "true")];
    project.larder_with(&[&["run"], arguments].concat(), &variables).succeeds()
}

/// The hashes of the roots, sorted.
fn roots(lockfile: &Value) -> Vec<String> {
    let roots = lockfile["roots"].as_array().unwrap();
    let mut hashes: Vec<String> = roots.iter().map(|root| root["hash"].as_str().unwrap().to_owned()).collect();
    hashes.sort();
    hashes
}

#[test]
fn a_project_with_mirrors_concretizes_with_their_cached_indexes_and_installs_their_binaries() {
    for mut spack in Spack::all() {
        let mirror = spack.mirrors()[0];
        let (project, server) = Project::with_server(mirror);
        let install = ["--", "spack", "-e", ".", "install", "--cache-only"];
        spack.begin_tree();
        job(&spack, &project, &install).says(&[
            "it has no lockfile yet",
            "0 to build",
            "indexes of mirrors: 0 reused, 1 fetched",
        ]);
        assert_eq!(spack.installed(), NEEDED);
        let known = read_json(&fixture(mirror.environment()).join("spack.lock"));
        assert_eq!(roots(&read_json(&project.path("spack.lock"))), roots(&known), "what the mirror has is reused");
        assert!(!server.blob_requests().is_empty());

        server.clear_log();
        spack.begin_tree();
        job(&spack, &project, &install).says(&["0 fetched, 0 to build", "indexes of mirrors: 1 reused, 0 fetched"]);
        assert_eq!(spack.installed(), NEEDED);
        assert_eq!(server.blob_requests(), [""; 0], "neither a binary nor an index");

        // A Spack that is called by its path, by a script that clears the environment before.
        let wrapper: PathBuf = spack.wrapper();
        let script = [&["--hand-over", "environment", "--", wrapper.to_str().unwrap()], &install[2..]].concat();
        let manifest = fs::read(project.path("spack.yaml")).unwrap();
        spack.begin_tree();
        job(&spack, &project, &script);
        assert_eq!(spack.installed(), NEEDED);
        assert_eq!(fs::read(project.path("spack.yaml")).unwrap(), manifest, "what was handed over is taken back");
        assert_eq!(server.blob_requests(), [""; 0]);
    }
}

#[test]
fn a_project_without_any_mirror_builds_in_its_first_pipeline_and_nothing_in_the_second() {
    for mut spack in Spack::all() {
        let project = Project::new(if spack.is_new() { "v3/env-partial" } else { "v2/env-partial" });
        project.configure("mirrors: [{ path: .larder/built, collect: true }]\n");
        let mut pipeline = || {
            spack.begin_tree();
            let specs = "specs: [unbuilt, py-tool]\n  view: false";
            let root = spack.tree().display().to_string();
            let text = format!("spack:\n  {specs}\n  config: {{ install_tree: {{ root: {root} }} }}\n");
            project.write("spack.yaml", text);
            let run = job(&spack, &project, &["--", "spack", "-e", ".", "install"]);
            (run, spack.installed())
        };
        let (first, installed) = pipeline();
        let first = first.says(&["it has no lockfile yet", "built: pushed"]);
        assert!(
            installed.contains(&"unbuilt".to_owned()) && installed.contains(&"py-tool".to_owned()),
            "{installed:?}"
        );
        assert!(!first.stderr.contains("0 to build"), "{first}");

        let (second, again) = pipeline();
        assert_eq!(again, installed);
        let second = second.says(&["0 to build", "built: nothing to push, nothing changed"]);
        let from_source = ["Executing phase", "No binary for"].iter().find(|part| second.stdout.contains(*part));
        assert_eq!(from_source, None, "{second}");
    }
}
