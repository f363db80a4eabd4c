//! `larder verify`: hash every blob of every cache.

use crate::pipeline::{OnCorrupt, RunError, Session, built, inventory, materialize};
use crate::report::Report;
use crate::reporter::Phase;
use crate::store::{Damage, Validation};
use crate::verified::{Expected, Size};

/// Read everything. The report tells of each blob whether it is intact.
pub fn verify(session: &Session<'_>, on_corrupt: OnCorrupt) -> Result<Report, RunError> {
    let mut report = Report::new("verify");
    for cache in inventory::open_all(session)? {
        let contents = cache.contents()?;
        let (records, _) = cache.records()?;
        let mut blobs = inventory::blobs_of(&contents, &records);
        let reporter = session.reporter;
        let bytes = blobs.iter().map(|blob| blob.bytes).sum();
        reporter.phase_started(Phase::Validate, blobs.len() as u64, Some(bytes));
        let check = |item: usize| -> Result<Option<Damage>, RunError> {
            let blob = &blobs[item];
            let name = blob
                .requests
                .first()
                .map_or_else(|| blob.digest.to_string(), |request| format!("{}@{}", request.name, request.version));
            let item = item as u64;
            reporter.item_started(Phase::Validate, item, &name, Some(blob.bytes));
            let expected = Expected { digest: blob.digest, size: Size::Exactly(blob.bytes) };
            let advance = |bytes| reporter.item_advanced(Phase::Validate, item, i64::try_from(bytes).unwrap_or(0));
            let validation = cache.validate(expected, &advance)?;
            reporter.item_finished(Phase::Validate, item);
            Ok(match validation {
                Validation::Corrupt(damage) => Some(damage),
                Validation::Intact(_) | Validation::Missing => None,
            })
        };
        let results = materialize::in_parallel(blobs.len(), &check);
        reporter.phase_finished(Phase::Validate);
        let mut corrupt = 0;
        for (item, result) in results {
            let damage = result?;
            blobs[item].intact = Some(damage.is_none());
            if let Some(damage) = damage {
                corrupt += 1;
                let digest = blobs[item].digest;
                let verb = if on_corrupt == OnCorrupt::Delete { "; it was removed" } else { "" };
                session.warn(&format!("cache `{}` holds a bad blob {digest}: {}{verb}", cache.name(), damage.reason()));
                if on_corrupt == OnCorrupt::Delete {
                    cache.remove_damaged(digest, &damage)?;
                }
            }
        }
        let mut cache_report = inventory::state_of(session, &cache)?;
        cache_report.corrupt = corrupt;
        cache_report.changed = corrupt > 0 && on_corrupt == OnCorrupt::Delete;
        cache_report.contents = blobs;
        report.caches.push(cache_report);
    }
    report.caches.extend(built::verify(session, on_corrupt)?);
    for entry in &session.config.remote_caches {
        session.inform(&format!(
            "cache `{}` is in an object store: each of its blobs is checked when a job reads it, and not here",
            entry.name
        ));
    }
    Ok(session.conclude(report))
}
