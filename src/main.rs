//! The `larder` program: parse the command line, run the command, turn the outcome into an exit code.

mod cli;

use std::process::ExitCode;

use larder::types::Variables;

fn main() -> ExitCode {
    let arguments = cli::args::Cli::from_process();
    let variables = Variables::from_env();
    let console = cli::console::Console::new(&arguments.global, &variables);
    match cli::run::run(&arguments, &console, variables) {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            cli::console::tell(&failure.render(console.err));
            failure.exit_code().into()
        }
    }
}
