//! `--concretize`: have Spack make the lockfiles that are due.

use crate::pipeline::concretize;
use crate::pipeline::{ConcretizeOptions, RunError, Session};

/// Have Spack concretize the environments whose lockfile is missing or outdated; in any case with `always`.
pub async fn concretize(session: &Session<'_>, options: &ConcretizeOptions) -> Result<(), RunError> {
    concretize::concretize(session, options).await
}
