//! A repository with a pipeline, and `gitlab-ci-local` to run it.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::fixtures::{Mirror, copy_folder};
use crate::server::Server;
use crate::{template, tools};

/// A repository with the demo environment, the template, and a mirror that a server serves.
pub struct Repository {
    scratch: TempDir,
    pub mirror: Server,
}

/// A pipeline that ran.
pub struct Pipeline {
    passed: bool,
    log: String,
}

impl Repository {
    /// A repository whose `.gitlab-ci.yml` includes the template with these inputs and has these jobs.
    pub fn new(inputs: &str, jobs: &str) -> Self {
        let repository =
            Self { scratch: tempfile::tempdir().unwrap(), mirror: Server::start(&Mirror::V3Unsigned.folder()) };
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo");
        for name in ["spack.yaml", "spack.lock"] {
            repository.write(name, &fs::read_to_string(demo.join(name)).unwrap());
        }
        fs::create_dir(repository.scratch.path().join("home")).unwrap();
        repository.keep_what_jobs_made();
        copy_folder(&template::file(""), &repository.path("ci-templates"));
        repository.write(
            ".gitlab-ci.yml",
            &format!("include:\n  - local: ci-templates/larder.yml\n    inputs: {{ {inputs} }}\n{jobs}"),
        );
        repository.configure("");
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["remote", "add", "origin", "git@gitlab.example.org:group/project.git"]);
        repository.commit();
        // What a clone knows of the default branch.
        repository.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        repository.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
        repository
    }

    /// `larder.yaml` with the mirror, and this at its end.
    pub fn configure(&self, more: &str) {
        let url = self.mirror.url();
        let mirrors = format!("mirrors:\n  - {{ name: demo, url: \"{url}\", signed: false }}\n");
        self.write("larder.yaml", &format!("network: {{ retries: 1, retry-delay: 1ms }}\n{mirrors}{more}"));
    }

    pub fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "test",
        ]);
    }

    pub fn git(&self, arguments: &[&str]) {
        let status = self.clean(Command::new("git")).args(arguments).status().unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.scratch.path().join("project").join(relative)
    }

    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A program on the `PATH` of all jobs.
    pub fn program(&self, name: &str, script: &str) {
        let file = self.scratch.path().join("bin").join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Before `after_script`, `gitlab-ci-local` makes the job's folder the same as the repository again, by `rsync --delete`, and
    /// so removes what the job made. GitLab's runner does not. An rsync of our own fills each job's folder once.
    fn keep_what_jobs_made(&self) {
        let rsync = tools::find("rsync").unwrap();
        fs::create_dir(self.scratch.path().join("bin")).unwrap();
        let script = format!(
            "#!/bin/sh\nfor target; do :; done\ncase \"$*\" in *--delete-excluded*) if [ -e \"$target/.git\" ]; then exit 0; fi ;; esac\n\
             exec '{}' \"$@\"\n",
            rsync.display()
        );
        self.program("rsync", &script);
    }

    /// Run the whole pipeline. The log of requests then holds those of this pipeline only.
    pub fn run(&self) -> Pipeline {
        self.mirror.clear_log();
        // Each job begins in a fresh clone.
        let _ = fs::remove_dir_all(self.path(".gitlab-ci-local/builds"));
        let mut command = self.clean(Command::new(tools::find("gitlab-ci-local").unwrap()));
        command.env("PATH", tools::path_with(&self.scratch.path().join("bin")));
        // Caches are only kept between isolated jobs, and no image can be had without internet.
        command.args([
            "--shell-isolation",
            "--force-shell-executor",
            "--no-color",
            "--concurrency=1",
            "--no-artifacts-to-source",
        ]);
        let output = command.output().unwrap();
        let log = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Pipeline { passed: output.status.success(), log }
    }

    /// The blobs in a saved cache, by its key and the folder in it.
    pub fn saved(&self, key: &str, folder: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let blobs = self.cache(key).join(folder).join("blobs");
        if blobs.is_dir() {
            crate::fixtures::walk(&blobs, &mut |path| {
                if path.is_file() {
                    files.push(path.strip_prefix(&blobs).unwrap().to_owned());
                }
            });
        }
        files
    }

    /// Where the saved cache of this key lies.
    pub fn cache(&self, key: &str) -> PathBuf {
        self.path(".gitlab-ci-local/cache").join(key)
    }

    /// Nothing of this machine's configuration.
    fn clean(&self, mut command: Command) -> Command {
        let (home, nowhere) = (self.scratch.path().join("home"), self.scratch.path().join("no-such-folder"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("SPACK_USER_CONFIG_PATH", &nowhere)
            .env("SPACK_SYSTEM_CONFIG_PATH", &nowhere)
            .current_dir(self.path(""));
        command
    }
}

impl Pipeline {
    #[track_caller]
    pub fn passes(self) -> Self {
        assert!(self.passed, "{self}");
        self
    }

    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(!self.passed, "{self}");
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.log.contains(text), "`{text}` is not in the log:\n{self}");
        self
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.log)
    }
}
