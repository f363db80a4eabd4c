//! Spack itself, which larder asks for what only Spack can do.

mod concretize;
mod program;
mod push;

pub use concretize::{Concretization, Renewal, concretize};
pub use program::{SpackError, find};
pub use push::{MIRRORS_FILE, Push, Target, push, registry_scope};
