//! Real Spack installs from the job mirror while the upstream server is switched off.
//!
//! Runs with the `spack` on the `PATH`, or with those that `LARDER_TEST_SPACK` names, separated by `:` (wrappers made by
//! `tests/fixtures/spack/setup`). Spack 1.x is tried with the v3 fixtures, Spack 0.x with the v2 fixtures. Where there is
//! no Spack, the tests say that they skipped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::context::Project;
use crate::fixtures::{Mirror, fixture};

/// One Spack, with an install tree and folders of its own for one test.
struct Spack {
    program: PathBuf,
    folder: tempfile::TempDir,
    configured: bool,
}

impl Spack {
    fn all() -> Vec<Self> {
        let new = |program: PathBuf, configured| Self { program, folder: tempfile::tempdir().unwrap(), configured };
        let found: Vec<Self> = if let Ok(programs) = std::env::var("LARDER_TEST_SPACK") {
            std::env::split_paths(&programs).map(|program| new(program, true)).collect()
        } else {
            let works = |output: Output| output.status.success();
            let on_path = Command::new("spack").arg("--version").output().is_ok_and(works);
            on_path.then(|| new("spack".into(), false)).into_iter().collect()
        };
        if found.is_empty() {
            eprintln!("skipped: no `spack` on the PATH, and LARDER_TEST_SPACK is not set");
        }
        for spack in &found {
            spack.prepare();
        }
        found
    }

    /// A configuration scope for this test: its own install tree, caches and, for a plain Spack, the fixture packages.
    fn prepare(&self) {
        let scope = self.scope();
        fs::create_dir(&scope).unwrap();
        let folder = self.folder.path().display();
        let config = format!(
            "config:\n  install_tree:\n    root: {folder}/opt\n  build_stage: [{folder}/stage]\n  \
             misc_cache: {folder}/misc\n"
        );
        fs::write(scope.join("config.yaml"), config).unwrap();
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

    fn scope(&self) -> PathBuf {
        self.folder.path().join("scope")
    }

    fn is_new(&self) -> bool {
        let output = self.command().arg("--version").output().unwrap();
        !String::from_utf8_lossy(&output.stdout).starts_with("0.")
    }

    fn mirrors(&self) -> [Mirror; 2] {
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

    /// The packages whose payload is in the install tree.
    fn installed(&self) -> Vec<String> {
        let mut names = Vec::new();
        let tree = self.folder.path().join("opt");
        if tree.is_dir() {
            crate::fixtures::walk(&tree, &mut |path| {
                if path.ends_with("lib/payload.bin") {
                    let prefix = path.parent().unwrap().parent().unwrap().file_name().unwrap().to_str().unwrap();
                    let known = ["app", "codegen", "libbase", "libmid", "plotter", "rtdata"];
                    let name = known.iter().find(|name| prefix.contains(&format!("{name}-")));
                    names.push((*name.unwrap_or_else(|| panic!("what is {prefix}?"))).to_owned());
                }
            });
        }
        names.sort();
        names
    }
}

const NEEDED: [&str; 5] = ["app", "libbase", "libmid", "plotter", "rtdata"];

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
        assert!(!spack.try_run(&[&scope], &arguments).status.success(), "signature checks are on");
        assert!(!spack.installed().contains(&"rtdata".to_owned()));
    }
}

#[test]
fn spack_finds_the_job_mirror_through_an_optional_include() {
    for spack in Spack::all().into_iter().filter(Spack::is_new) {
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
            eprintln!("skipped: this wrapper ignores GNUPG, so the key is trusted already; make it anew with `setup`");
        } else {
            let (succeeded, text) = run(&install);
            assert!(!succeeded && spack.installed().is_empty(), "signature checks are on\n{text}");
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
