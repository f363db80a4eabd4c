//! The `larder` program. What it does is in [`cli::run`].

mod cli;

fn main() -> std::process::ExitCode {
    cli::run::run()
}
