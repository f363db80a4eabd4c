//! Why Spack can't be given the job mirror, or what was changed for that not be undone.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::job::JobError;
use crate::yaml::Problem;

/// Trouble with handing Spack the job mirror.
#[derive(Debug, Error, Diagnostic)]
pub enum HandOverError {
    /// The job folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Job(#[from] JobError),
    /// An environment without a file to edit.
    #[error("there is no `{}` to put the job mirror into", path.display())]
    #[diagnostic(help(
        "`--hand-over environment` needs the environment's `spack.yaml`; where the script makes it, use `--hand-over path`"
    ))]
    NoEnvironment { path: PathBuf },
    /// No Spack instance.
    #[error("found no Spack instance whose configuration could name the job mirror")]
    #[diagnostic(help(
        "put its `bin` folder on the PATH, or name its program with `--spack PATH`; a program that only calls Spack is not enough. \
         Where the script fetches Spack, use `--hand-over path`"
    ))]
    NoInstance,
    /// A file of Spack's that can't be read or written.
    #[error("can't {what} `{}`", path.display())]
    #[diagnostic(help(
        "may this user change it, and make files beside it? `--hand-over path` changes no file of Spack's"
    ))]
    Io {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// A text in which no place for the mirror is found.
    #[error("can't put the job mirror into `{}`{place}", path.display())]
    #[diagnostic(help("the file is as it was. `--hand-over path` changes no file of Spack's"))]
    NotEdited {
        path: PathBuf,
        /// Line and column, as the message shows them.
        place: String,
        #[source]
        source: Problem,
    },
    /// The mirror of another job.
    #[error("`{}` names a mirror `{name}` at `{url}`, which another job put there", path.display())]
    #[diagnostic(help(
        "jobs that run at the same time can't share this file: use `--hand-over path`. If that job is over, `larder finish` in its \
         project folder takes the mirror out again, or `spack mirror remove {name}`"
    ))]
    OtherJob { path: PathBuf, name: String, url: String },
    /// An entry that larder made and can't take out.
    #[error("can't take the job mirror out of `{}`{place}", path.display())]
    #[diagnostic(help(
        "something changed the file since larder did; remove the mirrors `larder` and `larder-unsigned` from it"
    ))]
    NotUndone {
        path: PathBuf,
        /// Line and column, as the message shows them.
        place: String,
        #[source]
        source: Problem,
    },
}

/// Line and column for a message.
pub(super) fn place_of(problem: &Problem) -> String {
    problem.place.as_ref().map(|at| format!(", line {}, column {}", at.line, at.column)).unwrap_or_default()
}
