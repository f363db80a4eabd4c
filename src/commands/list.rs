//! `larder list`: what the caches hold, for which specs, how large, last used.

use crate::pipeline::{RunError, Session, stores};
use crate::report::Report;
use crate::store::Store;

/// Read the records. Nothing is hashed. Of a cache in an object store, only the totals are told.
pub async fn list(session: &Session<'_>) -> Result<Report, RunError> {
    let mut report = Report::new("list");
    for store in stores::all(session, &session.transport())? {
        let inventory = stores::look(session, &store).await?;
        if let Some(damage) = &inventory.damaged_records {
            session.warn(&format!("the records of {store} are damaged: {damage}"));
        }
        for item in &inventory.items {
            if let Some(reason) = &item.damage {
                session.warn(&format!("{} can't be used: {reason}", store.title_of(item)));
            }
        }
        let mut entry = store.report(&inventory);
        if !matches!(store, Store::Remote(_)) {
            entry.contents = inventory.items.into_iter().flat_map(|item| item.blobs).collect();
        }
        report.caches.push(entry);
    }
    Ok(session.conclude(report))
}
