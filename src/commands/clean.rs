//! `larder clean`: empty the caches.

use std::time::Duration;

use super::prune;
use crate::job::JobFolder;
use crate::pipeline::{Mode, RunError, Session, built, inventory};
use crate::report::{CacheReport, Report};
use crate::store::Exclusion;
use crate::transport::{Limits, Transport};

/// Remove every blob and record, and the job mirror, whose links would lead nowhere. What larder did not put into a cache
/// folder stays.
pub async fn clean(session: &Session<'_>, mode: Mode) -> Result<Report, RunError> {
    let mut report = Report::new("clean");
    for cache in inventory::open_all(session)? {
        let waiting = || session.inform(&format!("waiting for a job that uses cache `{}`", cache.name()));
        let _lock = if mode == Mode::Act && cache.root().exists() {
            Some(cache.lock(Exclusion::Exclusive, waiting)?)
        } else {
            None
        };
        let before = inventory::state_of(session, &cache)?;
        let mut after = inventory::report_of(&cache, &[]);
        if mode == Mode::Act {
            cache.empty()?;
            cache.remove_leftovers(Duration::ZERO)?;
            after.changed = before.blobs > 0;
        }
        report.caches.push(CacheReport { removed: before.blobs, removed_bytes: before.bytes, ..after });
    }
    report.caches.extend(built::clean(session, mode)?);
    let transport = Transport::new(session.config.network.clone(), Limits::default(), &session.variables);
    for entry in &session.config.remote_caches {
        report.caches.push(prune::empty(entry, &transport, mode).await?);
    }
    if mode == Mode::Act {
        JobFolder::of(&session.config.root).remove()?;
    }
    Ok(session.conclude(report))
}
