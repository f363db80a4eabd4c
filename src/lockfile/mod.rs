//! `spack.lock`: which concrete specs an environment consists of, and how they depend on each other.
//!
//! Spack wrote three formats that are in use: 4 (Spack 0.18 to 0.20), 5 (0.21 to 0.23) and 6 (1.0 and later). They
//! differ little, and all end in the same [`Lockfile`], which is complete (no edge leads nowhere) and has no cycles: the rest
//! of the program can walk it without asking. Included environments (`include_concrete`) are merged in; their roots are
//! needed like one's own.

mod dependency;
mod error;
mod graph;
mod model;
mod node;
mod read;

pub use error::LockfileError;
pub use model::{ConcreteSpec, Lockfile, Origin, Root};
