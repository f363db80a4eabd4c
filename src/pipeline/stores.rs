//! The stores of the configuration: opened, and what there is to warn of before anything is done with them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::aside;
use super::environments;
use super::error::RunError;
use super::session::Session;
use crate::config::{BuiltEntry, CacheEntry, Keep, Upkeep};
use crate::report::CacheReport;
use crate::store::built::BuiltFolder;
use crate::store::policy::{Policy, Requested};
use crate::store::{Cache, Inventory, RemoteCache, Store, StoreError};
use crate::transport::Transport;

/// All caches that are folders, in the order of the configuration. Fails for a folder that larder did not make.
pub(crate) fn open_caches(session: &Session<'_>) -> Result<Vec<Cache>, RunError> {
    session.config.caches.iter().map(|entry| Ok(open_cache(session, entry)?)).collect()
}

/// One of them.
pub(crate) fn open_cache(session: &Session<'_>, entry: &CacheEntry) -> Result<Cache, StoreError> {
    aside::bring_back(session, entry.name.as_str(), &entry.path)?;
    Cache::open(entry.name.as_str(), &entry.path, &session.config.root)
}

/// What the branch built.
pub(crate) fn open_built(session: &Session<'_>, entry: &BuiltEntry) -> Result<BuiltFolder, StoreError> {
    aside::bring_back(session, &entry.name, &entry.path)?;
    BuiltFolder::open(entry, &session.config.root)
}

/// The entry of what the branch built, where there is one and `--cache` does not name others only.
pub(crate) fn built_entry<'a>(session: &'a Session<'_>) -> Option<&'a BuiltEntry> {
    session.config.collect.as_ref().filter(|entry| entry.upkeep == Upkeep::Included)
}

/// Every store that is a folder: what each is called, and the store where it can be opened. The last is what the branch built.
pub(crate) fn folders<'a>(session: &'a Session<'_>) -> impl Iterator<Item = (String, Result<Store<'a>, StoreError>)> {
    let caches = session.config.caches.iter().map(|entry| {
        let opened = open_cache(session, entry).map(|cache| Store::Cache(cache, entry));
        (format!("cache `{}`", entry.name), opened)
    });
    let built = built_entry(session).map(|entry| {
        let opened = open_built(session, entry).map(|built| Store::Built(built, entry));
        (format!("mirror `{}`", entry.name), opened)
    });
    caches.chain(built)
}

/// The caches in object stores.
pub(crate) fn remotes<'a>(session: &'a Session<'_>, transport: &Arc<Transport>) -> Vec<RemoteCache<'a>> {
    let remote = |entry| RemoteCache { entry, transport: Arc::clone(transport) };
    session.config.remote_caches.iter().map(remote).collect()
}

/// Every store: folders, and then object stores.
pub(crate) fn all<'a>(session: &'a Session<'_>, transport: &Arc<Transport>) -> Result<Vec<Store<'a>>, RunError> {
    let folders = folders(session).map(|(_, opened)| opened.map_err(RunError::from));
    let remotes = remotes(session, transport).into_iter().map(|cache| Ok(Store::Remote(cache)));
    folders.chain(remotes).collect()
}

/// What a store holds, with a warning of what larder did not put there.
pub(crate) async fn look(session: &Session<'_>, store: &Store<'_>) -> Result<Inventory, RunError> {
    let inventory = store.inventory().await?;
    warn_of_foreign(session, store, &inventory.foreign, ", and GitLab uploads it too");
    Ok(inventory)
}

/// Name a few of the files that larder did not put into a store, and say what becomes of them.
pub(crate) fn warn_of_foreign(session: &Session<'_>, store: &dyn fmt::Display, foreign: &[PathBuf], fate: &str) {
    if !foreign.is_empty() {
        let shown: Vec<_> = foreign.iter().take(3).map(|path| format!("`{}`", path.display())).collect();
        let more = if foreign.len() > 3 { ", …" } else { "" };
        session.warn(&format!("{store} holds what larder did not put there{fate}: {}{more}", shown.join(", ")));
    }
}

/// The size and number of a cache's blobs, with the same warning. The records are not read: whatever they say, it has a size.
pub(crate) fn state_of(session: &Session<'_>, cache: &Cache) -> Result<CacheReport, RunError> {
    let contents = cache.contents()?;
    warn_of_foreign(session, cache, &contents.foreign, ", and GitLab uploads it too");
    Ok(cache.report(&contents))
}

/// A `keep:` as a policy. The lockfiles are read only if it asks for them.
pub(crate) fn policy_of(session: &Session<'_>, keep: Keep) -> Result<Policy, RunError> {
    Policy::of(keep, || {
        let lockfiles = environments::lockfiles(session)?;
        let specs = lockfiles.iter().flat_map(|lockfile| lockfile.specs().map(|spec| spec.id.hash)).collect();
        // Where Spack's configuration can't be read, no index goes for its mirror's sake.
        let mirrors = environments::mirrors(session)
            .ok()
            .map(|found| found.all.iter().map(|mirror| mirror.url.to_string()).collect());
        Ok::<_, RunError>(Requested { specs, mirrors })
    })
}
