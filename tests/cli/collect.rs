//! What a pipeline built is pushed once, and the next one takes it; whatever is wrong with the folder, Spack builds.
//!
//! A script stands in for Spack: it copies what real Spack once pushed. `real_spack` has the same with the real one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::context::{Project, Run, in_cache, mirror_entry, names_with, total};
use crate::fixtures::{Mirror, Published, copy_folder, walk};
use crate::server::Server;

const BUILT: &str = ".larder/built";

/// A stand-in for Spack that notes how it was called. `$SPACK_DOES` says how it goes wrong.
pub(crate) const SPACK: &str = r#"#!/bin/sh
echo "$@" >> "@log@"
for argument in "$@"; do
  case $argument in
    file://*) target=${argument#file://} ;;
    */*/*) ;;
    /*) hashes="$hashes ${argument#/}" ;;
  esac
done
cd "@mirror@"
if [ -d blobs ]; then cp -r blobs "$target/"; fi
if [ "$SPACK_DOES" = die ]; then kill -9 $PPID; exit 1; fi
for hash in $hashes; do
  if [ -d build_cache ]; then
    find build_cache -name "*-$hash.spack" -exec cp --parents {} "$target/" \;
  fi
  find v3 build_cache -name "*-$hash.spec.*" -exec cp --parents {} "$target/" \; 2> /dev/null
  if [ "$SPACK_DOES" = fail ]; then echo "==> Error: the disk caught fire"; exit 1; fi
done
"#;

/// A job that has to build `app`, since the mirror lacks it.
struct Job {
    project: Project,
    published: Published,
    _server: Server,
}

impl Job {
    fn new(mirror: Mirror, entry: &str) -> Self {
        let project = Project::new(mirror.environment());
        let published = mirror.published("app");
        let upstream = project.outside().join("upstream");
        copy_folder(&mirror.folder(), &upstream);
        fs::remove_file(upstream.join(&published.metadata[1..])).unwrap();
        let server = Server::start(&upstream);
        let mirrors = mirror_entry(&server.url(), mirror.is_signed());
        project.configure(&format!("{mirrors}  - {{ path: {BUILT}, collect: true{entry} }}\n"));
        let script = SPACK.replace("@log@", project.outside().join("calls").to_str().unwrap());
        let script = script.replace("@mirror@", mirror.folder().to_str().unwrap());
        let program = project.outside().join("spack");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let job = Self { project, published, _server: server };
        fs::create_dir_all(job.prefix().join(".spack")).unwrap();
        job.install(true);
        job
    }

    /// One whose first pipeline is over: the folder holds `app`, and the runner restored it.
    fn second(mirror: Mirror, entry: &str) -> Self {
        let job = Self::new(mirror, entry);
        job.project.prepare();
        job.larder(&["collect"]).succeeds();
        job.next();
        job
    }

    fn next(&self) {
        self.project.next_job();
        self.project.restore_times(BUILT, Duration::from_secs(600));
        let _ = fs::remove_file(self.project.outside().join("calls"));
    }

    fn prefix(&self) -> PathBuf {
        self.project.outside().join("opt/app")
    }

    /// Write the install tree's database.
    fn install(&self, installed: bool) {
        let record = json!({"path": self.prefix(), "installed": installed});
        let database = json!({"database": {"installs": {&self.published.hash: record}}});
        let folder = self.project.outside().join("opt/.spack-db");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("index.json"), database.to_string()).unwrap();
    }

    fn larder(&self, arguments: &[&str]) -> Run {
        self.larder_with(arguments, &[])
    }

    /// With the install tree and the stand-in for Spack.
    fn larder_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let (program, tree) = (self.project.outside().join("spack"), self.project.outside().join("opt"));
        let more = ["--spack", program.to_str().unwrap(), "--installed", tree.to_str().unwrap()];
        self.project.larder_with(&[arguments, &more].concat(), variables)
    }

    /// How Spack was called, one line each.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.project.outside().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn metadata(&self) -> PathBuf {
        self.project.path(BUILT).join(&self.published.metadata[1..])
    }

    fn blob(&self) -> PathBuf {
        self.project.path(BUILT).join(&self.published.blobs[0].path[1..])
    }

    /// `prepare` warns of this and has Spack build `app`, as if the folder were not there.
    #[track_caller]
    fn builds_and_warns(&self, parts: &[&str]) {
        let run = self.project.larder(&["prepare", "--json"]).succeeds().says(parts);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(names_with(&report, "build"), ["app"]);
        assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{report:#}");
        let mut links = Vec::new();
        walk(&self.project.path(".larder/job/mirror"), &mut |path| links.extend(fs::read_link(path)));
        assert!(!links.is_empty() && links.iter().all(|link| !link.to_string_lossy().contains("built")), "{links:?}");
    }
}

/// Every file of a folder, by its path in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(folder, &mut |path| {
        if !path.is_dir() {
            found.push(path.strip_prefix(folder).unwrap().to_owned());
        }
    });
    found.sort();
    found
}

#[rstest]
#[case(Mirror::V3Unsigned, "", "--unsigned")]
#[case(Mirror::V2Unsigned, "", "--unsigned")]
#[case(Mirror::V3Signed, ", signing-key: 0x1234", "--key 0x1234")]
#[case(Mirror::V2Signed, ", signing-key: 0x1234", "--key 0x1234")]
fn what_was_built_is_pushed_once_and_installed_by_the_next_pipeline(
    #[case] mirror: Mirror,
    #[case] entry: &str,
    #[case] signing: &str,
) {
    let job = Job::new(mirror, entry);
    assert_eq!(names_with(&job.project.prepare(), "build"), ["app"]);
    let report = job.larder(&["finish", "--collect", "--json"]).report();
    let calls = job.calls();
    assert_eq!(calls.len(), 1);
    let environment = job.project.root();
    let beginning = format!("-e {} buildcache push --only package {signing} file:///", environment.display());
    assert!(calls[0].starts_with(&beginning), "{}", calls[0]);
    assert!(calls[0].ends_with(&format!(" /{}", job.published.hash)), "{}", calls[0]);
    let mut expected: Vec<PathBuf> = job.published.blobs.iter().map(|blob| blob.path[1..].into()).collect();
    expected.push(job.published.metadata[1..].into());
    expected.sort();
    assert_eq!(files(&job.project.path(BUILT)), expected, "that spec and nothing else");
    assert_eq!(report["caches"][1]["uploads"], "first");
    assert_eq!(report["caches"][1]["upload_reasons"][0]["entries"], job.published.blobs.len());

    job.next();
    let before = job.project.entries(BUILT);
    let plan = job.project.larder(&["plan", "--json"]).report();
    let prepared = job.project.prepare();
    for report in [&plan, &prepared] {
        let app = report["specs"].as_array().unwrap().iter().find(|spec| spec["name"] == "app").unwrap();
        assert_eq!((&app["status"], &app["collected"]), (&"cached".into(), &true.into()), "{report:#}");
        assert_eq!((&app["mirror"], &app["cache"]), (&"built".into(), &Value::Null));
    }
    assert_eq!(total(&prepared, "bytes_fetched"), 0);
    let digest = &job.published.blobs[0].digest;
    assert!(!job.project.blobs_in(".larder/shared").contains(digest), "a copy would be uploaded twice");
    let mut links = 0;
    walk(&job.project.path(".larder/job/mirror"), &mut |path| {
        links += usize::from(
            path.is_symlink()
                && fs::canonicalize(path).unwrap().ends_with(job.blob().strip_prefix(job.project.root()).unwrap()),
        );
    });
    assert_eq!(links, 1, "the job mirror links to the folder");
    let report = job.larder(&["finish", "--collect", "--json"]).report();
    job.larder(&["collect"]).succeeds().says(&["this job built nothing that `built` lacks"]);
    assert_eq!(job.calls(), [""; 0], "there is nothing to push");
    assert_eq!(report["caches"][1]["uploads"], "no");
    assert_eq!(job.project.entries(BUILT), before, "not even a modification time changes");
}

#[test]
fn the_folder_has_a_policy_of_its_own() {
    let job = Job::new(Mirror::V3Unsigned, "");
    let restores = ("LARDER_CACHE_POLICY", "pull");
    job.project.larder_with(&["prepare"], &[restores]).succeeds();
    let report = job.larder_with(&["finish", "--collect", "--json"], &[restores]).report();
    assert_eq!((&report["caches"][0]["uploads"], &report["caches"][1]["uploads"]), (&"no".into(), &"first".into()));
    let variables = [("LARDER_COLLECT_POLICY", "pull")];
    let report = job.project.larder_with(&["finish", "--json"], &variables).report();
    assert_eq!((&report["caches"][0]["uploads"], &report["caches"][1]["uploads"]), (&"first".into(), &"no".into()));
}

#[test]
fn without_prepare_what_is_installed_counts_unless_it_came_from_a_binary() {
    let job = Job::new(Mirror::V3Unsigned, "");
    job.larder(&["collect", "--dry-run"]).succeeds().says(&["would push 1 spec (app@3.1.4/"]);
    fs::write(job.prefix().join(".spack/binary_distribution"), "{}").unwrap();
    job.larder(&["collect"]).succeeds().says(&["built nothing"]);
    fs::remove_file(job.prefix().join(".spack/binary_distribution")).unwrap();
    job.install(false);
    job.larder(&["collect"]).succeeds().says(&["built nothing"]);
    assert!(!job.project.path(BUILT).exists());
    assert_eq!(job.calls(), [""; 0]);
}

#[test]
fn damaged_metadata_and_blobs_count_as_missing_and_are_pushed_anew() {
    for mirror in [Mirror::V3Unsigned, Mirror::V2Unsigned] {
        let job = Job::second(mirror, "");
        let (metadata, blob) = (fs::read(job.metadata()).unwrap(), fs::read(job.blob()).unwrap());
        let (file, at) = (job.metadata(), job.blob());
        let (file, at) = (file.to_str().unwrap(), at.to_str().unwrap());

        fs::write(job.metadata(), &metadata[..metadata.len() / 2]).unwrap();
        job.builds_and_warns(&[file, "as if it were not there"]);
        fs::write(job.metadata(), b"\xff\xfe<html>").unwrap();
        job.builds_and_warns(&[file]);
        let other = mirror.folder().join(&mirror.published("plotter").metadata[1..]);
        fs::write(job.metadata(), fs::read(other).unwrap()).unwrap();
        if mirror.is_v3() {
            copy_folder(&mirror.folder().join("blobs"), &job.project.path(BUILT).join("blobs"));
        }
        job.builds_and_warns(&["app@3.1.4", "describes"]);

        fs::write(job.metadata(), &metadata).unwrap();
        let mut flipped = blob.clone();
        flipped[100] ^= 1;
        fs::write(job.blob(), &flipped).unwrap();
        job.builds_and_warns(&[at, "is damaged"]);
        fs::write(job.blob(), &blob[1..]).unwrap();
        job.builds_and_warns(&[at]);
        fs::remove_file(job.blob()).unwrap();
        job.builds_and_warns(&[at, "is missing"]);

        fs::write(job.blob(), &flipped).unwrap();
        job.larder(&["collect"]).succeeds();
        assert_eq!(job.calls().len(), 1);
        assert_eq!(names_with(&job.project.prepare(), "build"), [""; 0], "the good one is in place of the bad one");
    }
}

#[test]
fn damaged_metadata_that_is_asked_for_first_gives_way_to_what_is_pushed() {
    let job = Job::second(Mirror::V2Unsigned, "");
    let signed = job.metadata().with_extension("json.sig");
    fs::write(&signed, "-----BEGIN PGP SIGNED MESSAGE-----\ncut short").unwrap();
    job.builds_and_warns(&[signed.to_str().unwrap()]);
    fs::write(&signed, fs::read(job.metadata()).unwrap()).unwrap();
    job.builds_and_warns(&[signed.to_str().unwrap(), "is not signed, for all its name"]);
    job.larder(&["collect"]).succeeds();
    assert!(!signed.exists());
    assert_eq!(names_with(&job.project.prepare(), "build"), [""; 0]);
}

#[test]
fn links_in_the_folder_are_never_followed() {
    let job = Job::second(Mirror::V3Unsigned, "");
    let outside = job.project.outside().join("elsewhere");
    let built = job.project.path(BUILT);
    for part in [job.metadata(), job.blob(), built.join("v3"), built.join("blobs/sha256"), built.clone()] {
        fs::rename(&part, &outside).unwrap();
        symlink(&outside, &part).unwrap();
        job.builds_and_warns(&["built"]);
        fs::remove_file(&part).unwrap();
        fs::rename(&outside, &part).unwrap();
    }
    fs::rename(&built, &outside).unwrap();
    symlink(&outside, &built).unwrap();
    let before = files(&outside);
    job.larder(&["collect"]).fails_saying(1, &["is a symbolic link or not a folder"]);
    job.project.larder(&["clean"]).fails_saying(1, &["is a symbolic link or not a folder"]);
    job.project.larder(&["finish"]).succeeds().says(&["is left alone"]);
    assert_eq!(files(&outside), before);
}

#[test]
fn unsigned_metadata_is_not_used_where_signatures_are_demanded() {
    let job = Job::second(Mirror::V3Unsigned, "");
    let config = fs::read_to_string(job.project.path("larder.yaml")).unwrap();
    job.project.configure(&config.replace("collect: true", "collect: true, signed: true"));
    let file = job.metadata();
    job.builds_and_warns(&[file.to_str().unwrap(), "has no signature"]);
    let before = job.project.entries(BUILT);
    job.larder(&["collect"]).fails_saying(2, &["there is no key to sign with", "signing-key"]);
    assert_eq!(job.calls(), [""; 0]);

    // A Spack that does not sign, whatever it was told.
    job.project.configure(&config.replace("collect: true", "collect: true, signing-key: 0x1"));
    job.project.prepare();
    job.larder(&["collect"]).succeeds().says(&["is not collected", "has no signature"]);
    assert_eq!(job.project.entries(BUILT), before);
}

#[test]
fn pruning_takes_metadata_and_blobs_together_and_keeps_what_the_job_needs() {
    for mirror in [Mirror::V3Unsigned, Mirror::V2Unsigned] {
        let job = Job::second(mirror, ", keep: { max-age: 1d }");
        let other = mirror.published("rtdata");
        let paths = other.blobs.iter().map(|blob| &blob.path).chain([&other.metadata]);
        for path in paths.clone() {
            job.project.write(&format!("{BUILT}{path}"), fs::read(mirror.folder().join(&path[1..])).unwrap());
        }
        let stray = format!("{BUILT}/blobs/sha256/ab/{}", "ab".repeat(32));
        job.project.write(&stray, "what a killed run left");
        job.project.restore_times(BUILT, Duration::from_secs(2 * 86_400));
        job.project.prepare();
        let before = files(&job.project.path(BUILT));
        let dry = job.project.larder(&["finish", "--dry-run", "--json"]).report();
        assert_eq!(files(&job.project.path(BUILT)), before);
        let report = job.project.finish();
        for report in [&dry, &report] {
            assert_eq!(in_cache(report, "built", "removed"), other.blobs.len() as u64 + 1, "{report:#}");
            assert_eq!(report["caches"][1]["uploads"], "yes");
        }
        for path in paths {
            assert!(!job.project.path(&format!("{BUILT}{path}")).exists(), "{path} is left");
        }
        assert!(!job.project.path(&stray).exists());
        assert_eq!(names_with(&job.project.prepare(), "build"), [""; 0], "what the job needs is there");
        let before = job.project.entries(BUILT);
        job.project.finish();
        assert_eq!(job.project.entries(BUILT), before, "once is enough");
    }
}

#[test]
fn a_push_makes_room_and_without_one_nothing_is_touched() {
    let job = Job::new(Mirror::V3Unsigned, ", keep: { max-age: 1d }");
    let old = Mirror::V3Unsigned.published("rtdata");
    for path in old.blobs.iter().map(|blob| &blob.path).chain([&old.metadata]) {
        let bytes = fs::read(Mirror::V3Unsigned.folder().join(&path[1..])).unwrap();
        job.project.write(&format!("{BUILT}{path}"), bytes);
    }
    job.project.restore_times(BUILT, Duration::from_secs(2 * 86_400));
    job.project.prepare();
    let report = job.larder(&["collect", "--json"]).report();
    assert_eq!(
        (in_cache(&report, "built", "added"), in_cache(&report, "built", "removed")),
        (1, old.blobs.len() as u64)
    );
    assert!(job.metadata().exists() && !job.project.path(&format!("{BUILT}{}", old.metadata)).exists());
    let before = job.project.entries(BUILT);
    job.larder(&["collect"]).succeeds().says(&["nothing to push"]);
    assert_eq!(job.project.entries(BUILT), before);
}

#[test]
fn what_no_lockfile_names_any_more_goes_by_itself_and_so_does_what_is_broken() {
    let job = Job::second(Mirror::V3Unsigned, "");
    job.project.use_environment("v2/env-demo");
    job.project.finish();
    assert!(!job.project.path(BUILT).join("v3").exists());

    let job = Job::second(Mirror::V3Unsigned, ", keep: all");
    fs::remove_file(job.blob()).unwrap();
    job.project.larder(&["finish"]).succeeds().says(&["is removed", "is missing"]);
    assert_eq!(files(&job.project.path(BUILT)), [""; 0].map(PathBuf::from));
}

#[test]
fn a_killed_push_leaves_nothing_and_the_next_one_works() {
    let job = Job::new(Mirror::V3Unsigned, "");
    job.project.prepare();
    let run = job.larder_with(&["collect"], &[("SPACK_DOES", "die")]);
    assert_eq!((run.code, job.calls().len()), (None, 1), "Spack had begun, and larder was killed\n{run}");
    assert!(!job.project.path(BUILT).exists());
    job.larder(&["collect"]).succeeds().says(&["built: pushed 1 spec"]);
    assert!(job.metadata().exists());

    // Killed while the files were moved: blobs came first, and nobody believes them.
    fs::remove_file(job.metadata()).unwrap();
    job.next();
    assert_eq!(names_with(&job.project.prepare(), "build"), ["app"]);
}

#[test]
fn a_push_that_fails_half_way_keeps_what_arrived_and_says_what_spack_said() {
    let job = Job::new(Mirror::V3Unsigned, "");
    job.project.prepare();
    let run = job.larder_with(&["collect"], &[("SPACK_DOES", "fail")]);
    run.fails_saying(1, &["buildcache push` failed", "the disk caught fire", "hint:"]);
    assert!(job.metadata().exists(), "Spack had pushed it before");
    fs::remove_dir_all(job.project.path(BUILT)).unwrap();
    let run = job.larder_with(&["finish", "--collect"], &[("SPACK_DOES", "fail")]);
    run.succeeds().says(&["the disk caught fire", "shared:", "built:"]);
}

#[test]
fn what_is_missing_to_collect_is_said_with_what_to_do() {
    let job = Job::new(Mirror::V3Unsigned, "");
    job.project.prepare();
    let tree = job.project.outside().join("opt");
    let arguments = ["collect", "--installed", tree.to_str().unwrap()];
    let nowhere = [("PATH", "/nowhere")];
    job.project.larder_with(&arguments, &nowhere).fails_saying(1, &["there is no `spack`", "--spack PATH"]);
    let root = job.project.outside().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy(job.project.outside().join("spack"), root.join("bin/spack")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let variables = [("PATH", path.as_str()), ("SPACK_ROOT", root.to_str().unwrap())];
    job.project.larder_with(&["collect", "--installed", "/nowhere"], &variables).fails_saying(2, &["/nowhere"]);
    job.project.larder(&["collect"]).fails_saying(1, &["found no install tree", "--installed"]);
    job.project.larder(&["finish", "--collect", "--installed", "/nowhere"]).succeeds().says(&["/nowhere", "shared:"]);
    job.project.larder_with(&arguments, &variables).succeeds();
    let config = fs::read_to_string(job.project.path("larder.yaml")).unwrap();
    let without: Vec<&str> = config.lines().filter(|line| !line.contains("collect")).collect();
    job.project.configure(&without.join("\n"));
    job.project.larder(&["collect"]).fails_saying(2, &["no place to collect into", "collect: true"]);
}

#[test]
fn the_folder_is_listed_verified_and_emptied_like_a_cache() {
    let job = Job::second(Mirror::V3Unsigned, "");
    let list = job.project.larder(&["list", "--json"]).report();
    assert_eq!(list["caches"][1]["contents"][0]["requests"][0]["name"], "app");
    job.project.larder(&["verify"]).succeeds();
    fs::write(job.blob(), vec![0; fs::read(job.blob()).unwrap().len()]).unwrap();
    job.project.larder(&["verify"]).exits_with(1);
    job.project.larder(&["verify", "--cache", "shared"]).succeeds();
    job.project.larder(&["clean", "--cache", "shared"]).succeeds();
    assert!(job.metadata().exists());
    job.project.write(&format!("{BUILT}/thesis.tex"), "mine");
    job.project.larder(&["clean", "--cache", "built"]).succeeds();
    assert_eq!(files(&job.project.path(BUILT)), [PathBuf::from("thesis.tex")]);
}

#[test]
fn mirrors_of_spack_stay_in_force_where_only_a_folder_is_named() {
    let (project, server) = Project::with_server(Mirror::V3Unsigned);
    let url = server.url();
    project.write("spack.yaml", format!("spack:\n  mirrors:\n    own: {{ url: \"{url}\", signed: false }}\n"));
    project.configure("mirrors: [{ path: .larder/built, collect: true }]\n");
    assert_eq!(names_with(&project.prepare(), "fetched").len(), Mirror::V3Unsigned.needed().len());
}
