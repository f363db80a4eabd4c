//! The program: read the command line, run the command, turn the outcome into an exit code.

use std::process::ExitCode;

use larder::types::Variables;

use super::command_line::CommandLine;
use super::console::{Console, tell};
use super::invocation::Invocation;
use super::outcome::{Failure, Outcome};
use super::{logging, progress};

pub(crate) fn run() -> ExitCode {
    let command_line = CommandLine::from_process();
    let variables = Variables::from_env();
    let console = Console::new(&command_line.global, &variables);
    match execute(&command_line, console, variables) {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            tell(&failure.render(console.err));
            failure.exit_code().into()
        }
    }
}

/// The reporter is gone when this returns, so that an error stands below its bars and outside its sections.
fn execute(command_line: &CommandLine, console: Console, variables: Variables) -> Result<Outcome, Failure> {
    let (reporter, screen) = progress::reporter(console, &command_line.global, &variables);
    logging::init(console, &screen, variables.get("LARDER_LOG"))?;
    let here = std::env::current_dir().map_err(Failure::system("find the current folder"))?;
    let global = &command_line.global;
    let invocation = Invocation { global, console, reporter: &reporter, here, variables, screen };
    command_line.command.run(&invocation)
}
