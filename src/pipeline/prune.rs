//! Making room in a store by its `keep:`.
//!
//! Safe to be killed half-way: blobs are removed first and the records corrected then, so the worst that is left is a record
//! without a blob, which the next run removes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::error::RunError;
use super::session::{Mode, Session};
use super::stores;
use super::uploads;
use crate::config::Slack;
use crate::job::JobFolder;
use crate::report::{CacheReport, Uploads};
use crate::runner::RestoredCaches;
use crate::store::policy::{Policy, Reason, Removal, Used, choose};
use crate::store::{Cache, Inventory, Item, Key, RecordChanges, RemoteCache, Store};

/// How long what is left of an interrupted download may wait for a run that goes on with it.
const LEFTOVERS: Duration = Duration::from_secs(24 * 3600);

/// What pruning of folders goes by.
pub(crate) struct Pruning<'a> {
    pub session: &'a Session<'a>,
    pub job: JobFolder,
    /// What the job needed.
    pub used: Used,
    /// What the caches were like before the job.
    pub restored: RestoredCaches,
    pub mode: Mode,
    /// When to stop waiting for other jobs.
    pub deadline: Instant,
}

impl Pruning<'_> {
    /// Prune a folder.
    pub(crate) async fn prune(&self, store: &Store<'_>) -> Result<CacheReport, RunError> {
        let session = self.session;
        if let Store::Cache(cache, _) = store {
            if self.mode == Mode::Act {
                cache.remove_leftovers(LEFTOVERS)?;
            }
            if !cache.is_marked() {
                // Nothing there, or a cache that was restored half-way and that no run has adopted.
                return stores::state_of(session, cache);
            }
        }
        let inventory = stores::look(session, store).await?;
        let before = store.report(&inventory);
        let policy = match stores::policy_of(session, store.keep()) {
            Ok(policy) => policy,
            Err(error) => {
                session.warn(&format!("nothing is pruned from {store}, since what it is to keep is unknown: {error}"));
                return Ok(before);
            }
        };
        let removals = choose(&inventory.items, &policy, &self.used, session.now);
        let waste = bytes_of(&removals) + inventory.stray_bytes();
        if store.keep().slack() != Slack::NONE
            && store.keep().slack().allows(waste, before.bytes)
            && uploads::judge(session, store, &self.restored)?.uploads == Uploads::No
        {
            // To be rid of so little is not worth the upload that it would take.
            return Ok(CacheReport { waste_bytes: waste, ..before });
        }
        let nothing_to_do = removals.is_empty() && inventory.strays.is_empty() && !inventory.stale_records;
        if self.mode == Mode::Pretend || nothing_to_do {
            self.tell_damaged(store, &removals, "would be removed");
            warn_of_bound(session, store, &policy, before.bytes - waste);
            let removed = blobs_of(&removals) + inventory.strays.len() as u64;
            let (blobs, bytes) = (before.blobs.saturating_sub(removed), before.bytes - waste);
            let corrupt = damaged(&removals).count() as u64;
            return Ok(CacheReport { bytes, blobs, removed, removed_bytes: waste, corrupt, ..before });
        }
        let lock = match store {
            Store::Cache(cache, _) => cache.lock_until(self.deadline)?.map(Some),
            Store::Built(..) | Store::Remote(_) => Some(None),
        };
        let Some(_lock) = lock else {
            session.warn(&format!("another job uses {store}: pruning is left to a later run"));
            return Ok(before);
        };
        // Decide again under the lock: another job may have added or used something meanwhile.
        let inventory = store.inventory().await?;
        let removals = choose(&inventory.items, &policy, &self.used, session.now);
        self.tell_damaged(store, &removals, "is removed");
        let removed = self.remove(store, &inventory, &removals)?;
        session.stop_if_asked()?;
        let after = store.report(&store.inventory().await?);
        warn_of_bound(session, store, &policy, after.bytes);
        Ok(CacheReport { bytes: after.bytes, blobs: after.blobs, ..removed })
    }

    /// Act. When it is asked to stop, the records are corrected for what is gone by then.
    fn remove(
        &self,
        store: &Store<'_>,
        inventory: &Inventory,
        removals: &[Removal<'_>],
    ) -> Result<CacheReport, RunError> {
        let report = store.report(inventory);
        match store {
            Store::Cache(cache, _) => {
                let mut removed = Vec::new();
                for removal in removals {
                    if self.session.stop_if_asked().is_err() {
                        break;
                    }
                    if let Key::Blob(digest) = removal.item.key {
                        cache.remove(digest)?;
                        removed.push(*removal);
                    }
                }
                let recorded = self.forget_removed(cache)?;
                let (number, removed_bytes) = (blobs_of(&removed), bytes_of(&removed));
                let changed = recorded || number > 0;
                Ok(CacheReport { removed: number, removed_bytes, changed, ..report })
            }
            Store::Built(built, _) => {
                built.remove(inventory, &removals.iter().map(|removal| removal.item).collect::<Vec<_>>())?;
                let removed = blobs_of(removals) + inventory.strays.len() as u64;
                let removed_bytes = bytes_of(removals) + inventory.stray_bytes();
                let corrupt = damaged(removals).count() as u64;
                Ok(CacheReport { removed, removed_bytes, corrupt, changed: true, ..report })
            }
            Store::Remote(_) => Ok(report),
        }
    }

    /// Take out the records of blobs that are gone.
    fn forget_removed(&self, cache: &Cache) -> Result<bool, RunError> {
        let (records, _) = cache.records()?;
        let gone = records.digests().filter(|digest| cache.size_of(*digest).is_none()).collect();
        let changes = RecordChanges { uses: Vec::new(), gone, now: self.session.now, refresh_after: Duration::MAX };
        Ok(cache.update_records(&changes, &self.staging(cache))?)
    }

    /// The job folder's, or, where no job ran here, a folder beside the cache.
    fn staging(&self, cache: &Cache) -> PathBuf {
        let partial = self.job.partial();
        if partial.is_dir() { partial } else { cache.root().parent().map(PathBuf::from).unwrap_or_default() }
    }

    fn tell_damaged(&self, store: &Store<'_>, removals: &[Removal<'_>], verb: &str) {
        for item in damaged(removals) {
            let reason = item.damage.as_deref().unwrap_or_default();
            self.session.warn(&format!("{} {verb}: {reason}", store.title_of(item)));
        }
    }
}

/// Prune an object store. There is no lock in one, and none is needed: see [`crate::store::RemoteCache`].
pub(crate) async fn prune_remote(
    session: &Session<'_>,
    cache: &RemoteCache<'_>,
    policy: &Policy,
    mode: Mode,
) -> Result<CacheReport, RunError> {
    let store = Store::Remote(cache.clone());
    if *policy == Policy::default() {
        return Ok(store.report(&store.inventory().await?));
    }
    let listed = cache.blobs().await?;
    let uses = cache.last_uses(policy.max_age, session.now).await?;
    let inventory = RemoteCache::inventory(&listed, &uses);
    let fresh = inventory.items.iter().filter(|item| RemoteCache::is_fresh(item, session.now));
    let blobs = fresh.flat_map(|item| item.blobs.iter().map(|blob| blob.digest)).collect();
    let removals = choose(&inventory.items, policy, &Used { blobs, ..Used::default() }, session.now);
    let before = store.report(&inventory);
    let mut removed: Vec<&Item> = removals.iter().map(|removal| removal.item).collect();
    if mode == Mode::Act {
        let on_stay = |digest| session.inform(&format!("{digest} in {store} was written anew meanwhile: it stays"));
        removed = cache.remove(&listed, &removed, session.now, &on_stay).await?;
        cache.forget(uses).await?;
    }
    let (number, removed_bytes) = (removed.len() as u64, removed.iter().map(|item| item.bytes).sum());
    Ok(CacheReport {
        bytes: before.bytes - removed_bytes,
        blobs: before.blobs - number,
        removed: number,
        removed_bytes,
        changed: mode == Mode::Act && number > 0,
        ..before
    })
}

fn bytes_of(removals: &[Removal<'_>]) -> u64 {
    removals.iter().map(|removal| removal.item.bytes).sum()
}

fn blobs_of(removals: &[Removal<'_>]) -> u64 {
    removals.iter().map(|removal| removal.item.blobs.len()).sum::<usize>() as u64
}

fn damaged<'a>(removals: &[Removal<'a>]) -> impl Iterator<Item = &'a Item> {
    removals.iter().filter(|removal| removal.reason == Reason::Damaged).map(|removal| removal.item)
}

fn warn_of_bound(session: &Session<'_>, store: &Store<'_>, policy: &Policy, bytes: u64) {
    if let Some(max_bytes) = policy.max_bytes.filter(|max_bytes| bytes > *max_bytes) {
        session.warn(&format!(
            "{store} is larger than its max-size of {}: this job needs all of what is left",
            ByteSize(max_bytes).display().iec()
        ));
    }
}
