//! Why Spack's configuration could not be read.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::yaml::Problem;

pub(super) type Result<T> = std::result::Result<T, SpackConfigError>;

/// Spack's configuration can't be read. Spack itself would refuse it as well.
#[allow(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Error, Diagnostic)]
pub enum SpackConfigError {
    /// The file is there and can't be read: no permission, no regular file, too large, not UTF-8.
    #[error("can't read Spack's configuration file `{}`", path.display())]
    #[diagnostic(help("is this one of Spack's configuration files, and may this user read it?"))]
    Unreadable { path: PathBuf, source: io::Error },
    /// Not YAML, or not what Spack's schema says.
    #[error("can't make sense of `{}`{place}", path.display())]
    #[diagnostic(help("`spack config blame mirrors` shows what Spack makes of it"))]
    Malformed {
        path: PathBuf,
        /// Line and column, as the message shows them.
        place: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `include:` names something that is not there and not `optional:`.
    #[error("`{}` includes `{include}`, and there is no `{}`", declared_in.display(), path.display())]
    #[diagnostic(help(
        "correct the path, or make it `{{path: …, optional: true}}` (Spack 1.0 and later) if it may be missing"
    ))]
    MissingInclude { include: String, path: PathBuf, declared_in: PathBuf },
    /// Files that include each other.
    #[error("`{}` is included over more than {limit} steps", path.display())]
    #[diagnostic(help("does it include itself, perhaps through other files?"))]
    IncludesTooDeep { path: PathBuf, limit: usize },
    /// Files that include each other so that their number multiplies.
    #[error("there are more than {limit} included files and folders, the last one `{}`", path.display())]
    #[diagnostic(help("do files include each other in many ways?"))]
    TooManyIncludes { path: PathBuf, limit: usize },
    /// There is no current folder to resolve a relative path against.
    #[error("can't find out where `{}` is", path.display())]
    #[diagnostic(help("does the current folder still exist?"))]
    NowhereToStart { path: PathBuf, source: io::Error },
}

impl From<Problem> for SpackConfigError {
    fn from(problem: Problem) -> Self {
        let (path, place) = match &problem.place {
            Some(at) => (at.file.to_path_buf(), format!(", line {}, column {}", at.line, at.column)),
            None => (PathBuf::new(), String::new()),
        };
        Self::Malformed { path, place, source: problem.into() }
    }
}
