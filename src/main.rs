//! The `larder` program.

#[allow(dead_code, unused_imports, reason = "the commands are wired to it next")]
mod cli;

fn main() {
    let _ = cli::args::Cli::from_process();
}
