//! Spack itself, asked to make the lockfile of an environment.
//!
//! It can take minutes, and what it says is what a person wants to see meanwhile: its output goes where larder's messages go.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{SpackError, run_live};
use crate::interrupt::Interrupt;

/// What of a lockfile that is there remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Spack concretizes the roots that are new to the lockfile, and keeps the others.
    NewRoots,
    /// Everything is concretized anew.
    All,
}

/// One environment to concretize.
#[derive(Clone, Copy, Debug)]
pub struct Concretization<'a> {
    /// Spack.
    pub program: &'a Path,
    /// A configuration scope on top of the others.
    pub scope: Option<&'a Path>,
    /// Settings on top of all scopes.
    pub settings: &'a [String],
    /// The folder of the environment.
    pub environment: &'a Path,
    /// What of a lockfile that is there remains.
    pub renewal: Renewal,
}

/// Concretize, and wait for it.
pub fn concretize(concretization: &Concretization<'_>, interrupt: &Interrupt) -> Result<(), SpackError> {
    let status = run_live(command(concretization), interrupt)?;
    if status.success() {
        return Ok(());
    }
    Err(SpackError::NotConcretized {
        program: PathBuf::from(concretization.program),
        environment: concretization.environment.to_owned(),
        status: status.to_string(),
    })
}

fn command(concretization: &Concretization<'_>) -> Command {
    let mut command = Command::new(concretization.program);
    if let Some(scope) = concretization.scope {
        command.arg("-C").arg(scope);
    }
    command.args(concretization.settings.iter().flat_map(|setting| ["-c", setting]));
    command.arg("-e").arg(concretization.environment).arg("concretize");
    if concretization.renewal == Renewal::All {
        command.arg("--force");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_stands_before_the_command_and_force_only_where_all_is_made_anew() {
        let setting = "a:b".to_owned();
        let arguments = |scope: Option<&Path>, renewal| {
            let environment = Path::new("/p/env");
            let settings = scope.map_or(&[][..], |_| std::slice::from_ref(&setting));
            let program = Path::new("spack");
            let command = command(&Concretization { program, scope, settings, environment, renewal });
            command.get_args().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(arguments(None, Renewal::NewRoots), "-e /p/env concretize");
        assert_eq!(arguments(Some(Path::new("/p/s")), Renewal::All), "-C /p/s -c a:b -e /p/env concretize --force");
    }
}
