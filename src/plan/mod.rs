//! Pure decisions: which specs of a lockfile a job needs, and what each of them is.
//!
//! [`select`] turns what the user asked for into the specs to install; [`walk`] follows the dependencies as Spack's installer
//! does. Neither touches a disk or a network: the same question always has the same answer.

mod graph;
mod row;
mod select;
mod walk;

pub(crate) use graph::Graph;
pub(crate) use row::{Availability, Holding, row};
pub(crate) use select::select;
pub use select::{Selection, SelectionError};
pub(crate) use walk::{BuildReason, Need, Needed, Question, Unknown, walk};
