//! Spack itself, asked to push what it built into a folder or into a registry.
//!
//! Only Spack can make a binary of an installation: it knows what to relocate, and it holds the keys. Its `buildcache push` does
//! its best: it pushes what it can and fails in the end, so what arrived is worth a look even where it failed. Spack writes the
//! metadata of a spec last (`spack/url_buildcache.py` of 1.1.0, `spack/binary_distribution.py` of 0.23.1), and a tag of a registry
//! last of all.
//!
//! A registry's password is on no command line and in no file: the scope that describes the registry names two variables, which only
//! this one process has. No index is written: each push would write all of it anew, and the last of several jobs would win.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::program::{SpackError, run};
use crate::interrupt::Interrupt;
use crate::types::{AccessPair, DagHash, MirrorUrl};

/// The file of a configuration scope that describes mirrors.
pub const MIRRORS_FILE: &str = "mirrors.yaml";

/// What the registry is called in a scope of [`registry_scope`].
const REGISTRY: &str = "larder-collect";

/// The variables that hold the registry's user name and password, for Spack alone.
const LOGIN_VARIABLES: [&str; 2] = ["LARDER_COLLECT_USER", "LARDER_COLLECT_PASSWORD"];

/// One push.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Spack.
    pub program: &'a Path,
    /// The folder of the environment whose configuration counts, where there is one.
    pub environment: Option<&'a Path>,
    /// Where to push to.
    pub target: Target<'a>,
    /// The key to sign with.
    pub signing_key: Option<&'a str>,
    /// What to push. Nothing else, and no dependencies.
    pub specs: &'a [DagHash],
    /// When to give up.
    pub deadline: Option<(Instant, Duration)>,
    /// A file for what Spack says.
    pub log: &'a Path,
}

/// Where Spack pushes to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An empty folder.
    Folder(&'a Path),
    /// A registry.
    Registry {
        /// A folder with [`MIRRORS_FILE`], whose text [`registry_scope`] makes.
        scope: &'a Path,
        /// What opens it, where anything is known.
        login: Option<&'a AccessPair>,
    },
}

/// The text of [`MIRRORS_FILE`] of a scope that describes a registry. It holds no secret.
pub fn registry_scope(url: &MirrorUrl, login: Option<&AccessPair>) -> String {
    let mut mirror = json!({"url": url.to_string(), "signed": false, "binary": true, "source": false});
    if login.is_some() {
        let [id, secret] = LOGIN_VARIABLES;
        mirror["access_pair"] = json!({"id_variable": id, "secret_variable": secret});
    }
    serde_yaml::to_string(&json!({"mirrors": {REGISTRY: mirror}})).unwrap_or_default()
}

/// Push, and wait for it.
pub fn push(push: &Push<'_>, interrupt: &Interrupt) -> Result<(), SpackError> {
    run(command(push), push.log, push.deadline, interrupt)
}

/// Options first, then the target, then the specs as `/HASH`, which no option looks like.
fn command(push: &Push<'_>) -> Command {
    let mut command = Command::new(push.program);
    if let Target::Registry { scope, login } = push.target {
        command.arg("-C").arg(scope);
        if let Some(AccessPair { id, secret }) = login {
            let [id_variable, secret_variable] = LOGIN_VARIABLES;
            command.env(id_variable, id).env(secret_variable, secret.expose());
        }
    }
    if let Some(environment) = push.environment {
        command.arg("-e").arg(environment);
    }
    command.args(["buildcache", "push", "--only", "package"]);
    match push.signing_key {
        Some(key) => command.args(["--key", key]),
        None => command.arg("--unsigned"),
    };
    match push.target {
        Target::Folder(folder) => {
            let url = url::Url::from_file_path(folder).map(String::from);
            command.arg(url.unwrap_or_else(|()| folder.display().to_string()));
        }
        Target::Registry { .. } => drop(command.arg(REGISTRY)),
    }
    command.args(push.specs.iter().map(|hash| format!("/{hash}")));
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn arguments(environment: Option<&Path>, signing_key: Option<&str>) -> String {
        let specs = ["a".repeat(32).parse().unwrap(), "b".repeat(32).parse().unwrap()];
        let push = Push {
            program: Path::new("spack"),
            environment,
            target: Target::Folder(Path::new("/p/a b")),
            signing_key,
            specs: &specs,
            deadline: None,
            log: Path::new("/p/log"),
        };
        command(&push).get_args().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_these_specs_are_pushed_signed_where_a_key_is_given() {
        insta::assert_snapshot!(
            arguments(Some(Path::new("/p/env")), None),
            @"-e /p/env buildcache push --only package --unsigned file:///p/a%20b /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa /bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        );
        insta::assert_snapshot!(
            arguments(None, Some("0x12")),
            @"buildcache push --only package --key 0x12 file:///p/a%20b /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa /bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        );
    }

    #[test]
    fn the_password_of_a_registry_is_neither_in_the_scope_nor_on_the_command_line() {
        let login = AccessPair { id: "ci".to_owned(), secret: crate::types::Secret::new("hunter2") };
        let url = "oci://registry.example/group/spack".parse().unwrap();
        insta::assert_snapshot!(registry_scope(&url, Some(&login)), @r"
        mirrors:
          larder-collect:
            url: oci://registry.example/group/spack
            signed: false
            binary: true
            source: false
            access_pair:
              id_variable: LARDER_COLLECT_USER
              secret_variable: LARDER_COLLECT_PASSWORD
        ");
        assert!(!registry_scope(&url, None).contains("access_pair"));
        let push = Push {
            program: Path::new("spack"),
            environment: Some(Path::new("/p/env")),
            target: Target::Registry { scope: Path::new("/p/scope"), login: Some(&login) },
            signing_key: None,
            specs: &["a".repeat(32).parse().unwrap()],
            deadline: None,
            log: Path::new("/p/log"),
        };
        let command = command(&push);
        let arguments: Vec<_> = command.get_args().map(|part| part.to_str().unwrap()).collect();
        insta::assert_snapshot!(
            arguments.join(" "),
            @"-C /p/scope -e /p/env buildcache push --only package --unsigned larder-collect /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        );
        let given: Vec<_> = command.get_envs().map(|(_, value)| value.unwrap().to_str().unwrap()).collect();
        assert_eq!(given, ["hunter2", "ci"]);
    }

    /// One test, since a script can't be run while another thread that is about to start a program has it open.
    #[test]
    fn a_push_ends_in_time_and_one_that_fails_shows_the_last_lines_without_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let program = folder.path().join(name);
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            program
        };
        let endless = program("endless", "exec sleep 600");
        let failing = program("failing", "seq 1000; printf '\\033[31mno \\000key\\n' >&2; exit 7");
        let log = folder.path().join("log");
        let forever = Push {
            program: &endless,
            environment: None,
            target: Target::Folder(folder.path()),
            signing_key: None,
            specs: &[],
            deadline: None,
            log: &log,
        };
        let patience = Duration::from_millis(1);
        let bounded = Push { deadline: Some((Instant::now() + patience, patience)), ..forever };
        assert!(matches!(push(&bounded, &Interrupt::default()), Err(SpackError::TooSlow { .. })));
        let interrupt = Interrupt::default();
        interrupt.raise(crate::interrupt::Signal::Terminate);
        assert!(matches!(push(&forever, &interrupt), Err(SpackError::Interrupted)));

        let failing = Push { program: &failing, ..forever };
        let Err(SpackError::Failed { output, status, .. }) = push(&failing, &Interrupt::default()) else {
            panic!("it did not fail");
        };
        assert!(status.contains('7'), "{status}");
        assert!(output.starts_with("982\n") && output.ends_with("\n1000\n[31mno key"), "{output}");
    }
}
