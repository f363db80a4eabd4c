//! How a run ends.

use std::io;
use std::process::ExitCode;

use larder::commands::{CommandError, RunError};
use larder::config::ConfigError;
use miette::Diagnostic;
use thiserror::Error;
use tracing_subscriber::filter::ParseError;

use super::diagnostics;
use super::palette::Palette;

/// How a run ended that did what it was asked, and its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// `verify` found a corrupt blob, or `init --check` something that is still open.
    Found,
    /// Done, but something needed is in no mirror, and `--require-all` was given.
    Incomplete,
    /// The command that `run` ran ended with this code.
    Command(u8),
}

/// Why a run did not do what it was asked.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum Failure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Command(#[from] CommandError),
    /// `LARDER_LOG` makes no sense.
    #[error("`LARDER_LOG` is not a log filter: `{text}`")]
    #[diagnostic(help("expected something like `debug` or `larder::transport=trace`"))]
    LogFilter { text: String, source: ParseError },
    /// A mirror given by `--mirror` without TLS.
    #[error("`--mirror {url}` is not protected by TLS: anybody on the way could replace binaries and digests alike")]
    #[diagnostic(help(
        "use `https://` or `oci://`; where you trust the network, list the mirror in larder.yaml with `insecure: true`"
    ))]
    InsecureMirror { url: String },
    /// No current folder, no threads, no standard output.
    #[error("can't {what}")]
    System {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Found => 1,
            Outcome::Incomplete => 3,
            Outcome::Command(code) => code,
        })
    }
}

impl Failure {
    /// For `map_err`: what of the system did not work.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// 2 where the command line or the configuration is wrong, that of the signal where one ended the run, that of a shell for a
    /// command that is not there or can't be started, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::LogFilter { .. } | Self::InsecureMirror { .. } => 2,
            Self::Command(error) if error.is_usage() => 2,
            Self::Command(CommandError::Run(RunError::Interrupted { signal })) => signal.exit_code(),
            Self::Command(CommandError::NotStarted { source, .. }) => {
                if source.kind() == io::ErrorKind::NotFound {
                    127
                } else {
                    126
                }
            }
            Self::Command(_) | Self::System { .. } => 1,
        }
    }

    pub(crate) fn render(&self, palette: Palette) -> String {
        let excerpt = match self {
            Self::Config(error) => error.excerpt().map(ToString::to_string),
            _ => None,
        };
        diagnostics::render(self, excerpt.as_deref(), palette)
    }
}
