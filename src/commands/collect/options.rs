//! What `collect` is asked for.

use std::path::PathBuf;
use std::time::Duration;

/// Options of `collect`.
#[derive(Clone, Debug, Default)]
pub struct CollectOptions {
    /// Spack, where it is not the one on the PATH.
    pub spack: Option<PathBuf>,
    /// Install trees named on the command line.
    pub install_trees: Vec<PathBuf>,
    /// How long Spack may take, all pushes together.
    pub patience: Option<Duration>,
}
