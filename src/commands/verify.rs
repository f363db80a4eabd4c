//! `larder verify`: hash every blob of every cache.

use crate::pipeline::{OnCorrupt, RunError, Session, parallel, stores};
use crate::report::{BlobReport, CacheReport, Report};
use crate::reporter::Phase;
use crate::store::{Damage, Item, Key, Store};

/// Read everything. The report tells of each blob whether it is intact.
pub async fn verify(session: &Session<'_>, on_corrupt: OnCorrupt) -> Result<Report, RunError> {
    let mut report = Report::new("verify");
    for store in stores::all(session, &session.transport())? {
        if matches!(store, Store::Remote(_)) {
            session.inform(&format!(
                "{store} is in an object store: each of its blobs is checked when a job reads it, and not here"
            ));
        } else {
            report.caches.push(verify_folder(session, &store, on_corrupt).await?);
        }
    }
    Ok(session.conclude(report))
}

async fn verify_folder(
    session: &Session<'_>,
    store: &Store<'_>,
    on_corrupt: OnCorrupt,
) -> Result<CacheReport, RunError> {
    let inventory = stores::look(session, store).await?;
    let pairs: Vec<(&Item, &BlobReport)> =
        inventory.items.iter().flat_map(|item| item.blobs.iter().map(move |blob| (item, blob))).collect();
    let reporter = session.reporter;
    reporter.phase_started(Phase::Validate, pairs.len() as u64, Some(pairs.iter().map(|(_, blob)| blob.bytes).sum()));
    let check = |number: usize| -> Result<Option<Damage>, RunError> {
        let (item, blob) = pairs[number];
        let request = blob.requests.first();
        let name =
            request.map_or_else(|| blob.digest.to_string(), |request| format!("{}@{}", request.name, request.version));
        let number = number as u64;
        reporter.item_started(Phase::Validate, number, &name, Some(blob.bytes));
        let advance = |bytes| reporter.item_advanced(Phase::Validate, number, i64::try_from(bytes).unwrap_or(0));
        let damage = store.verify(item, blob, &advance)?;
        reporter.item_finished(Phase::Validate, number);
        Ok(damage)
    };
    let results = tokio::task::block_in_place(|| parallel::in_parallel(pairs.len(), &check));
    reporter.phase_finished(Phase::Validate);
    let mut contents: Vec<BlobReport> = pairs.iter().map(|(_, blob)| (*blob).clone()).collect();
    let mut bad: Vec<(&Item, Option<Damage>)> = Vec::new();
    for (number, damage) in results {
        let damage = damage?;
        contents[number].intact = Some(damage.is_none());
        if damage.is_some() {
            bad.push((pairs[number].0, damage));
        }
    }
    // Of an item that is bad in several ways, the first that was seen is told: a blob's before its own.
    bad.extend(inventory.items.iter().filter(|item| item.damage.is_some()).map(|item| (item, None)));
    bad.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    bad.dedup_by(|(a, _), (b, _)| a.key == b.key);
    for (item, damage) in &bad {
        let reason = damage.as_ref().map(Damage::reason).or(item.damage.as_deref()).unwrap_or_default();
        session.warn(&complaint(store, item, reason, on_corrupt));
        if on_corrupt == OnCorrupt::Delete {
            store.remove_damaged(&inventory, item, damage.as_ref())?;
        }
    }
    let corrupt = bad.len() as u64;
    let changed = corrupt > 0 && on_corrupt == OnCorrupt::Delete;
    let after = if changed { store.report(&store.inventory().await?) } else { store.report(&inventory) };
    Ok(CacheReport { corrupt, changed, contents, ..after })
}

/// What is said of an item that is not what its name promises.
fn complaint(store: &Store<'_>, item: &Item, reason: &str, on_corrupt: OnCorrupt) -> String {
    let (bad, removed) = match &item.key {
        Key::Blob(digest) => (format!("{store} holds a bad blob {digest}: {reason}"), "; it was removed"),
        Key::Spec(..) => (format!("{} is bad: {reason}", store.title_of(item)), "; the spec was removed"),
    };
    if on_corrupt == OnCorrupt::Delete { bad + removed } else { bad }
}
