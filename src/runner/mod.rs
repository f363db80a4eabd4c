//! What GitLab's runner does with a cache, and what it is told: when it uploads one, how it names the files in an archive, what it
//! restored, and the reports that GitLab reads. `docs/gitlab.md` tells users of it.

pub mod archive_layout;
pub mod forecast;
pub mod job_timeout;
pub mod metrics;
mod restored;
pub mod upload_rule;

pub use restored::{RestoredCaches, is_in_the_future};
