//! `larder prune`: make room in the remote caches.

use bytesize::ByteSize;

use crate::config::{Keep, KeepRules, Size};
use crate::pipeline::prune::prune_remote;
use crate::pipeline::reporting::count_requests;
use crate::pipeline::{Mode, RunError, Session, stores};
use crate::report::Report;
use crate::types::MaxAge;

/// What the command line says instead of `keep:`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PruneOptions {
    /// Remove what no job needed for so long.
    pub max_age: Option<MaxAge>,
    /// Remove what was not needed for the longest time until the rest is no larger than this.
    pub max_size: Option<ByteSize>,
    /// Whether to do it.
    pub mode: Mode,
}

/// Prune every remote cache.
pub async fn prune(session: &Session<'_>, options: &PruneOptions) -> Result<Report, RunError> {
    if session.config.remote_caches.is_empty() {
        return Err(RunError::NoRemoteCache);
    }
    let PruneOptions { max_age, max_size, mode } = *options;
    let transport = session.transport();
    let mut report = Report::new("prune");
    for cache in stores::remotes(session, &transport) {
        let keep = match (max_age, max_size) {
            (None, None) => cache.entry.keep,
            _ => Keep::Rules(KeepRules { max_age, max_size: max_size.map(Size), ..KeepRules::default() }),
        };
        let policy = stores::policy_of(session, keep)?;
        report.caches.push(prune_remote(session, &cache, &policy, mode).await?);
    }
    count_requests(&mut report.totals, &transport);
    Ok(session.conclude(report))
}
