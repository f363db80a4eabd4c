//! `larder prune`: make room in the remote caches.

use crate::config::Keep;
use crate::pipeline::prune::prune_remote;
use crate::pipeline::reporting::count_requests;
use crate::pipeline::{Mode, RunError, Session, stores};
use crate::report::Report;

/// Prune every remote cache by its own `keep:`, or all by the same.
pub async fn prune(session: &Session<'_>, keep: Option<Keep>, mode: Mode) -> Result<Report, RunError> {
    if session.config.remote_caches.is_empty() {
        return Err(RunError::NoRemoteCache);
    }
    let transport = session.transport();
    let mut report = Report::new("prune");
    for cache in stores::remotes(session, &transport) {
        let policy = stores::policy_of(session, keep.unwrap_or(cache.entry.keep))?;
        report.caches.push(prune_remote(session, &cache, &policy, mode).await?);
    }
    count_requests(&mut report.totals, &transport);
    Ok(session.conclude(report))
}
