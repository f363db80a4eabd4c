//! The program `spack`: where it is, and how it is run and ended.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use miette::Diagnostic;
use thiserror::Error;

use crate::interrupt::Interrupt;
use crate::types::Variables;

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
    #[error("there is no `spack` to run")]
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
    /// It could not concretize an environment.
    #[error("`{} concretize` failed for the environment `{}` ({status})", program.display(), environment.display())]
    #[diagnostic(help(
        "what Spack says about it stands above; `concretize: never` in larder.yaml leaves lockfiles alone"
    ))]
    NotConcretized { program: PathBuf, environment: PathBuf, status: String },
    /// A signal asked larder to stop.
    #[error("Spack was ended")]
    Interrupted,
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

/// Run Spack, with what it says in a file, and wait for it.
pub(super) fn run(
    mut command: Command,
    log: &Path,
    deadline: Option<(Instant, Duration)>,
    interrupt: &Interrupt,
) -> Result<(), SpackError> {
    let program = PathBuf::from(command.get_program());
    let not_run = |source| SpackError::NotRun { program: program.clone(), source };
    let mut log = File::options().create(true).truncate(true).read(true).write(true).open(log).map_err(not_run)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(not_run)?)
        .stderr(log.try_clone().map_err(not_run)?)
        .spawn()
        .map_err(not_run)?;
    let status = wait(&mut child, &program, deadline, interrupt)?;
    let output = last_lines(&mut log).unwrap_or_default();
    tracing::debug!("{} said: {output}", program.display());
    if status.success() { Ok(()) } else { Err(SpackError::Failed { program, status: status.to_string(), output }) }
}

/// Run Spack, with what it says on standard error, and wait for it. It reads nothing.
pub(super) fn run_live(mut command: Command, interrupt: &Interrupt) -> Result<ExitStatus, SpackError> {
    let program = PathBuf::from(command.get_program());
    let not_run = |source| SpackError::NotRun { program: program.clone(), source };
    // Standard output is for the report.
    let out = io::stderr().as_fd().try_clone_to_owned().map_err(not_run)?;
    let mut child = command.stdin(Stdio::null()).stdout(out).spawn().map_err(not_run)?;
    wait(&mut child, &program, None, interrupt)
}

/// Wait until it is done, is asked to stop, or takes too long.
fn wait(
    child: &mut Child,
    program: &Path,
    deadline: Option<(Instant, Duration)>,
    interrupt: &Interrupt,
) -> Result<ExitStatus, SpackError> {
    loop {
        let waited = child.try_wait();
        if let Some(status) = waited.map_err(|source| SpackError::NotRun { program: program.to_owned(), source })? {
            return Ok(status);
        }
        if interrupt.signal().is_some() {
            end(child);
            return Err(SpackError::Interrupted);
        }
        if let Some((_, patience)) = deadline.filter(|(deadline, _)| Instant::now() >= *deadline) {
            end(child);
            return Err(SpackError::TooSlow { program: program.to_owned(), patience });
        }
        std::thread::sleep(PAUSE);
    }
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
