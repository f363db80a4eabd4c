//! `larder prune`: make room in what is not on this machine: the remote caches, and the mirror that collects.

use std::sync::Arc;

use crate::config::{Keep, Upkeep};
use crate::pipeline::prune::prune_remote;
use crate::pipeline::prune_mirror::prune_mirror;
use crate::pipeline::reporting::count_requests;
use crate::pipeline::{Mode, RunError, Session, stores};
use crate::report::Report;
use crate::store::pushed::PushedMirror;

/// Prune every remote cache and the mirror that collects, each by its own `keep:`, or all by the same.
pub async fn prune(session: &Session<'_>, keep: Option<Keep>, mode: Mode) -> Result<Report, RunError> {
    let mirror = session.config.built_mirror.as_ref().filter(|entry| entry.upkeep == Upkeep::Included);
    if session.config.remote_caches.is_empty() && mirror.is_none() {
        return Err(RunError::NoRemoteCache);
    }
    let transport = session.transport();
    let mut report = Report::new("prune");
    for cache in stores::remotes(session, &transport) {
        let policy = stores::policy_of(session, keep.unwrap_or(cache.entry.keep))?;
        report.caches.push(prune_remote(session, &cache, &policy, mode).await?);
    }
    if let Some(entry) = mirror {
        let policy = stores::policy_of(session, keep.unwrap_or(entry.keep))?;
        let mirror = PushedMirror { entry, transport: Arc::clone(&transport) };
        let pruning = prune_mirror(session, &mirror, &policy, mode);
        report.caches.push(session.unless_interrupted(pruning).await?);
    }
    count_requests(&mut report.totals, &transport);
    Ok(session.conclude(report))
}
