//! The commands, one file each: arguments, help, the call into [`larder::commands`], and what is shown of its report.
//!
//! A new command is a file here and a file there, and below a `mod` line, a line of the enum and an arm of the match.

mod clean;
mod collect;
mod export;
mod finish;
mod init;
mod list;
mod pack;
mod plan;
mod prepare;
mod prune;
mod run;
mod unpack;
mod verify;
mod warm;

use clap::Subcommand;

use super::invocation::Invocation;
use super::outcome::{Failure, Outcome};

/// In the order of `larder --help`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Plan(plan::PlanArgs),
    Init(init::InitArgs),
    Run(run::RunArgs),
    Prepare(prepare::PrepareArgs),
    Finish(finish::FinishArgs),
    Collect(collect::CollectArgs),
    Warm(warm::WarmArgs),
    Export(export::ExportArgs),
    Verify(verify::VerifyArgs),
    List(list::ListArgs),
    Prune(prune::PruneArgs),
    Clean(clean::CleanArgs),
    Pack(pack::PackArgs),
    Unpack(unpack::UnpackArgs),
}

impl Command {
    pub(crate) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        match self {
            Self::Plan(args) => args.run(invocation),
            Self::Init(args) => args.run(invocation),
            Self::Run(args) => args.run(invocation),
            Self::Prepare(args) => args.run(invocation),
            Self::Finish(args) => args.run(invocation),
            Self::Collect(args) => args.run(invocation),
            Self::Warm(args) => args.run(invocation),
            Self::Export(args) => args.run(invocation),
            Self::Verify(args) => args.run(invocation),
            Self::List(args) => args.run(invocation),
            Self::Prune(args) => args.run(invocation),
            Self::Clean(args) => args.run(invocation),
            Self::Pack(args) => args.run(invocation),
            Self::Unpack(args) => args.run(invocation),
        }
    }
}
