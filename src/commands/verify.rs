//! `larder verify`: hash every blob of every cache.

use crate::pipeline::parallel::{self, Task};
use crate::pipeline::{OnCorrupt, RunError, Session, stores};
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
    let pairs = inventory.items.iter().flat_map(|item| item.blobs.iter().map(move |blob| (item, blob)));
    let tasks = pairs.map(|(item, blob)| {
        let request = blob.requests.first();
        let name =
            request.map_or_else(|| blob.digest.to_string(), |request| format!("{}@{}", request.name, request.version));
        Task { name, bytes: blob.bytes, subject: (item, blob) }
    });
    let tasks: Vec<Task<(&Item, &BlobReport)>> = tasks.collect();
    let check = |(item, blob): &(&Item, &BlobReport), advance: &dyn Fn(usize)| Ok(store.verify(item, blob, advance)?);
    let damages = parallel::in_phase(session.reporter, Phase::Validate, &tasks, check)?;
    let mut contents = Vec::new();
    let mut bad: Vec<(&Item, Option<Damage>)> = Vec::new();
    for (Task { subject: (item, blob), .. }, damage) in tasks.iter().zip(damages) {
        contents.push(BlobReport { intact: Some(damage.is_none()), ..(*blob).clone() });
        if damage.is_some() {
            bad.push((item, damage));
        }
    }
    // Of an item that is bad in several ways, the first that was seen is told: a blob's before its own.
    bad.extend(inventory.items.iter().filter(|item| item.damage.is_some()).map(|item| (item, None)));
    bad.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    bad.dedup_by(|(a, _), (b, _)| a.key == b.key);
    for (item, damage) in &bad {
        let reason =
            damage.as_ref().map(|damage| damage.reason.as_str()).or(item.damage.as_deref()).unwrap_or_default();
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
