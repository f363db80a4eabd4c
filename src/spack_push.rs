//! Spack itself, asked to push what it built into a folder.
//!
//! Only Spack can make a binary of an installation: it knows what to relocate, and it holds the keys. Its `buildcache push` does
//! its best: it pushes what it can and fails in the end, so what arrived is worth a look even where it failed. Spack writes the
//! metadata of a spec last (`spack/url_buildcache.py` of 1.1.0, `spack/binary_distribution.py` of 0.23.1).

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use miette::Diagnostic;
use thiserror::Error;

use crate::interrupt::Interrupt;
use crate::types::{DagHash, Variables};

/// How many lines of Spack's output an error shows.
const SHOWN_LINES: usize = 20;

/// The most bytes of the output that are read for it.
const SHOWN_BYTES: u64 = 16 << 10;

/// How often to look whether Spack is done.
const PAUSE: Duration = Duration::from_millis(20);

/// Spack could not be run, or did not do what it was asked.
#[derive(Debug, Error, Diagnostic)]
pub enum SpackError {
    /// No program.
    #[error("there is no `spack` to push with")]
    #[diagnostic(help(
        "put Spack's `bin` folder on the PATH, set `SPACK_ROOT`, or name the program with `--spack PATH`; `after_script` is a \
         new shell, which knows nothing of what the script sourced"
    ))]
    NotFound,
    /// It could not be started.
    #[error("can't run `{}`", program.display())]
    #[diagnostic(help("is it a program, and executable for this user? `--spack PATH` names another one"))]
    NotRun {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("`{} buildcache push` failed ({status})\n{output}", program.display())]
    #[diagnostic(help("what it pushed before is kept; the others are built again by the next pipeline"))]
    Failed { program: PathBuf, status: String, output: String },
    /// It took too long.
    #[error("`{} buildcache push` took longer than {} s and was ended", program.display(), patience.as_secs())]
    #[diagnostic(help(
        "GitLab gives `after_script` five minutes; for builds as large as this, run `larder collect` at the end of `script`"
    ))]
    TooSlow { program: PathBuf, patience: Duration },
    /// A signal asked larder to stop.
    #[error("the push was ended")]
    Interrupted,
}

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

/// The program: the one that was named, the first on the PATH, or the one below `SPACK_ROOT`.
pub fn find(named: Option<&Path>, variables: &Variables) -> Result<PathBuf, SpackError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let on_path = std::env::split_paths(variables.set("PATH").unwrap_or_default()).map(|folder| folder.join("spack"));
    let below_root = variables.set("SPACK_ROOT").map(|root| Path::new(root).join("bin/spack"));
    let mut candidates = on_path.filter(|file| file.is_absolute()).chain(below_root);
    candidates.find(|file| is_program(file)).ok_or(SpackError::NotFound)
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Push, and wait for it.
pub fn push(push: &Push<'_>, interrupt: &Interrupt) -> Result<(), SpackError> {
    let program = push.program.to_owned();
    let not_run = |source| SpackError::NotRun { program: program.clone(), source };
    let mut log = File::options().create(true).truncate(true).read(true).write(true).open(push.log).map_err(not_run)?;
    let mut child = command(push)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(not_run)?)
        .stderr(log.try_clone().map_err(not_run)?)
        .spawn()
        .map_err(not_run)?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(not_run)? {
            break status;
        }
        if interrupt.signal().is_some() {
            end(&mut child);
            return Err(SpackError::Interrupted);
        }
        if let Some((_, patience)) = push.deadline.filter(|(deadline, _)| Instant::now() >= *deadline) {
            end(&mut child);
            return Err(SpackError::TooSlow { program, patience });
        }
        std::thread::sleep(PAUSE);
    };
    let output = last_lines(&mut log).unwrap_or_default();
    tracing::debug!("{} said: {output}", program.display());
    if status.success() { Ok(()) } else { Err(SpackError::Failed { program, status: status.to_string(), output }) }
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

/// What it has written by now is looked at as after any other failure.
fn end(child: &mut Child) {
    // Fails where it has ended by itself meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

/// The end of what Spack said, without control characters but line breaks: job logs are terminals.
fn last_lines(log: &mut File) -> io::Result<String> {
    let size = log.metadata()?.len();
    log.seek(SeekFrom::Start(size.saturating_sub(SHOWN_BYTES)))?;
    let mut bytes = Vec::new();
    log.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
    let text: String = String::from_utf8_lossy(&bytes).chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn the_program_is_the_named_one_or_on_the_path_or_below_spack_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("bin")).unwrap();
        let variables = |path: &str| {
            let pair = |name: &str, value: String| (name.to_owned(), value);
            let path = format!("relative:{}:{}", root.join("none").display(), root.join(path).display());
            Variables::new([pair("PATH", path), pair("SPACK_ROOT", root.display().to_string())])
        };
        assert!(matches!(find(None, &variables("bin")), Err(SpackError::NotFound)));
        let program = root.join("bin/spack");
        std::fs::write(&program, "").unwrap();
        assert!(matches!(find(None, &variables("bin")), Err(SpackError::NotFound)), "it is not executable");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(None, &variables("bin")).unwrap(), program);
        assert_eq!(find(None, &variables("elsewhere")).unwrap(), program);
        assert_eq!(find(Some(Path::new("mine")), &variables("bin")).unwrap(), Path::new("mine"));
    }
}
