//! The job folder: the local mirror that Spack installs from, and scratch space.
//!
//! ```text
//! .larder/job/mirror/            v3/… and/or build_cache/…: metadata as published, blobs as relative links into the caches
//! .larder/job/mirror-unsigned/   the same for mirrors without signatures, where the job has both kinds
//! .larder/job/index/             until the binaries are there: a mirror for each source mirror that holds its index alone
//! .larder/job/spack/mirrors.yaml a configuration scope that puts them first
//! .larder/job/bin/spack          calls Spack with the job mirror; `libexec/spack-python` and `env.sh` belong to it
//! .larder/job/handed-over.json   which files of Spack's name the job mirror, to be undone
//! .larder/job/partial/           unfinished files; emptied at the start of a run
//! .larder/job/state.json         what the job needs, for `larder finish`
//! .larder/job/restored.json      what the caches were like before this job changed them
//! .larder/job/aside/NAME        an unchanged cache folder, out of the runner's sight until larder runs again
//! .larder/job/report.json        what the last command did
//! .larder/job/larder.env         what the caches were worth, for `artifacts:reports:dotenv`
//! .larder/job/metrics.txt        the same, for `artifacts:reports:metrics`
//! .larder/.gitignore             keeps git out of all of it
//! .larder/job.lock               held by the one run that may write here
//! ```
//!
//! Nothing in it outlives the job or is cached. What was not checked in this run is not reachable from it: the mirror is
//! built anew each time, in `partial/`, and put in place whole.

mod error;
mod folder;
pub(crate) mod hand_over;
mod index;
mod mirror;
mod scope;
mod state;

pub use error::JobError;
pub(crate) use folder::{DOTENV, OPEN_METRICS};
pub use folder::{JobFolder, JobLock};
pub(crate) use index::{IndexMirror, IndexScope, build_indexes};
pub use mirror::{Entry, build};
pub(crate) use scope::{FILE_NAME as SCOPE_FILE_NAME, scope_text};
pub use state::{ForRemote, Prepared, State};
