//! Why a lockfile can't be used. Every message names the file.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::format::{NEWEST, OLDEST};

/// A lockfile that can't be used.
#[derive(Debug, Error, Diagnostic)]
pub enum LockfileError {
    /// There is none.
    #[error("there is no `{}`", path.display())]
    #[diagnostic(help(
        "run `spack -e . concretize` in the environment's folder, or name the environment with `--environment`, which takes \
         a folder with a `spack.lock` or the lockfile itself"
    ))]
    Missing { path: PathBuf },
    /// It can't be read.
    #[error("can't read `{}`", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// It is not JSON, or not of the shape of its format.
    #[error("`{}` is not a valid lockfile: {reason}", path.display())]
    #[diagnostic(help("restore it from version control, or make it anew with `spack -e . concretize --force`"))]
    Malformed {
        path: PathBuf,
        /// What is wrong, with line and column where the parser knows them.
        reason: String,
    },
    /// Some other JSON file.
    #[error("`{}` is not a Spack lockfile: {found}", path.display())]
    #[diagnostic(help(
        "expected a file with `\"file-type\": \"spack-lockfile\"` in its `_meta`, as Spack writes `spack.lock`"
    ))]
    OtherFile { path: PathBuf, found: String },
    /// A format of a distant past.
    #[error("`{}` has lockfile format {found}; this larder understands formats {OLDEST} to {NEWEST}", path.display())]
    #[diagnostic(help("a Spack before 0.18 wrote it: concretize the environment again with a newer one"))]
    TooOld { path: PathBuf, found: u32 },
    /// A format of the future that differs in more than its number.
    #[error(
        "`{}` has lockfile format {found}, which differs from formats {OLDEST} to {NEWEST} that this larder understands",
        path.display()
    )]
    #[diagnostic(help("a newer Spack wrote it: use a newer larder"))]
    TooNew {
        path: PathBuf,
        found: u32,
        /// Where it is not of the shape of the newest known format.
        source: Box<LockfileError>,
    },
    /// An edge to a spec that the file does not hold.
    #[error("`{}` is incomplete: {from} needs {to}, which is not in it", path.display())]
    #[diagnostic(help("make the lockfile anew with `spack -e . concretize --force`"))]
    MissingDependency { path: PathBuf, from: String, to: String },
    /// Specs that depend on each other in a circle.
    #[error("`{}` has a dependency cycle: {}", path.display(), cycle.join(" → "))]
    #[diagnostic(help("Spack never writes such a file: restore it from version control"))]
    Cycle {
        path: PathBuf,
        /// The circle; the first and the last are the same.
        cycle: Vec<String>,
    },
}
