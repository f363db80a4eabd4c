//! Why nothing can be collected.

use miette::Diagnostic;
use thiserror::Error;

use crate::spack_push::SpackError;

/// Why nothing can be collected.
#[derive(Debug, Error, Diagnostic)]
pub enum CollectError {
    /// No folder.
    #[error("there is no folder to collect into")]
    #[diagnostic(help("add `{{ name: built, path: .larder/built, collect: true }}` to `mirrors:` in larder.yaml"))]
    NoFolder,
    /// Spack would push without signatures, which no job would use.
    #[error("mirror `{name}` is `signed: true`, and there is no key to sign with")]
    #[diagnostic(help("give its entry in larder.yaml a `signing-key`; `larder prepare` needs none"))]
    NoKey {
        /// The mirror's name.
        name: String,
    },
    /// Nothing says what is installed.
    #[error("found no install tree, so there is no telling what this job built")]
    #[diagnostic(help(
        "Spack's configuration names none that has a database; name it with `--installed ROOT` (`spack find --format \
         '{{prefix}}'` shows what is below it)"
    ))]
    NoInstallTree,
    /// Spack did not push everything.
    #[error("{} of {wanted} specs were not collected", wanted - pushed)]
    Push {
        /// How many were to be pushed.
        wanted: usize,
        /// How many arrived.
        pushed: usize,
        /// Why.
        #[source]
        #[diagnostic_source]
        source: SpackError,
    },
}
