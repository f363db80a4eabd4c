//! `larder list`: what the caches hold, for whom, how large, last used.

use super::prune;
use crate::pipeline::{RunError, Session, built, inventory};
use crate::report::Report;
use crate::transport::{Limits, Transport};

/// Read the records. Nothing is hashed. Of a cache in an object store, only the totals are told.
pub async fn list(session: &Session<'_>) -> Result<Report, RunError> {
    let mut report = Report::new("list");
    for cache in inventory::open_all(session)? {
        let (records, damage) = cache.records()?;
        if let Some(damage) = damage {
            session.warn(&format!("the records of cache `{}` are damaged: {damage}", cache.name()));
        }
        let mut entry = inventory::state_of(session, &cache)?;
        entry.contents = inventory::blobs_of(&cache.contents()?, &records);
        report.caches.push(entry);
    }
    report.caches.extend(built::list(session)?);
    let transport = Transport::new(session.config.network.clone(), Limits::default(), &session.variables);
    for entry in &session.config.remote_caches {
        report.caches.push(prune::state_of(entry, &transport).await?);
    }
    Ok(session.conclude(report))
}
