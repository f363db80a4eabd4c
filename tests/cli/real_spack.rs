//! Real Spack installs from the job mirror while the upstream server is switched off.
//!
//! Runs with the `spack` on the `PATH`, or with those that `LARDER_TEST_SPACK` names, separated by `:` (wrappers made by
//! `tests/fixtures/spack/setup`). Spack 1.x is tried with the v3 fixtures, Spack 0.x with the v2 fixtures.

mod hand_over;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::authority::Authority;
use crate::context::{NETWORK, Project, in_cache, names_with};
use crate::fixtures::{Mirror, fixture};
use crate::images::DockerRegistry;
use crate::requirement::Requirement;
use crate::s3_server::{Readers, S3Server};

/// One Spack, with an install tree and folders of its own for one test.
pub struct Spack {
    program: PathBuf,
    folder: tempfile::TempDir,
    configured: bool,
    /// Counts install trees: a new job has a new one.
    tree: u32,
}

impl Spack {
    pub fn all() -> Vec<Self> {
        let new =
            |program: PathBuf, configured| Self { program, folder: tempfile::tempdir().unwrap(), configured, tree: 0 };
        let found: Vec<Self> = if let Ok(programs) = std::env::var("LARDER_TEST_SPACK") {
            std::env::split_paths(&programs).map(|program| new(program, true)).collect()
        } else {
            let works = |output: Output| output.status.success();
            let on_path = Command::new("spack").arg("--version").output().is_ok_and(works);
            on_path.then(|| new("spack".into(), false)).into_iter().collect()
        };
        let missing = || "there is no `spack` on the PATH, and LARDER_TEST_SPACK is not set".to_owned();
        let found = (!found.is_empty()).then_some(found).ok_or_else(missing);
        let found = Requirement::Spack.met(found).unwrap_or_default();
        for spack in &found {
            spack.prepare();
        }
        found
    }

    /// Those that know what came with Spack 1.
    fn all_new() -> Vec<Self> {
        let found = Self::all();
        let had_any = !found.is_empty();
        let new: Vec<_> = found.into_iter().filter(Self::is_new).collect();
        if had_any && new.is_empty() {
            Requirement::Spack.met::<()>(Err("every Spack here is older than 1.0".to_owned()));
        }
        new
    }

    /// A configuration scope for this test: its own install tree, caches and, for a plain Spack, the fixture packages.
    fn prepare(&self) {
        let scope = self.scope();
        fs::create_dir(&scope).unwrap();
        self.configure();
        if !self.configured {
            let new = self.folder.path().join("new/spack_repo/fixture");
            let old = self.folder.path().join("old");
            let mut python = Command::new("python3");
            python.arg(fixture("spack/packages.py")).args([&new, &old]);
            assert!(python.status().unwrap().success());
            let repos = if self.is_new() {
                format!("repos:\n  fixture: {}\n", new.display())
            } else {
                format!("repos:\n- {}\n", old.display())
            };
            fs::write(scope.join("repos.yaml"), repos).unwrap();
        }
        let signer = if self.is_new() { "v3/signer.asc" } else { "v2/signer.asc" };
        self.run(&[], &["gpg", "trust", fixture(signer).to_str().unwrap()]);
    }

    fn configure(&self) {
        let (folder, tree) = (self.folder.path().display(), self.tree().display().to_string());
        let config = format!(
            "config:\n  install_tree:\n    root: {tree}\n  build_stage: [{folder}/stage]\n  \
             misc_cache: {folder}/misc\n"
        );
        fs::write(self.scope().join("config.yaml"), config).unwrap();
    }

    pub fn tree(&self) -> PathBuf {
        self.folder.path().join(format!("opt{}", self.tree))
    }

    /// Go on with an empty install tree, as in another container.
    pub fn begin_tree(&mut self) {
        self.tree += 1;
        self.configure();
    }

    fn scope(&self) -> PathBuf {
        self.folder.path().join("scope")
    }

    pub fn is_new(&self) -> bool {
        let output = self.command().arg("--version").output().unwrap();
        !String::from_utf8_lossy(&output.stdout).starts_with("0.")
    }

    /// Whether the wrapper hands on what larder gives to Spack alone.
    fn keeps_variables(&self) -> bool {
        let is_there = "import os; print(os.environ.get('LARDER_COLLECT_PASSWORD'))";
        let mut command = self.command();
        let output = command.args(["python", "-c", is_there]).env("LARDER_COLLECT_PASSWORD", "kept").output().unwrap();
        let keeps = String::from_utf8_lossy(&output.stdout).contains("kept");
        let dropped =
            || format!("`{}` drops variables; `tests/fixtures/spack/setup` makes it anew", self.program.display());
        Requirement::Spack.met(keeps.then_some(()).ok_or_else(dropped)).is_some()
    }

    pub fn mirrors(&self) -> [Mirror; 2] {
        if self.is_new() { [Mirror::V3Signed, Mirror::V3Unsigned] } else { [Mirror::V2Signed, Mirror::V2Unsigned] }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // The wrappers read CACHE and GNUPG, Spack itself the other variables.
        command
            .env("CACHE", self.folder.path().join("cache"))
            .env("SPACK_USER_CACHE_PATH", self.folder.path().join("cache"))
            .env("SPACK_DISABLE_LOCAL_CONFIG", "1");
        if !self.configured {
            command.env("SPACK_GNUPGHOME", self.folder.path().join("gpg"));
        }
        command
    }

    #[track_caller]
    fn run(&self, scopes: &[&Path], arguments: &[&str]) -> String {
        let output = self.try_run(scopes, arguments);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{} {arguments:?}: {}\n{text}", self.program.display(), output.status);
        text
    }

    fn try_run(&self, scopes: &[&Path], arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.arg("-C").arg(self.scope());
        for scope in scopes {
            command.arg("-C").arg(scope);
        }
        command.args(arguments).output().unwrap()
    }

    /// A program that is this Spack with the configuration of this test, for larder to run.
    pub fn wrapper(&self) -> PathBuf {
        let file = self.folder.path().join("spack-of-this-test");
        let export = |(name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            format!("export {}='{}'\n", name.display(), value.unwrap_or_default().display())
        };
        let exports = self.command().get_envs().map(export).collect::<Vec<_>>().concat();
        let (program, scope) = (self.program.display(), self.scope());
        fs::write(&file, format!("#!/bin/sh\n{exports}exec '{program}' -C '{}' \"$@\"\n", scope.display())).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        file
    }

    /// A key to sign with, made on first use and left in Spack's own keyring.
    fn signing_key(&self) -> &'static str {
        const KEY: &str = "collect@larder.example";
        if !self.run(&[], &["gpg", "list", "--signing"]).contains(KEY) {
            self.run(&[], &["gpg", "create", "larder", KEY]);
        }
        KEY
    }

    /// The packages whose payload is in the install tree.
    pub fn installed(&self) -> Vec<String> {
        let mut names = Vec::new();
        let tree = self.tree();
        if tree.is_dir() {
            crate::fixtures::walk(&tree, &mut |path| {
                if path.ends_with("lib/payload.bin") {
                    let prefix = path.parent().unwrap().parent().unwrap().file_name().unwrap().to_str().unwrap();
                    let known = ["app", "codegen", "libbase", "libmid", "plotter", "rtdata", "unbuilt", "py-tool"];
                    let name = known.iter().find(|name| prefix.contains(&format!("{name}-")));
                    names.push((*name.unwrap_or_else(|| panic!("what is {prefix}?"))).to_owned());
                }
            });
        }
        names.sort();
        names
    }
}

/// A job of a pipeline: prepare, install, finish, in an install tree of its own. Returns prepare's report and finish's.
fn job(spack: &Spack, project: &Project, install: &[&str]) -> (Value, Value) {
    let prepared = project.prepare();
    let environment = project.root();
    let arguments = [&["-e", environment.to_str().unwrap(), "install"], install].concat();
    spack.run(&[&project.path(".larder/job/spack")], &arguments);
    let (program, tree) = (spack.wrapper(), spack.tree());
    let finish =
        ["finish", "--json", "--collect", "--spack", program.to_str().unwrap(), "--installed", tree.to_str().unwrap()];
    let finished = project.larder(&finish).report();
    (prepared, finished)
}

/// Two pipelines of the environment that has two specs in no mirror, each with an install tree of its own.
fn two_pipelines(spack: &mut Spack, key: Option<&str>) -> Project {
    let mirror = spack.mirrors()[1];
    let (project, _server) = Project::with_server(mirror);
    project.use_environment(if spack.is_new() { "v3/env-partial" } else { "v2/env-partial" });
    let key = key.map(|key| format!(", signing-key: {key}")).unwrap_or_default();
    let config = fs::read_to_string(project.path("larder.yaml")).unwrap();
    project.configure(&format!("{config}  - {{ path: .larder/built, collect: true{key} }}\n"));

    spack.begin_tree();
    let (prepared, finished) = job(spack, &project, &[]);
    assert_eq!(names_with(&prepared, "build"), ["py-tool", "unbuilt"]);
    let blobs = if spack.is_new() { 4 } else { 2 };
    assert_eq!(in_cache(&finished, "built", "blobs"), blobs, "only the two, not their dependencies: {finished:#}");
    assert_eq!(finished["caches"][1]["uploads"], "first");
    assert_eq!(finished["warnings"].as_array().unwrap().len(), 0, "{finished:#}");
    project.restore_times(".larder/built", std::time::Duration::from_secs(600));
    let before = project.entries(".larder/built");

    project.next_job();
    spack.begin_tree();
    let (prepared, finished) = job(spack, &project, &["--cache-only"]);
    assert_eq!(names_with(&prepared, "build"), [""; 0], "{prepared:#}");
    let collected = prepared["specs"].as_array().unwrap().iter().filter(|spec| spec["collected"] == true);
    assert_eq!(collected.map(|spec| spec["name"].as_str().unwrap()).collect::<Vec<_>>(), ["py-tool", "unbuilt"]);
    let installed = spack.installed();
    assert!(["unbuilt", "py-tool"].iter().all(|name| installed.contains(&(*name).to_owned())), "{installed:?}");
    assert_eq!(project.entries(".larder/built"), before, "nothing was built, so nothing is touched");
    let built = finished["caches"].as_array().unwrap().iter().find(|cache| cache["name"] == "built").unwrap();
    assert_eq!((&built["uploads"], &built["changed"]), (&Value::from("no"), &Value::from(false)));
    project
}

#[test]
fn what_one_pipeline_built_the_next_one_installs_signed_or_not() {
    for mut spack in Spack::all() {
        two_pipelines(&mut spack, None);
        let key = spack.signing_key();
        let project = two_pipelines(&mut spack, Some(key));
        // Spack installed it with the signature checked: the scope that larder writes demands one.
        let mut signed = 0;
        crate::fixtures::walk(&project.path(".larder/built"), &mut |path| {
            let name = path.file_name().unwrap().to_string_lossy();
            if name.ends_with(".spec.manifest.json") || name.contains(".spec.json") {
                assert!(fs::read_to_string(path).unwrap().starts_with("-----BEGIN PGP SIGNED MESSAGE-----"));
                signed += 1;
            }
        });
        assert_eq!(signed, 2);
        let scope = fs::read_to_string(project.path(".larder/job/spack/mirrors.yaml")).unwrap();
        assert!(scope.contains("signed: true"), "{scope}");
    }
}

/// A project whose jobs collect into `built`, beside the mirror at `upstream`.
fn collecting(spack: &Spack, upstream: &str, built: &str) -> Project {
    let project = Project::new(if spack.is_new() { "v3/env-partial" } else { "v2/env-partial" });
    let mirrors = crate::context::mirror_entry(upstream, false);
    project.configure(&format!("{mirrors}  - {{ name: built, url: \"{built}\", collect: true, push: always }}\n"));
    project
}

/// What one project builds and collects, a second one installs, whose caches and install tree are empty.
fn built_once_for_two_projects(spack: &mut Spack, built: &str, variables: &[(&str, &str)]) {
    let server = crate::server::Server::start(&spack.mirrors()[1].folder());
    let first = collecting(spack, &server.url(), built);
    spack.begin_tree();
    let report = first.larder_with(&["prepare", "--json"], variables).report();
    assert_eq!(names_with(&report, "build"), ["py-tool", "unbuilt"]);
    let environment = first.root();
    spack.run(&[&first.path(".larder/job/spack")], &["-e", environment.to_str().unwrap(), "install"]);
    let (program, tree) = (spack.wrapper(), spack.tree());
    let collect = ["collect", "--spack", program.to_str().unwrap(), "--installed", tree.to_str().unwrap()];
    let run = first.larder_with(&collect, variables).succeeds();
    run.says(&["pushing 2 specs (py-tool", "built: pushed 2 specs"]);
    first.larder_with(&collect, variables).succeeds().says(&["built nothing that `built` lacks"]);
    let left: Vec<_> =
        fs::read_dir(first.path(".larder/job/partial")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("collect-")), "a scope is left: {left:?}");

    let second = collecting(spack, &server.url(), built);
    spack.begin_tree();
    let report = second.larder_with(&["prepare", "--json"], variables).report();
    assert_eq!(names_with(&report, "build"), [""; 0], "{report:#}");
    let of_built = report["specs"].as_array().unwrap().iter().filter(|spec| spec["mirror"] == "built");
    assert_eq!(of_built.map(|spec| spec["name"].as_str().unwrap()).collect::<Vec<_>>(), ["py-tool", "unbuilt"]);
    let environment = second.root();
    let install = ["-e", environment.to_str().unwrap(), "install", "--cache-only"];
    spack.run(&[&second.path(".larder/job/spack")], &install);
    let installed = spack.installed();
    assert!(["unbuilt", "py-tool"].iter().all(|name| installed.contains(&(*name).to_owned())), "{installed:?}");
}

#[test]
fn what_one_project_built_another_installs_from_a_registry() {
    // Older ones push to a registry over TLS only, and don't read the layout in which larder shows one.
    for mut spack in Spack::all_new() {
        let Some(registry) = DockerRegistry::start(false) else { return };
        built_once_for_two_projects(&mut spack, &registry.url("group/project/spack"), &[]);
    }
}

#[test]
fn what_one_project_built_another_installs_from_a_registry_with_tls_and_a_password() {
    // Older ones know tokens only. Without TLS no Spack gets an upload through with a password.
    for mut spack in Spack::all_new().into_iter().filter(Spack::keeps_variables) {
        let authority = Authority::new();
        let Some(registry) = DockerRegistry::start_tls(&authority) else { return };
        let folder = tempfile::tempdir().unwrap();
        let certificate = authority.write_certificate(folder.path());
        let variables = [
            ("SSL_CERT_FILE", certificate.to_str().unwrap()),
            ("CI_REGISTRY", registry.host()),
            ("CI_JOB_TOKEN", "hunter2-hunter2"),
        ];
        built_once_for_two_projects(&mut spack, &registry.url("group/project/spack"), &variables);
    }
}

#[test]
fn what_one_project_built_another_installs_from_a_bucket() {
    for mut spack in Spack::all() {
        let bucket = S3Server::start(Readers::Known);
        let variables = bucket.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        built_once_for_two_projects(&mut spack, "s3://binaries/built", &variables);
    }
}

pub const NEEDED: [&str; 5] = ["app", "libbase", "libmid", "plotter", "rtdata"];

#[test]
fn spack_installs_the_environment_from_the_job_mirror_with_the_server_off() {
    for signed in [true, false] {
        for spack in Spack::all() {
            let mirror = spack.mirrors()[usize::from(!signed)];
            let (project, server) = Project::with_server(mirror);
            project.prepare();
            server.stop();
            let before = project.entries(".larder/shared");
            let environment = project.root();
            let environment = environment.to_str().unwrap();
            let scope = project.path(".larder/job/spack");
            spack.run(&[&scope], &["-e", environment, "install", "--cache-only"]);
            assert_eq!(spack.installed(), NEEDED, "{mirror:?}");
            assert_eq!(project.entries(".larder/shared"), before, "an install must not make the cache look changed");

            project.finish();
            assert_eq!(project.entries(".larder/shared"), before);
        }
    }
}

#[test]
fn spack_installs_again_from_a_cache_that_a_runner_restored() {
    for spack in Spack::all() {
        let mirror = spack.mirrors()[0];
        let (project, server) = Project::with_server(mirror);
        project.prepare();
        project.finish();
        project.next_job();
        server.clear_log();
        project.prepare();
        assert_eq!(server.blob_requests(), [] as [&str; 0]);
        server.stop();
        let environment = project.root();
        let scope = project.path(".larder/job/spack");
        spack.run(&[&scope], &["-e", environment.to_str().unwrap(), "install", "--cache-only"]);
        assert_eq!(spack.installed(), NEEDED);
    }
}

#[test]
fn spack_refuses_a_signed_mirror_whose_metadata_somebody_changed() {
    for spack in Spack::all() {
        let mirror = spack.mirrors()[0];
        let (project, _server) = Project::with_server(mirror);
        project.prepare();
        let metadata = project.path(".larder/job/mirror").join(&mirror.published("rtdata").metadata[1..]);
        let text = fs::read_to_string(&metadata).unwrap().replacen("sha256", "sha512", 1);
        fs::remove_file(&metadata).unwrap();
        fs::write(&metadata, text).unwrap();
        let environment = project.root();
        let scope = project.path(".larder/job/spack");
        let arguments = ["-e", environment.to_str().unwrap(), "install", "--cache-only"];
        let output = spack.try_run(&[&scope], &arguments);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "signature checks are on");
        for part in ["gpg: BAD signature from", "Error: Failed to install rtdata due to"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!spack.installed().contains(&"rtdata".to_owned()));
    }
}

/// The hashes of everything in the project's lockfile, sorted.
fn concrete_specs(project: &Project) -> Vec<String> {
    let lockfile = crate::fixtures::read_json(&project.path("spack.lock"));
    let mut hashes: Vec<String> = lockfile["concrete_specs"].as_object().unwrap().keys().cloned().collect();
    hashes.sort();
    hashes
}

/// An environment that is not concretized. What Spack would take without an index is another `libmid` than the mirror has.
fn begin_unconcretized(project: &Project, mirror: &str) {
    let _ = fs::remove_file(project.path("spack.lock"));
    let choices = "  packages: { libmid: { variants: ~shared } }\n  concretizer: { reuse: true }\n";
    let mirrors = format!("  mirrors: {{ upstream: \"{mirror}\" }}\n");
    project.write("spack.yaml", format!("spack:\n  specs: [app, plotter]\n  view: false\n{choices}{mirrors}"));
}

#[test]
fn spack_concretizes_from_the_cached_indexes_as_from_the_mirror_and_asks_no_server() {
    for spack in Spack::all() {
        let mirror = if spack.is_new() { Mirror::V3Signed } else { Mirror::V2Unsigned };
        let server = crate::server::Server::start(&mirror.folder());
        let index_requests = || {
            let is_index = |request: &&crate::server::Logged| request.method == "GET" && request.bytes > 4000;
            server.log().iter().filter(is_index).count()
        };
        let project = Project::new(mirror.environment());
        project.configure(NETWORK);
        let environment = project.root();
        let concretize = ["-e", environment.to_str().unwrap(), "concretize"];
        begin_unconcretized(&project, &server.url());
        spack.run(&[], &concretize);
        let plain = concrete_specs(&project);
        assert!(plain.contains(&mirror.published("libmid").hash), "the index makes a difference: {plain:?}");
        assert_eq!(index_requests(), 1, "{:?}", server.log());

        fs::remove_dir_all(spack.folder.path().join("misc")).unwrap();
        begin_unconcretized(&project, &server.url());
        server.clear_log();
        project.larder(&["prepare", "--index"]).succeeds();
        assert_eq!(index_requests(), 1, "{:?}", server.log());
        project.finish();
        project.next_job();
        server.clear_log();
        project.larder(&["prepare", "--index"]).succeeds();
        assert_eq!(index_requests(), 0, "{:?}", server.log());
        // By hand, Spack 1 sends no request. Spack before 1.0 reads the environment's own mirrors once more.
        if spack.is_new() {
            server.clear_log();
            spack.run(&[&project.path(".larder/job/spack")], &concretize);
            assert_eq!(server.log().len(), 0, "{:?}", server.log());
            assert_eq!(concrete_specs(&project), plain);
            begin_unconcretized(&project, &server.url());
        }
        // With larder in front of it, neither does.
        let program = spack.wrapper();
        let warm = ["warm", "--concretize=missing", "--spack", program.to_str().unwrap()];
        // What Spack 1 kept of the run by hand.
        if spack.is_new() {
            fs::remove_dir_all(spack.folder.path().join("misc")).unwrap();
        }
        server.clear_log();
        project.larder(&warm).succeeds();
        let by_spack = |request: &crate::server::Logged| {
            request.headers.get("user-agent").is_some_and(|agent| agent.to_str().unwrap().starts_with("Spackbot"))
        };
        assert!(!server.log().iter().any(by_spack), "{:?}", server.log());
        assert!(server.log().iter().any(|request| !by_spack(request)), "larder asks");
        assert_eq!(concrete_specs(&project), plain);

        // And then the binaries, which it reuses.
        project.prepare();
        server.stop();
        let install = ["-e", environment.to_str().unwrap(), "install", "--cache-only"];
        spack.run(&[&project.path(".larder/job/spack")], &install);
        assert_eq!(spack.installed(), NEEDED);
    }
}

#[test]
fn spack_reads_the_index_of_a_registry_that_it_made() {
    for spack in Spack::all() {
        // Spack before 1.0 knows registries with TLS only.
        if !spack.is_new() {
            continue;
        }
        let Some(registry) = DockerRegistry::start(false) else { return };
        registry.push("binaries", &crate::images::images(Mirror::V3Unsigned), None);
        let project = Project::new("v3/env-demo");
        project.configure(NETWORK);
        begin_unconcretized(&project, &registry.url("binaries"));
        let environment = project.root();
        spack.run(&[], &["-e", environment.to_str().unwrap(), "buildcache", "update-index", "upstream"]);
        project.larder(&["prepare", "--index"]).succeeds().says(&["0 reused, 1 fetched"]);
        drop(registry);
        spack.run(&[&project.path(".larder/job/spack")], &["-e", environment.to_str().unwrap(), "concretize"]);
        let reused: Vec<String> = NEEDED.iter().map(|name| Mirror::V3Unsigned.published(name).hash).collect();
        let concrete = concrete_specs(&project);
        assert!(reused.iter().all(|hash| concrete.contains(hash)), "{concrete:?}");
    }
}

#[test]
fn spack_finds_the_job_mirror_through_an_optional_include() {
    for spack in Spack::all_new() {
        let (project, server) = Project::with_server(Mirror::V3Signed);
        let include = "  include:\n  - { path: .larder/job/spack, optional: true }\n";
        project.write("spack.yaml", format!("spack:\n{include}  specs: [app, plotter]\n  view: false\n"));
        project.prepare();
        server.stop();
        let environment = project.root();
        spack.run(&[], &["-e", environment.to_str().unwrap(), "install", "--cache-only"]);
        assert_eq!(spack.installed(), NEEDED);
    }
}

#[test]
fn spack_installs_what_lay_in_an_object_store_that_is_off_by_then() {
    for (spack, signed) in
        [true, false].into_iter().flat_map(|signed| Spack::all().into_iter().map(move |it| (it, signed)))
    {
        let mirror = spack.mirrors()[usize::from(!signed)];
        let server = S3Server::with_mirror(Readers::Known, &mirror.folder(), "develop");
        let project = Project::new(mirror.environment());
        project.configure(&format!("{NETWORK}mirrors: [{{ url: 's3://binaries/develop', signed: {signed} }}]\n"));
        let variables = server.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        project.larder_with(&["prepare"], &variables).succeeds();
        drop(server);
        let (environment, scope) = (project.root(), project.path(".larder/job/spack"));
        spack.run(&[&scope], &["-e", environment.to_str().unwrap(), "install", "--cache-only"]);
        assert_eq!(spack.installed(), NEEDED, "{mirror:?}");
    }
}

#[test]
fn spack_installs_from_a_folder_that_is_gone_by_then() {
    for spack in Spack::all() {
        let mirror = spack.mirrors()[0];
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("mirror");
        crate::fixtures::copy_folder(&mirror.folder(), &copy);
        let project = Project::new(mirror.environment());
        project.configure(&format!("mirrors: ['{}']\n", copy.display()));
        project.prepare();
        drop(folder);
        let (environment, scope) = (project.root(), project.path(".larder/job/spack"));
        spack.run(&[&scope], &["-e", environment.to_str().unwrap(), "install", "--cache-only"]);
        assert_eq!(spack.installed(), NEEDED);
    }
}

#[test]
fn spack_installs_what_another_spack_pushed_to_a_registry_that_is_off_by_then() {
    for (publisher, installer) in Spack::all_new().into_iter().zip(Spack::all_new()) {
        let Some(registry) = DockerRegistry::start(false) else { return };
        let (project, _server) = Project::with_server(Mirror::V3Unsigned);
        let (environment, scope) = (project.root(), project.path(".larder/job/spack"));
        let environment = environment.to_str().unwrap();
        project.prepare();
        publisher.run(&[&scope], &["-e", environment, "install", "--cache-only"]);
        let mirror = registry.url("group/binaries");
        publisher.run(
            &[&scope],
            &["-e", environment, "buildcache", "push", "--without-build-dependencies", "--unsigned", &mirror],
        );

        // Nothing of the first mirror, and the same lockfile.
        let project = Project::new(Mirror::V3Unsigned.environment());
        project.configure(NETWORK);
        let mirrors = format!("spack:\n  specs: [app, plotter]\n  view: false\n  mirrors:\n    images: {mirror}\n");
        project.write("spack.yaml", mirrors);
        project.prepare();
        drop(registry);
        let (environment, scope) = (project.root(), project.path(".larder/job/spack"));
        installer.run(&[&scope], &["-e", environment.to_str().unwrap(), "install", "--cache-only"]);
        assert_eq!(installer.installed(), NEEDED);
    }
}

/// Who signed the fixtures.
fn signer(is_new: bool) -> &'static str {
    if is_new { "937F2EBC11DEF221996D1B275B991DD117D848D9" } else { "330CECE7ECE349EDA4787F79BCEA2B40C3CC7E1C" }
}

#[test]
fn spack_installs_from_an_export_with_the_keys_in_it_and_the_server_off() {
    for spack in Spack::all() {
        let mirror = spack.mirrors()[0];
        let (project, server) = Project::with_server(mirror);
        project.larder(&["export", "../out", "--require-all"]).succeeds();
        server.stop();
        let moved = project.outside().join("carried");
        fs::rename(project.outside().join("out"), &moved).unwrap();
        fs::remove_dir_all(project.root()).unwrap();

        // Nobody is trusted here but those whose keys the export brings.
        let empty = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let mut command = spack.command();
            command.env("GNUPG", empty.path()).env("SPACK_GNUPGHOME", empty.path());
            command.arg("-C").arg(spack.scope()).args(["-C", "spack"]).args(arguments).current_dir(&moved);
            let output = command.output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        };
        let install = ["-e", "environments/project", "install", "--cache-only"];
        let (_, before) = run(&["gpg", "list"]);
        let is_trusted_anyway = before.contains(signer(spack.is_new()));
        if is_trusted_anyway {
            let reason = "this wrapper ignores GNUPG, so the key is trusted already; make it anew with `setup`";
            Requirement::Spack.met::<()>(Err(reason.to_owned()));
        } else {
            let (succeeded, text) = run(&install);
            assert!(!succeeded && spack.installed().is_empty(), "signature checks are on\n{text}");
            assert!(text.contains("gpg: Can't check signature: No public key"), "{text}");
        }
        let (succeeded, text) = run(&["buildcache", "keys", "--install", "--trust", "--force"]);
        assert!(succeeded, "{text}");
        let (_, text) = run(&["gpg", "list"]);
        assert!(text.contains(signer(spack.is_new())), "{text}");
        let (succeeded, text) = run(&install);
        assert!(succeeded, "{text}");
        assert_eq!(spack.installed(), NEEDED);
    }
}

#[test]
fn a_plain_install_from_an_export_builds_nothing_and_needs_no_larder() {
    for spack in Spack::all() {
        let mirror = spack.mirrors()[1];
        let (project, server) = Project::with_server(mirror);
        project.larder(&["export", "../out", "--require-all"]).succeeds();
        server.stop();
        let (out, elsewhere) = (project.outside().join("out"), project.root());
        let environment = out.join("environments/project");
        let scope = out.join("spack");
        let mut command = spack.command();
        command.arg("-C").arg(spack.scope()).arg("-C").arg(scope).arg("-e").arg(environment).arg("install");
        let output = command.current_dir(elsewhere).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("Executing phase"), "nothing is built\n{text}");
        for name in NEEDED {
            assert!(spack.installed().contains(&name.to_owned()), "{name}\n{text}");
        }
    }
}
