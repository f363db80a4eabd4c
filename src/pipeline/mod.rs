//! What the commands have in common: from environments to binaries that lie in a cache, hashed.
//!
//! | module | what it is for |
//! |---|---|
//! | [`session`] | configuration, variables, reporter, warnings of one run |
//! | [`environments`] | lockfiles, mirrors, install trees |
//! | [`concretize`] `freshness` | lockfiles that Spack is to make first, and which those are |
//! | [`real_spack`] | which Spack is called |
//! | [`run`] | what one run works with: environments, caches, transports, job folder |
//! | [`no_mirror`] | what is proposed where there is no mirror |
//! | [`absent`] | optional mirrors that are not there |
//! | [`needed`] | which blobs are needed, and what became of each |
//! | [`resolve`] | which specs are needed, and which mirror has each: asks for metadata |
//! | [`materialize`] | look into the caches, verify, download the rest, record |
//! | [`fetch`] | the downloads |
//! | [`index`] | the indexes of mirrors, for concretizing |
//! | [`remote`] | caches in object stores: read before mirrors, added to after the job |
//! | [`stores`] | the stores of the configuration, opened |
//! | [`prune`] | making room in one |
//! | [`prune_mirror`] | making room in a mirror that collects |
//! | [`reporting`] | what a run did, as data |
//! | [`parallel`] | work for all processors |
//! | [`aside`] | unchanged folders out of the runner's sight, and back |
//! | [`uploads`] | what GitLab's variables add to the runner's upload rule |

mod absent;
pub(crate) mod aside;
pub(crate) mod concretize;
pub(crate) mod environments;
mod error;
pub(crate) mod fetch;
mod freshness;
pub(crate) mod index;
pub(crate) mod materialize;
pub(crate) mod needed;
mod no_mirror;
pub(crate) mod parallel;
pub(crate) mod prune;
pub(crate) mod prune_mirror;
pub(crate) mod real_spack;
pub(crate) mod remote;
pub(crate) mod reporting;
pub(crate) mod resolve;
pub(crate) mod run;
mod session;
pub(crate) mod stores;
pub(crate) mod uploads;

pub use concretize::ConcretizeOptions;
pub use error::{FailedDownload, RunError};
pub(crate) use session::Scope;
pub use session::{MissingLockfile, Mode, OnCorrupt, Push, Session, Wanted};
