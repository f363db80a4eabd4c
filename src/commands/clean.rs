//! `larder clean`: empty the caches.

use crate::fs::Exclusion;
use crate::job::{JobFolder, hand_over};
use crate::pipeline::{Mode, RunError, Session, stores};
use crate::report::{CacheReport, Report};
use crate::store::{Inventory, Store};

/// Remove every blob and record, and the job mirror, whose links would lead nowhere. What larder did not put into a folder stays.
pub async fn clean(session: &Session<'_>, mode: Mode) -> Result<Report, RunError> {
    let mut report = Report::new("clean");
    for store in stores::all(session, &session.transport())? {
        let waiting = || session.inform(&format!("waiting for a job that uses {store}"));
        let _lock = match &store {
            Store::Cache(cache, _) if mode == Mode::Act && cache.root().exists() => {
                Some(cache.lock(Exclusion::Exclusive, waiting)?)
            }
            _ => None,
        };
        let before = match &store {
            Store::Cache(cache, _) => stores::state_of(session, cache)?,
            store => store.report(&stores::look(session, store).await?),
        };
        let after = store.report(&Inventory::default());
        if mode == Mode::Act {
            store.empty().await?;
        }
        let changed = mode == Mode::Act && before.blobs > 0;
        report.caches.push(CacheReport { removed: before.blobs, removed_bytes: before.bytes, changed, ..after });
    }
    if mode == Mode::Act {
        let folder = JobFolder::of(&session.config.root);
        hand_over::undo(&folder)?.iter().for_each(|remark| session.warn(remark));
        folder.remove()?;
    }
    Ok(session.conclude(report))
}
