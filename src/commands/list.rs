//! `larder list`: what the caches hold, for whom, how large, last used.

use super::{CommandError, Session, collected, upkeep};
use crate::report::Report;

/// Read the records. Nothing is hashed.
pub fn list(session: &Session<'_>) -> Result<Report, CommandError> {
    let mut report = Report::new("list");
    for cache in upkeep::open_all(session)? {
        let (records, damage) = cache.records()?;
        if let Some(damage) = damage {
            session.warn(&format!("the records of cache `{}` are damaged: {damage}", cache.name()));
        }
        let mut entry = upkeep::state_of(session, &cache)?;
        entry.contents = upkeep::blobs_of(&cache.contents()?, &records);
        report.caches.push(entry);
    }
    report.caches.extend(collected::list(session)?);
    Ok(session.conclude(report))
}
