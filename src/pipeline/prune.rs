//! Making room in a store by its `keep:`.
//!
//! Safe to be killed half-way: blobs are removed first and the records corrected then, so the worst that is left is a record
//! without a blob, which the next run removes.

use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::error::RunError;
use super::session::{Mode, Session};
use super::stores;
use super::uploads;
use crate::config::Slack;
use crate::job::JobFolder;
use crate::report::CacheReport;
use crate::runner::RestoredCaches;
use crate::store::policy::{Policy, Reason, Removal, Used, choose};
use crate::store::{Inventory, Item, Key, RemoteCache, Store};

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
        let pruned = without(&inventory, &removals, before.clone());
        if store.keep().slack() != Slack::NONE
            && store.keep().slack().allows(pruned.removed_bytes, before.bytes)
            && uploads::is_as_restored(session, store, &self.restored)?
        {
            // To be rid of so little is not worth the upload that it would take.
            return Ok(CacheReport { waste_bytes: pruned.removed_bytes, ..before });
        }
        let nothing_to_do = removals.is_empty() && inventory.strays.is_empty() && !inventory.stale_records;
        if self.mode == Mode::Pretend || nothing_to_do {
            self.tell_damaged(store, &removals, "would be removed");
            warn_of_bound(session, store, &policy, pruned.bytes);
            return Ok(pruned);
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
        let removed = self.remove(store, &inventory, removals)?;
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
        removals: Vec<Removal<'_>>,
    ) -> Result<CacheReport, RunError> {
        let (removed, changed) = match store {
            Store::Cache(cache, _) => {
                let mut removed = Vec::new();
                for removal in removals.into_iter().take_while(|_| self.session.stop_if_asked().is_ok()) {
                    if let Key::Blob(digest) = removal.item.key {
                        cache.remove(digest)?;
                        removed.push(removal);
                    }
                }
                let is_here = |digest| cache.size_of(digest).is_some();
                let recorded =
                    cache.change_records(&uploads::staging(&self.job, cache), |records| records.retained(is_here))?;
                let changed = recorded || !removed.is_empty();
                (removed, changed)
            }
            Store::Built(built, _) => {
                built.remove(inventory, &removals.iter().map(|removal| removal.item).collect::<Vec<_>>())?;
                (removals, true)
            }
            Store::Remote(_) => (Vec::new(), false),
        };
        Ok(CacheReport { changed, ..without(inventory, &removed, store.report(inventory)) })
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
    let young = Used { blobs: RemoteCache::fresh(&inventory, session.now), ..Used::default() };
    let mut removals = choose(&inventory.items, policy, &young, session.now);
    if mode == Mode::Act {
        let on_stay = |digest| session.inform(&format!("{digest} in {store} was written anew meanwhile: it stays"));
        removals = cache.remove(&listed, removals, session.now, &on_stay).await?;
        cache.forget(uses).await?;
    }
    let changed = mode == Mode::Act && !removals.is_empty();
    Ok(CacheReport { changed, ..without(&inventory, &removals, store.report(&inventory)) })
}

/// The report of a store without the items that go, and without what belongs to none.
fn without(inventory: &Inventory, removals: &[Removal<'_>], before: CacheReport) -> CacheReport {
    let items = || removals.iter().map(|removal| removal.item);
    let removed_bytes = items().map(|item| item.bytes).sum::<u64>() + inventory.stray_bytes();
    let removed = (items().map(|item| item.blobs.len()).sum::<usize>() + inventory.strays.len()) as u64;
    let (bytes, blobs) = (before.bytes - removed_bytes, before.blobs.saturating_sub(removed));
    let corrupt = damaged(removals).count() as u64;
    CacheReport { bytes, blobs, removed, removed_bytes, corrupt, ..before }
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
