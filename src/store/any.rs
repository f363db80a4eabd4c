//! The three places that keep binaries, as one: list, verify, clean, prune and report go through here.

use std::fmt;

use super::blob::{Damage, Validation};
use super::built::BuiltFolder;
use super::error::StoreError;
use super::folder::Cache;
use super::inventory::{Inventory, Item, Key};
use super::remote::{LastUses, RemoteCache};
use crate::config::{BuiltEntry, CacheEntry, Keep};
use crate::report::{BlobReport, CacheReport};
use crate::verified::{Expected, Size};

/// A place that keeps binaries, opened.
#[derive(Clone, Debug)]
pub(crate) enum Store<'a> {
    /// A folder that GitLab keeps, or a volume.
    Cache(Cache, &'a CacheEntry),
    /// The folder of what the branch built.
    Built(BuiltFolder, &'a BuiltEntry),
    /// An object store.
    Remote(RemoteCache<'a>),
}

impl Store<'_> {
    /// What stays in it.
    pub(crate) fn keep(&self) -> Keep {
        match self {
            Self::Cache(_, entry) => entry.keep,
            Self::Built(_, entry) => entry.keep,
            Self::Remote(cache) => cache.entry.keep,
        }
    }

    /// Everything in it, unread.
    pub(crate) async fn inventory(&self) -> Result<Inventory, StoreError> {
        match self {
            Self::Cache(cache, _) => cache.inventory(),
            Self::Built(built, _) => built.inventory(),
            Self::Remote(cache) => Ok(RemoteCache::inventory(&cache.blobs().await?, &LastUses::default())),
        }
    }

    /// A report of it with these contents.
    pub(crate) fn report(&self, inventory: &Inventory) -> CacheReport {
        match self {
            Self::Cache(cache, _) => cache.report(inventory),
            Self::Built(built, _) => inventory.report(built.name(), built.root()),
            Self::Remote(cache) => CacheReport { bytes: inventory.bytes(), blobs: inventory.blobs(), ..cache.report() },
        }
    }

    /// Hash a blob of an item of a folder, and say what is wrong with it.
    pub(crate) fn verify(
        &self,
        item: &Item,
        blob: &BlobReport,
        on_bytes: &dyn Fn(usize),
    ) -> Result<Option<Damage>, StoreError> {
        let expected = Expected { digest: blob.digest, size: Size::Exactly(blob.bytes) };
        let validation = match self {
            Self::Cache(cache, _) => cache.validate(expected, on_bytes)?,
            Self::Built(built, _) => built.validate(item, expected, on_bytes)?,
            // Each of its blobs is hashed when a job reads it.
            Self::Remote(_) => return Ok(None),
        };
        Ok(match validation {
            Validation::Corrupt(damage) => Some(damage),
            Validation::Intact(_) | Validation::Missing => None,
        })
    }

    /// Remove an item with a blob that was found damaged: of a cache that blob, of what the branch built the whole spec.
    pub(crate) fn remove_damaged(
        &self,
        inventory: &Inventory,
        item: &Item,
        damage: Option<&Damage>,
    ) -> Result<(), StoreError> {
        match (self, &item.key, damage) {
            (Self::Cache(cache, _), Key::Blob(digest), Some(damage)) => cache.remove_damaged(*digest, damage),
            (Self::Built(built, _), _, _) => built.remove(inventory, &[item]),
            _ => Ok(()),
        }
    }

    /// Remove everything that is larder's.
    pub(crate) async fn empty(&self) -> Result<(), StoreError> {
        match self {
            Self::Cache(cache, _) => cache.empty(),
            Self::Built(built, _) => built.empty(),
            Self::Remote(cache) => cache.empty().await,
        }
    }

    /// What a message calls an item.
    pub(crate) fn title_of(&self, item: &Item) -> String {
        match &item.key {
            Key::Blob(digest) => format!("{digest} of {self}"),
            Key::Spec(_, metadata) => format!("`{}` of {self}", metadata.display()),
        }
    }
}

impl fmt::Display for Store<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(cache, _) => cache.fmt(f),
            Self::Built(built, _) => built.fmt(f),
            Self::Remote(cache) => cache.fmt(f),
        }
    }
}
