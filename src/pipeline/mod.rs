//! What the commands have in common: from environments to binaries that lie in a cache, hashed.
//!
//! | module | what it is for |
//! |---|---|
//! | [`session`] | configuration, variables, reporter, warnings of one run |
//! | [`environments`] | lockfiles, mirrors, install trees |
//! | [`concretize`] `freshness` | lockfiles that Spack is to make first, and which those are |
//! | [`run`] | what one run works with: environments, caches, transports, job folder |
//! | [`needed`] | which blobs are needed, and what became of each |
//! | [`resolve`] | which specs are needed, and which mirror has each: asks for metadata |
//! | [`materialize`] | look into the caches, verify, download the rest, record |
//! | [`fetch`] | the downloads |
//! | [`index`] | the indexes of mirrors, for concretizing |
//! | [`remote`] | caches in object stores: read before mirrors, added to after the job |
//! | [`stores`] | the stores of the configuration, opened |
//! | [`prune`] | making room in one |
//! | [`reporting`] | what a run did, as data |
//! | [`parallel`] | work for all processors |
//! | [`uploads`] | what GitLab's variables add to the runner's upload rule |

pub(crate) mod concretize;
pub(crate) mod environments;
mod error;
pub(crate) mod fetch;
mod freshness;
pub(crate) mod index;
pub(crate) mod materialize;
pub(crate) mod needed;
pub(crate) mod parallel;
pub(crate) mod prune;
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
