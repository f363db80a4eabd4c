//! Real Spack gets the job mirror without a flag, called as wrappers call it, and is rid of it after the job.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{NEEDED, Spack};
use crate::context::Project;
use crate::fixtures::copy_folder;
use crate::server::Server;

const INSTALL: &str = "install --cache-only";

/// A project whose environment itself names the mirror that larder reads.
fn project(spack: &Spack) -> (Project, Server) {
    let (project, server) = Project::with_server(spack.mirrors()[0]);
    let mirrors = format!("  mirrors:\n    own: {}\n", server.url());
    project.write("spack.yaml", format!("spack:\n  specs: [app, plotter]  # mine\n{mirrors}  view: false\n"));
    (project, server)
}

impl Spack {
    /// A shell in the project, which finds this Spack by its name and knows its path as `$by_path`.
    fn shell(&self, project: &Project, program: &Path, script: &str) -> String {
        let bin = self.folder.path().join("bin");
        if !bin.exists() {
            fs::create_dir(&bin).unwrap();
            symlink(program, bin.join("spack")).unwrap();
        }
        let mut command = Command::new("sh");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        command.args(["-euc", script]).current_dir(project.root()).env("PATH", path).env("by_path", program);
        let output = command.env_remove("SPACK_ROOT").output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{} {script}: {}\n{text}", self.program.display(), output.status);
        text
    }

    /// The program with the configuration of this test and the Python that the shell chose: what wrappers of
    /// `tests/fixtures/spack/setup` do for a clean environment would hide that.
    fn with_the_shells_python(&mut self) -> PathBuf {
        if self.configured {
            let text = fs::read_to_string(&self.program).unwrap();
            let (before, rest) = text.split_once("SPACK_PYTHON=").expect("a wrapper names a Python");
            let (python, after) = rest.split_once(' ').unwrap();
            let named = format!("SPACK_PYTHON=\"${{SPACK_PYTHON:-{python}}}\" LARDER_SPACK_PYTHON={python}");
            self.replace_program(&format!("{before}{named} {after}"));
        }
        self.wrapper_named("spack")
    }

    /// A copy of the instance, whose configuration this test may change.
    fn with_an_instance(&mut self) -> PathBuf {
        let text = if self.configured { fs::read_to_string(&self.program).unwrap() } else { String::new() };
        let of_wrapper = text.split_whitespace().find(|word| word.ends_with("/bin/spack")).map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap();
        let mut on_path = std::env::split_paths(&path).map(|folder| folder.join("spack"));
        let program = of_wrapper.unwrap_or_else(|| on_path.find(|file| file.is_file()).unwrap());
        let program = program.canonicalize().unwrap();
        let (from, to) = (program.parent().unwrap().parent().unwrap(), self.folder.path().join("instance"));
        fs::create_dir_all(to.join("lib/spack")).unwrap();
        for part in ["bin", "etc"] {
            copy_folder(&from.join(part), &to.join(part));
        }
        for entry in fs::read_dir(from.join("lib/spack")).unwrap().map(|entry| entry.unwrap().path()) {
            let copy = to.join("lib/spack").join(entry.file_name().unwrap());
            // Spack looks where these files are for where it is itself.
            match entry.file_name().unwrap().to_str().unwrap() {
                "spack" | "spack_installable" => {
                    let copied = Command::new("cp").arg("-R").arg(&entry).arg(&copy).status().unwrap();
                    assert!(copied.success());
                }
                _ => symlink(&entry, copy).unwrap(),
            }
        }
        for part in ["share", "var"] {
            symlink(from.join(part), to.join(part)).unwrap();
        }
        let copy = to.join("bin/spack");
        if self.configured {
            self.replace_program(&text.replace(program.to_str().unwrap(), copy.to_str().unwrap()));
        } else {
            self.program.clone_from(&copy);
        }
        copy
    }

    fn replace_program(&mut self, text: &str) {
        self.program = self.folder.path().join("program");
        fs::write(&self.program, text).unwrap();
        fs::set_permissions(&self.program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The same as [`Self::wrapper`] by another name.
    fn wrapper_named(&self, name: &str) -> PathBuf {
        let file = self.folder.path().join("by-path").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(self.wrapper(), &file).unwrap();
        file
    }
}

/// The content and the time of change of the environment's file.
fn state(project: &Project) -> (String, std::time::SystemTime) {
    let file = project.path("spack.yaml");
    (fs::read_to_string(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap())
}

#[test]
fn a_spack_that_is_called_by_name_sees_the_job_mirror_before_all_others() {
    for spack in Spack::all() {
        let (project, server) = project(&spack);
        let program = spack.wrapper();
        project.larder(&["prepare", "--hand-over=path", "--spack", program.to_str().unwrap()]).succeeds();
        server.clear_log();
        spack.shell(&project, &program, &format!(". ./.larder/job/env.sh; spack -e . {INSTALL}"));
        assert_eq!(spack.installed(), NEEDED);
        assert_eq!(server.log().len(), 0, "the environment's own mirror was asked");
        // Without Python between: `spack python` and the variables of an activated environment.
        let said = spack.shell(
            &project,
            &program,
            ". ./.larder/job/env.sh; spack -e . python -c 'import spack.config; print(*spack.config.get(\"mirrors\"))'",
        );
        assert!(said.starts_with("larder own"), "{said}");
    }
}

#[test]
fn a_spack_that_is_called_by_path_sees_the_job_mirror_before_all_others() {
    for mut spack in Spack::all() {
        let (project, server) = project(&spack);
        let program = spack.with_the_shells_python();
        project.larder(&["prepare", "--hand-over=path"]).succeeds();
        server.clear_log();
        spack.shell(&project, &program, &format!(". ./.larder/job/env.sh; \"$by_path\" -e . {INSTALL}"));
        assert_eq!(spack.installed(), NEEDED);
        assert_eq!(server.log().len(), 0, "the environment's own mirror was asked");
        // The caller's own options stay, and the job mirror is named once.
        let scope = spack.folder.path().join("another");
        fs::create_dir(&scope).unwrap();
        fs::write(scope.join("mirrors.yaml"), "mirrors:\n  another: file:///nowhere\n").unwrap();
        let script = format!(". ./.larder/job/env.sh; spack -C {} -e . mirror list", scope.display());
        let said = spack.shell(&project, &program, &script);
        let names: Vec<_> = said.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names[..3], ["larder", "another", "own"], "{said}");
        assert_eq!(names.iter().filter(|name| **name == "larder").count(), 1, "{said}");
    }
}

#[test]
fn make_with_a_depfile_installs_in_parallel_from_the_job_mirror() {
    for mut spack in Spack::all() {
        let (project, server) = project(&spack);
        let program = spack.with_the_shells_python();
        project.larder(&["prepare", "--hand-over=path"]).succeeds();
        server.clear_log();
        let script = ". ./.larder/job/env.sh
            \"$by_path\" -e . env depfile --use-buildcache=only -o depfile
            make -f depfile -j4 SPACK=\"$by_path\"";
        let said = spack.shell(&project, &program, script);
        let installed = spack.installed();
        assert!(NEEDED.iter().all(|name| installed.contains(&(*name).to_owned())), "{installed:?}\n{said}");
        assert_eq!(server.log().len(), 0, "the environment's own mirror was asked\n{said}");
    }
}

#[test]
fn larder_run_needs_nothing_more() {
    for mut spack in Spack::all() {
        let (project, _server) = project(&spack);
        let program = spack.with_the_shells_python();
        let program = program.to_str().unwrap();
        let list = format!("{program} -e . {INSTALL} && {program} -e . mirror list");
        let run = project.larder(&["run", "--spack", program, "--", "sh", "-c", &list]).succeeds();
        assert_eq!(spack.installed(), NEEDED);
        let listed: Vec<_> = run.stdout.lines().filter(|line| line.contains("[ b]") || line.contains("[sb]")).collect();
        assert!(listed[0].starts_with("larder "), "{run}");
    }
}

#[test]
fn the_environment_names_the_job_mirror_first_until_finish() {
    for spack in Spack::all() {
        let (project, server) = project(&spack);
        let before = state(&project);
        project.larder(&["prepare", "--hand-over=environment"]).succeeds();
        assert_ne!(state(&project).0, before.0);
        assert_eq!(state(&project).1, before.1, "make would concretize again");
        server.clear_log();
        spack.shell(&project, &spack.wrapper(), &format!("spack -e . {INSTALL}"));
        assert_eq!(spack.installed(), NEEDED);
        assert_eq!(server.log().len(), 0, "the environment's own mirror was asked");
        project.finish();
        assert_eq!(state(&project), before);
    }
}

#[test]
fn what_spack_added_to_the_environment_meanwhile_stays() {
    for spack in Spack::all() {
        let (project, _server) = project(&spack);
        project.larder(&["prepare", "--hand-over=environment"]).succeeds();
        let script = "spack -e . mirror add later https://host.example/later; spack -e . config add 'view:true'
            spack -e . mirror list";
        let said = spack.shell(&project, &spack.wrapper(), script);
        let at = |name: &str| said.find(&format!("{name} ")).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(
            at("later") < at("larder") && at("larder") < at("own"),
            "a mirror that is added later is first: {said}"
        );
        project.larder(&["finish"]).succeeds().says(&["was changed during the job"]);
        let text = state(&project).0;
        for part in ["# mine", "later: https://host.example/later", "own:", "view: true"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("larder"), "{text}");
        spack.run(&[], &["-e", project.root().to_str().unwrap(), "config", "get", "mirrors"]);
    }
}

#[test]
fn the_instance_names_the_job_mirror_until_finish() {
    for mut spack in Spack::all() {
        let (project, server) = Project::with_server(spack.mirrors()[0]);
        let instance = spack.with_an_instance();
        let file = instance.parent().unwrap().parent().unwrap().join("etc/spack/mirrors.yaml");
        fs::write(&file, "# the site's\nmirrors:\n  site: file:///nowhere\n").unwrap();
        let before = fs::read_to_string(&file).unwrap();
        let program = spack.wrapper();
        project.larder(&["prepare", "--hand-over=instance", "--spack", instance.to_str().unwrap()]).succeeds();
        server.stop();
        spack.shell(&project, &program, &format!("\"$by_path\" -e . {INSTALL}"));
        assert_eq!(spack.installed(), NEEDED);
        let said = spack.shell(&project, &program, "\"$by_path\" mirror list");
        assert!(said.find("larder ").unwrap() < said.find("site ").unwrap(), "{said}");
        project.finish();
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
    }
}
