//! Why a command failed.

mod collect;
mod init;
mod pack;
mod unpack;

use miette::Diagnostic;
use thiserror::Error;

pub use collect::CollectError;
pub use init::InitError;
pub use pack::PackError;
pub use unpack::UnpackError;

use crate::pipeline::RunError;

/// A command that could not do what it is for.
#[derive(Debug, Error, Diagnostic)]
pub enum CommandError {
    /// A step that other commands have, too.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(RunError),
    /// What was to be packed, or where to.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pack(#[from] PackError),
    /// Where an archive was to be unpacked.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unpack(#[from] UnpackError),
    /// What was to be collected, or where to.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Collect(#[from] CollectError),
    /// `init`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Init(#[from] InitError),
}

/// Whatever is an error of a step is one of the command.
macro_rules! through_run {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::Run(error.into())
            }
        })*
    };
}

through_run!(
    RunError,
    crate::archive::ArchiveError,
    crate::export::ExportError,
    crate::install_tree::InstallTreeError,
    crate::job::JobError,
    crate::mirror::MirrorError,
    crate::spack_config::SpackConfigError,
    crate::store::StoreError,
);

impl CommandError {
    /// Whether it is the command line or the configuration that is wrong: exit code 2.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Run(error) => error.is_usage(),
            Self::Collect(error) => matches!(error, CollectError::NoFolder | CollectError::NoKey { .. }),
            Self::Pack(error) => matches!(
                error,
                PackError::OutputExists { .. } | PackError::OutputInCache { .. } | PackError::OutsideProject { .. }
            ),
            Self::Unpack(_) | Self::Init(_) => false,
        }
    }
}
