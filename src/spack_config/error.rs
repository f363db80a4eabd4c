//! Why Spack's configuration could not be read.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Spack's configuration can't be read. Spack itself would refuse it as well.
#[derive(Debug, Error, Diagnostic)]
pub enum SpackConfigError {
    /// The file is there and can't be read.
    #[error("can't read Spack's configuration file `{}`", path.display())]
    #[diagnostic(help("may this user read it?"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder, a pipe or a device where a file should be.
    #[error("`{}` is not a regular file", path.display())]
    #[diagnostic(help("Spack expects one of its configuration files there"))]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file that is too large to be a configuration.
    #[error("`{}` is longer than the {limit} bytes that a configuration file may have", path.display())]
    #[diagnostic(help("is this one of Spack's configuration files?"))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes allowed.
        limit: u64,
    },
    /// Not UTF-8.
    #[error("`{}` is not a text in UTF-8", path.display())]
    #[diagnostic(help("is this one of Spack's configuration files?"))]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Not YAML, or not what Spack's schema says.
    #[error("can't make sense of `{}`{}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    #[diagnostic(help("`spack config blame mirrors` shows what Spack makes of it"))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
        /// What the parser said.
        #[source]
        source: serde_yaml::Error,
    },
    /// `include:` names something that is not there and not `optional:`.
    #[error("`{}` includes `{include}`, and there is no `{}`", declared_in.display(), path.display())]
    #[diagnostic(help(
        "correct the path, or make it `{{path: …, optional: true}}` (Spack 1.0 and later) if it may be missing"
    ))]
    MissingInclude {
        /// The entry as written.
        include: String,
        /// What it stands for.
        path: PathBuf,
        /// The file with the entry.
        declared_in: PathBuf,
    },
    /// Files that include each other.
    #[error("`{}` is included over more than {limit} steps", path.display())]
    #[diagnostic(help("does it include itself, perhaps through other files?"))]
    IncludesTooDeep {
        /// The file at which larder gave up.
        path: PathBuf,
        /// The most steps allowed.
        limit: usize,
    },
    /// Files that include each other so that their number multiplies.
    #[error("there are more than {limit} included files and folders, the last one `{}`", path.display())]
    #[diagnostic(help("do files include each other in many ways?"))]
    TooManyIncludes {
        /// The file at which larder gave up.
        path: PathBuf,
        /// The most includes allowed.
        limit: usize,
    },
    /// There is no current folder to resolve a relative path against.
    #[error("can't find out where `{}` is", path.display())]
    #[diagnostic(help("does the current folder still exist?"))]
    NowhereToStart {
        /// The relative path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
