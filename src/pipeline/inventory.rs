//! What commands know of caches without any mirror.

use std::collections::HashSet;
use std::time::Duration;

use crate::config::{CacheEntry, Keep, KeepRules, LockfileBlobs, Size};
use crate::pipeline::error::RunError;
use crate::pipeline::{Session, environments};
use crate::report::{BlobReport, CacheReport};
use crate::store::prune::Policy;
use crate::store::{Cache, Contents, FoundBlob, Records};
use crate::types::{DagHash, MaxAge};

/// All caches of the configuration, in its order. Fails for a folder that is somebody else's.
pub(crate) fn open_all(session: &Session<'_>) -> Result<Vec<Cache>, RunError> {
    session.config.caches.iter().map(|entry| open(session, entry)).collect()
}

/// One cache of the configuration.
pub(crate) fn open(session: &Session<'_>, entry: &CacheEntry) -> Result<Cache, RunError> {
    Ok(Cache::open(entry.name.as_str(), &entry.path, &session.config.root)?)
}

/// The size and number of a cache's blobs.
pub(crate) fn state_of(session: &Session<'_>, cache: &Cache) -> Result<CacheReport, RunError> {
    let contents = cache.contents()?;
    if !contents.foreign.is_empty() {
        let shown: Vec<_> = contents.foreign.iter().take(3).map(|path| format!("`{}`", path.display())).collect();
        let more = if contents.foreign.len() > 3 { ", …" } else { "" };
        session.warn(&format!(
            "cache `{}` holds what larder did not put there, and GitLab uploads it too: {}{more}",
            cache.name(),
            shown.join(", ")
        ));
    }
    Ok(report_of(cache, &contents.blobs))
}

/// A report of a cache with these blobs.
pub(crate) fn report_of(cache: &Cache, blobs: &[FoundBlob]) -> CacheReport {
    CacheReport {
        name: cache.name().to_owned(),
        path: cache.root().display().to_string(),
        bytes: blobs.iter().map(|blob| blob.bytes).sum(),
        blobs: blobs.len() as u64,
        ..CacheReport::default()
    }
}

/// Every blob of a cache with what its record says.
pub(crate) fn blobs_of(contents: &Contents, records: &Records) -> Vec<BlobReport> {
    let describe = |blob: &FoundBlob| {
        let record = records.get(blob.digest);
        BlobReport {
            digest: blob.digest,
            bytes: blob.bytes,
            intact: None,
            last_used: record.map_or(blob.modified, |record| record.last_used),
            requests: record.map(|record| record.requests.clone()).unwrap_or_default(),
        }
    };
    contents.blobs.iter().map(describe).collect()
}

/// How old a last-used date must be to be worth writing: a quarter of the cache's `max-age`.
pub(crate) fn refresh_after(session: &Session<'_>, cache: &Cache) -> Duration {
    let entry = session.config.caches.iter().find(|entry| entry.name.as_str() == cache.name());
    let max_age = match entry.map(|entry| entry.keep) {
        Some(Keep::Rules(KeepRules { max_age: Some(max_age), .. })) => max_age,
        // No age counts in such a cache, but people and `max-size` go by the dates.
        _ => MaxAge::days(30),
    };
    max_age.as_duration() / 4
}

/// A cache's `keep:` as the domain understands it, or `None` where everything stays. The lockfiles are read only if a policy
/// asks for them.
pub(crate) fn policy_of(session: &Session<'_>, entry: &CacheEntry) -> Result<Option<Policy>, RunError> {
    policy_for(session, entry.keep)
}

/// The same for any `keep:`.
pub(crate) fn policy_for(session: &Session<'_>, keep: Keep) -> Result<Option<Policy>, RunError> {
    Ok(match keep {
        Keep::All => None,
        Keep::Rules(KeepRules { max_age: None, max_size: None, lockfile: LockfileBlobs::Kept, .. }) => {
            Some(Policy { requested: Some(named(session)?), ..Policy::default() })
        }
        Keep::Rules(KeepRules { max_age, max_size, lockfile, .. }) => Some(Policy {
            requested: None,
            sheltered: match lockfile {
                LockfileBlobs::LikeOthers => HashSet::new(),
                LockfileBlobs::Kept => named(session)?,
            },
            max_age: max_age.map(MaxAge::as_duration),
            max_bytes: max_size.map(|Size(size)| size.as_u64()),
        }),
    })
}

/// The specs of all configured environments together.
fn named(session: &Session<'_>) -> Result<HashSet<DagHash>, RunError> {
    let lockfiles = environments::lockfiles(session)?;
    Ok(lockfiles.iter().flat_map(|lockfile| lockfile.specs().map(|spec| spec.id.hash)).collect())
}
