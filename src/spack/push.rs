//! Spack itself, asked to push what it built into a folder.
//!
//! Only Spack can make a binary of an installation: it knows what to relocate, and it holds the keys. Its `buildcache push` does
//! its best: it pushes what it can and fails in the end, so what arrived is worth a look even where it failed. Spack writes the
//! metadata of a spec last (`spack/url_buildcache.py` of 1.1.0, `spack/binary_distribution.py` of 0.23.1).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::program::{SpackError, run};
use crate::interrupt::Interrupt;
use crate::types::DagHash;

/// One push.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Spack.
    pub program: &'a Path,
    /// The folder of the environment whose configuration counts, where there is one.
    pub environment: Option<&'a Path>,
    /// Where to push to: an empty folder.
    pub target: &'a Path,
    /// The key to sign with.
    pub signing_key: Option<&'a str>,
    /// What to push. Nothing else, and no dependencies.
    pub specs: &'a [DagHash],
    /// When to give up.
    pub deadline: Option<(Instant, Duration)>,
    /// A file for what Spack says.
    pub log: &'a Path,
}

/// Push, and wait for it.
pub fn push(push: &Push<'_>, interrupt: &Interrupt) -> Result<(), SpackError> {
    run(command(push), push.log, push.deadline, interrupt)
}

/// Options first, then the folder, then the specs as `/HASH`, which no option looks like.
fn command(push: &Push<'_>) -> Command {
    let mut command = Command::new(push.program);
    if let Some(environment) = push.environment {
        command.arg("-e").arg(environment);
    }
    command.args(["buildcache", "push", "--only", "package"]);
    match push.signing_key {
        Some(key) => command.args(["--key", key]),
        None => command.arg("--unsigned"),
    };
    let url = url::Url::from_file_path(push.target).map(String::from);
    command.arg(url.unwrap_or_else(|()| push.target.display().to_string()));
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
            target: Path::new("/p/a b"),
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
            target: folder.path(),
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
