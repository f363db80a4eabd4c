//! `spack.lock`: which concrete specs an environment consists of, and how they depend on each other.
//!
//! Spack wrote five formats that are in use, see `format`. They differ little, and each difference has its file: `dependency`
//! (4 and 5), `node` (5 and 6), `root` (6 and 7). All end in the same [`Lockfile`], which is complete (no edge leads nowhere)
//! and has no cycles: the rest of the program can walk it without asking. A format of the future is read if it has the shape of
//! the newest known one. Included environments (`include_concrete`) are merged in; their roots are
//! needed like one's own.

mod dependency;
mod error;
mod format;
mod graph;
mod model;
mod node;
mod read;
mod root;

pub use error::LockfileError;
pub use model::{ConcreteSpec, Lockfile, Origin};
pub use root::Root;
