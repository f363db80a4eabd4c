//! The use cases, one file each, and nothing else.
//!
//! Each takes a [`Session`](crate::pipeline::Session) and returns a [`Report`](crate::report::Report); none prints. What several
//! of them share lies in [`crate::pipeline`].

mod clean;
mod collect;
mod concretize;
mod error;
mod export;
mod finish;
mod hand_over;
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

pub use clean::clean;
pub use collect::{CollectOptions, collect};
pub use concretize::concretize;
pub use error::CommandError;
pub use export::export;
pub use finish::finish;
pub use hand_over::hand_over;
pub use init::{
    EnvironmentMirrors, FileOutcome, FoundEnvironment, InitOptions, Initialised, LockfileState, OpenPoint, Origin,
    Skipped, TEMPLATE, init, open_points,
};
pub use list::list;
pub use pack::{Output, pack};
pub use plan::plan;
pub use prepare::{Prepared, PreparedIndexes, prepare, prepare_indexes};
pub use prune::prune;
pub use run::{Ended, RunOptions, run};
pub use unpack::unpack;
pub use verify::verify;
pub use warm::warm;

pub use crate::job::hand_over::HandedOver;
pub use crate::pipeline::{ConcretizeOptions, MissingLockfile, Mode, OnCorrupt, Push, RunError, Session, Wanted};
