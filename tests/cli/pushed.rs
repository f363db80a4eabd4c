//! A registry or a bucket takes what pipelines build, and outlives them: who pushes, what later jobs find, how room is made.
//!
//! A script stands in for Spack where it pushes into a folder that larder uploads from; what Spack itself does with a registry is in
//! `real_spack`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};

use crate::collect::SPACK;
use crate::context::{NETWORK, Project, Run, in_cache, mirror_entry, names_with};
use crate::fixtures::{Mirror, Published, copy_folder, walk};
use crate::images::{DockerRegistry, Image, images, pushed_at};
use crate::s3_server::{Readers, S3Server, SECRET};
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;
const DAY: Duration = Duration::from_secs(86_400);
const BUCKET: &str = "url: 's3://binaries/built'";

/// A bucket, and projects whose jobs have to build `app`, since the mirror lacks it.
struct Site {
    bucket: S3Server,
    upstream: Server,
    mirror: Mirror,
    app: Published,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new(mirror: Mirror) -> Self {
        let (folder, app) = (tempfile::tempdir().unwrap(), mirror.published("app"));
        let upstream = folder.path().join("upstream");
        copy_folder(&mirror.folder(), &upstream);
        fs::remove_file(upstream.join(&app.metadata[1..])).unwrap();
        let upstream = Server::start(&upstream);
        Self { bucket: S3Server::start(Readers::Known), upstream, mirror, app, _folder: folder }
    }

    /// A fresh project, in which `app` was built by now.
    fn project(&self, keys: &str) -> Project {
        let project = Project::new(self.mirror.environment());
        let mirrors = mirror_entry(&self.upstream.url(), false);
        project.configure(&format!("{mirrors}  - {{ name: built, {BUCKET}, collect: true{keys} }}\n"));
        let script = SPACK.replace("@log@", project.outside().join("calls").to_str().unwrap());
        let program = project.outside().join("spack");
        fs::write(&program, script.replace("@mirror@", self.mirror.folder().to_str().unwrap())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let prefix = project.outside().join("opt/app");
        fs::create_dir_all(prefix.join(".spack")).unwrap();
        let record = json!({"path": prefix, "installed": true});
        fs::create_dir(project.outside().join("opt/.spack-db")).unwrap();
        let database = json!({"database": {"installs": {&self.app.hash: record}}}).to_string();
        fs::write(project.outside().join("opt/.spack-db/index.json"), database).unwrap();
        project
    }

    fn larder(&self, project: &Project, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let own = self.bucket.variables();
        let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let run = project.larder_with(arguments, &own.chain(variables.iter().copied()).collect::<Vec<_>>());
        assert!(!run.to_string().contains(SECRET), "{run}");
        run
    }

    fn prepare(&self, project: &Project) -> Value {
        self.larder(project, &["prepare", "--json"], &[]).report()
    }

    fn collect(&self, project: &Project, protected: &str) -> Run {
        let (program, tree) = (project.outside().join("spack"), project.outside().join("opt"));
        let arguments = ["collect", "--spack", program.to_str().unwrap(), "--installed", tree.to_str().unwrap()];
        self.larder(project, &arguments, &[("CI_COMMIT_REF_PROTECTED", protected)])
    }

    /// The keys of all objects, sorted.
    fn objects(&self) -> Vec<String> {
        let root = self.bucket.object("built");
        let mut keys = Vec::new();
        if root.is_dir() {
            walk(&root, &mut |path| {
                if path.is_file() {
                    keys.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            });
        }
        keys.sort();
        keys
    }

    fn objects_of_app(&self) -> Vec<String> {
        let paths = self.app.blobs.iter().map(|blob| &blob.path).chain([&self.app.metadata]);
        let mut keys: Vec<String> = paths.map(|path| path[1..].to_owned()).collect();
        keys.sort();
        keys
    }

    fn age(&self, key: &str, age: Duration) {
        set_age(&self.bucket.object("built").join(key), age);
    }
}

fn set_age(path: &Path, age: Duration) {
    fs::File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[rstest]
#[case(Mirror::V3Unsigned)]
#[case(Mirror::V2Unsigned)]
fn what_a_protected_branch_built_any_later_project_installs(#[case] mirror: Mirror) {
    let site = Site::new(mirror);
    let project = site.project("");
    assert_eq!(names_with(&site.prepare(&project), "build"), ["app"]);
    site.collect(&project, "true").succeeds().says(&["built: pushed 1 spec", "at s3://binaries/built"]);
    assert_eq!(site.objects(), site.objects_of_app());
    let puts: Vec<String> = site.bucket.log().into_iter().filter(|line| line.starts_with("PutObject")).collect();
    assert!(puts.last().unwrap().ends_with(&site.app.metadata), "metadata comes last: {puts:#?}");

    let other = site.project("");
    let report = site.prepare(&other);
    assert_eq!(names_with(&report, "build"), [""; 0], "{report:#}");
    let app = report["specs"].as_array().unwrap().iter().find(|spec| spec["name"] == "app").unwrap();
    assert_eq!((&app["mirror"], &app["status"]), (&"built".into(), &"fetched".into()));

    // What is there is not pushed again.
    site.collect(&project, "true").succeeds().says(&["built nothing that `built` lacks"]);
    let calls = fs::read_to_string(project.outside().join("calls")).unwrap();
    assert_eq!(calls.lines().count(), 1, "{calls}");
}

#[test]
fn only_jobs_of_protected_branches_push_unless_all_are_to() {
    let site = Site::new(MIRROR);
    let project = site.project("");
    site.prepare(&project);
    let run = site.collect(&project, "false").succeeds();
    run.says(&["nothing is pushed to `built`", "protected branches", "push: always"]);
    assert_eq!((site.objects(), project.outside().join("calls").exists()), (Vec::new(), false));

    // With a folder beside it, the folder takes what the branch built.
    let config = fs::read_to_string(project.path("larder.yaml")).unwrap();
    project.configure(&format!("{config}  - {{ name: branch, path: .larder/built, collect: true }}\n"));
    site.collect(&project, "false").succeeds().says(&["branch: pushed 1 spec"]);
    assert_eq!(site.objects(), [""; 0]);
    assert!(project.path(".larder/built").join(&site.app.metadata[1..]).exists());

    let project = site.project(", push: always");
    site.prepare(&project);
    site.collect(&project, "false").succeeds().says(&["built: pushed 1 spec"]);
    assert_eq!(site.objects(), site.objects_of_app());
}

#[test]
fn jobs_that_push_the_same_at_the_same_time_all_succeed() {
    for mirror in [Mirror::V3Unsigned, Mirror::V2Unsigned] {
        let site = Site::new(mirror);
        let projects: Vec<Project> = (0..4).map(|_| site.project("")).collect();
        for project in &projects {
            site.prepare(project);
        }
        let site = &site;
        std::thread::scope(|scope| {
            let push = |project| scope.spawn(move || site.collect(project, "true"));
            let jobs: Vec<_> = projects.iter().map(push).collect();
            for job in jobs {
                job.join().unwrap().succeeds();
            }
        });
        assert_eq!(site.objects(), site.objects_of_app());
        assert_eq!(names_with(&site.prepare(&site.project("")), "build"), [""; 0]);
    }
}

#[test]
fn other_bytes_under_the_same_name_are_never_promised() {
    // Layout v2 names archives by their spec: a job that was killed, or is faster by a moment, can have left another one.
    let site = Site::new(Mirror::V2Unsigned);
    let archive = site.bucket.object("built").join(&site.app.blobs[0].path[1..]);
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    fs::write(&archive, "another build").unwrap();
    let project = site.project("");
    site.prepare(&project);
    site.collect(&project, "true").succeeds().says(&["holds other bytes of it already"]);
    assert_eq!(site.objects(), [&site.app.blobs[0].path[1..]]);
    assert_eq!(names_with(&site.prepare(&site.project("")), "build"), ["app"]);
}

#[test]
fn a_bucket_that_takes_nothing_fails_collect_and_not_finish() {
    let site = Site::new(MIRROR);
    site.bucket.refuse(s3s::S3ErrorCode::AccessDenied, |operation, _| operation == "PutObject");
    let project = site.project("");
    site.prepare(&project);
    site.collect(&project, "true").fails_saying(1, &["can't push app", "AccessDenied"]);
    let (program, tree) = (project.outside().join("spack"), project.outside().join("opt"));
    let finish = ["finish", "--collect", "--spack", program.to_str().unwrap(), "--installed", tree.to_str().unwrap()];
    let run = site.larder(&project, &finish, &[("CI_COMMIT_REF_PROTECTED", "true")]);
    run.succeeds().says(&["can't push app", "shared:"]);
}

#[test]
fn pruning_a_bucket_takes_old_metadata_and_then_blobs_that_nothing_refers_to() {
    let site = Site::new(MIRROR);
    copy_folder(&MIRROR.folder(), &site.bucket.object("built"));
    let foreign = "notes/readme.txt";
    fs::create_dir_all(site.bucket.object("built/notes")).unwrap();
    fs::write(site.bucket.object("built").join(foreign), "ours").unwrap();
    let stray = |letters: &str| format!("blobs/sha256/{letters}/{}", letters.repeat(32));
    for letters in ["ab", "cd"] {
        fs::create_dir_all(site.bucket.object("built/blobs/sha256").join(letters)).unwrap();
        fs::write(site.bucket.object("built").join(stray(letters)), "left by a killed job").unwrap();
    }
    let all = site.objects();
    for key in &all {
        site.age(key, 10 * DAY);
    }
    site.age(&stray("cd"), Duration::ZERO);
    // `app` is older than its age, and so would `libbase` be if it had not been pushed anew.
    site.age(&site.app.metadata[1..], 40 * DAY);
    let project = site.project(", keep: { max-age: 30d }");
    let dry = site.larder(&project, &["prune", "--dry-run", "--json"], &[]).report();
    assert_eq!(site.objects(), all);
    let report = site.larder(&project, &["prune", "--json"], &[]).report();
    for report in [&dry, &report] {
        assert_eq!(in_cache(report, "built", "removed"), 3, "two blobs and a stray: {report:#}");
    }
    let mut gone = site.objects_of_app();
    gone.push(stray("ab"));
    let left: Vec<String> = all.into_iter().filter(|key| !gone.contains(key)).collect();
    assert_eq!(site.objects(), left, "index, keys, what is young and what is foreign stay");
    site.larder(&project, &["prune"], &[]).succeeds().says(&["nothing to remove"]);
    assert_eq!(site.objects(), left);
}

#[test]
fn no_blob_goes_while_something_refers_to_nobody_knows_what() {
    let site = Site::new(MIRROR);
    copy_folder(&MIRROR.folder(), &site.bucket.object("built"));
    let other = MIRROR.published("rtdata").metadata;
    fs::write(site.bucket.object("built").join(&other[1..]), "{\"version\": 9, \"of\": \"a later Spack\"}").unwrap();
    site.objects().iter().for_each(|key| site.age(key, 40 * DAY));
    let project = site.project(", keep: { max-age: 30d }");
    let before = site.objects();
    site.larder(&project, &["prune"], &[]).succeeds();
    let left = site.objects();
    assert!(left.contains(&other[1..].to_owned()), "what is not understood stays: {left:#?}");
    let blobs = |keys: &[String]| keys.iter().filter(|key| key.starts_with("blobs/")).count();
    assert_eq!(blobs(&left), blobs(&before));
}

#[test]
fn a_mirror_that_does_not_collect_is_never_pruned() {
    let site = Site::new(MIRROR);
    copy_folder(&MIRROR.folder(), &site.bucket.object("built"));
    site.objects().iter().for_each(|key| site.age(key, 400 * DAY));
    let before = site.objects();
    let project = site.project("");
    project.configure(&format!("{NETWORK}mirrors: [{{ name: built, {BUCKET} }}]\n"));
    site.larder(&project, &["prune", "--max-age", "1d"], &[]).fails_saying(2, &["no mirror with `collect: true`"]);
    project.configure(&format!("{NETWORK}mirrors: [{{ name: built, {BUCKET}, collect: true }}]\n"));
    let run = site.larder(&project, &["prune", "--max-age", "1d", "--cache", "shared"], &[]);
    run.fails_saying(2, &["no mirror with `collect: true`"]);
    assert_eq!(site.objects(), before);
}

const REPOSITORY: &str = "group/spack";

fn old_and_new() -> Vec<Image> {
    let mut all = images(MIRROR);
    for image in &mut all {
        let days = if image.tag.starts_with("app-") || image.tag.starts_with("plotter-") { 40 } else { 3 };
        pushed_at(image, Timestamp::now() - SignedDuration::from_hours(24 * days));
    }
    all
}

fn project_of(registry: &DockerRegistry, keys: &str) -> Project {
    let project = Project::new(MIRROR.environment());
    let url = registry.url(REPOSITORY);
    project.configure(&format!("{NETWORK}mirrors: [{{ name: built, url: \"{url}\", collect: true{keys} }}]\n"));
    project
}

#[test]
fn pruning_a_registry_deletes_old_images_and_spares_what_another_tag_needs() {
    let Some(registry) = DockerRegistry::start(false) else { return };
    let all = old_and_new();
    registry.push(REPOSITORY, &all, None);
    // Somebody tagged an image to run it: deleting it by its digest would take that tag as well.
    let plotter = all.iter().find(|image| image.tag.starts_with("plotter-")).unwrap();
    let run_it = Image { tag: "latest".to_owned(), manifest: plotter.manifest.clone(), blobs: plotter.blobs.clone() };
    registry.push(REPOSITORY, &[run_it], None);
    let project = project_of(&registry, ", keep: { max-age: 30d }");
    assert_eq!(names_with(&project.prepare(), "build"), [""; 0]);
    project.larder(&["prune", "--dry-run"]).succeeds().says(&["built: would remove"]);
    assert_eq!(names_with(&project.prepare(), "build"), [""; 0]);
    project.larder(&["prune"]).succeeds().says(&["1 image of mirror `built` is deleted", "built: removed 2 blobs"]);
    assert_eq!(names_with(&project.prepare(), "build"), ["app", "codegen"], "which is needed to build it");
    project.larder(&["prune"]).succeeds();
    assert_eq!(names_with(&project.prepare(), "build"), ["app", "codegen"], "which is needed to build it");
}

#[test]
fn a_registry_that_keeps_what_the_lockfile_names_deletes_only_what_is_a_day_old() {
    let Some(registry) = DockerRegistry::start(false) else { return };
    let mut all = old_and_new();
    let app = all.iter_mut().find(|image| image.tag.starts_with("app-")).unwrap();
    pushed_at(app, Timestamp::now() - SignedDuration::from_hours(1));
    registry.push(REPOSITORY, &all, None);
    let project = project_of(&registry, ", keep: lockfile");
    project.larder(&["prune"]).succeeds().says(&["nothing to remove"]);
    // Another lockfile, which names nothing of it.
    project.use_environment("v2/env-demo");
    let report = project.larder(&["prune", "--json"]).report();
    assert_eq!(in_cache(&report, "built", "removed"), 2 * (all.len() as u64 - 1), "{report:#}");
    project.use_environment(MIRROR.environment());
    let left = names_with(&project.prepare(), "fetched");
    assert!(left.contains(&"app".to_owned()), "{left:?}");
    assert!(!left.contains(&"plotter".to_owned()), "{left:?}");
}

#[test]
fn a_registry_that_deletes_nothing_says_so() {
    let Some(registry) = DockerRegistry::start_with(true, false) else { return };
    let login = Some(("me", "hunter2-hunter2"));
    registry.push(REPOSITORY, &old_and_new(), login);
    let project = project_of(&registry, ", access-pair: { id: me, secret-variable: PASSWORD }, keep: { max-age: 30d }");
    let run = project.larder_with(&["prune"], &[("PASSWORD", "hunter2-hunter2")]);
    assert!(!run.to_string().contains("hunter2"), "{run}");
    run.fails_saying(1, &["does not delete images", "delete: { enabled: true }"]);
    project.larder_with(&["prune"], &[("PASSWORD", "wrong")]).fails_saying(1, &["401"]);
}
