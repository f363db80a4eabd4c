//! A cache in an object store, which all jobs of a team share.
//!
//! ```text
//! <prefix>/blobs/sha256/ab/abcd…          one object per blob; nothing ever changes one
//! <prefix>/uses/2026-11-24/<name>.json    which blobs a job needed on that day; one object per job
//! ```
//!
//! Only ever adding makes parallel jobs safe without a lock. Blobs that were written within [`GRACE`] are never removed, and each
//! is looked at once more right before. A job that finds a blob gone fetches it from its mirror.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::inventory::{Inventory, Item, Key, Purpose};
use super::policy::Removal;
use crate::config::RemoteCacheEntry;
use crate::report::CacheReport;
use crate::transport::{Listed, Location, Transport, TransportError};
use crate::types::{MirrorPath, Sha256Digest};

/// How old a blob must be to be removed: the job that wrote it may still be about to tell that it used it.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// How long files below `uses/` are kept where no `max-age` counts them.
const USES: Duration = Duration::from_secs(90 * 24 * 3600);

/// A day more than any window: the date of a use says nothing of the hour.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The format of the files below `uses/`.
const FORMAT: u64 = 1;

/// One cache, and the transport that reaches it.
#[derive(Clone, Debug)]
pub(crate) struct RemoteCache<'a> {
    pub entry: &'a RemoteCacheEntry,
    pub transport: Arc<Transport>,
}

/// A file below `uses/`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Uses {
    version: u64,
    digests: Vec<Sha256Digest>,
}

/// When blobs were last used, and which files that say so are too old to count.
#[derive(Debug, Default)]
pub(crate) struct LastUses {
    by_blob: HashMap<Sha256Digest, Timestamp>,
    stale: Vec<Location>,
}

impl Uses {
    pub(crate) fn new(digests: Vec<Sha256Digest>) -> Self {
        Self { version: FORMAT, digests }
    }

    /// Read a file below `uses/`, which any job that may write to the cache can have written. A day's use is all that it can
    /// claim.
    fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|uses| uses.version == FORMAT)
    }
}

impl RemoteCache<'_> {
    /// Every object that has the name of a blob at the place of that blob, by its digest. What else lies there is not larder's.
    pub(crate) async fn blobs(&self) -> Result<BTreeMap<Sha256Digest, Listed>, StoreError> {
        let blobs = self.list("blobs").await?.into_iter().filter_map(|object| {
            let digest: Sha256Digest = object.key.rsplit('/').next()?.parse().ok()?;
            object.key.ends_with(&MirrorPath::of_blob(digest).to_string()).then_some((digest, object))
        });
        Ok(blobs.collect())
    }

    /// The same as an inventory, with when each was last used.
    pub(crate) fn inventory(blobs: &BTreeMap<Sha256Digest, Listed>, uses: &LastUses) -> Inventory {
        let items = blobs.iter().map(|(digest, object)| {
            let mut item = Item::of_blob(*digest, object.bytes, object.modified);
            uses.by_blob.get(digest).into_iter().for_each(|used| item.set_last_used((*used).max(object.modified)));
            item
        });
        Inventory { items: items.collect(), ..Inventory::default() }
    }

    /// When each blob was last used, by the files of the last `max_age`.
    pub(crate) async fn last_uses(&self, max_age: Option<Duration>, now: Timestamp) -> Result<LastUses, StoreError> {
        let window = max_age.unwrap_or(USES).saturating_add(DAY);
        let mut read = Vec::new();
        let mut last = LastUses::default();
        for object in self.list("uses").await? {
            let Some((day, path)) = use_file(&object) else { continue };
            let age = Duration::try_from(now.duration_since(day)).unwrap_or_default();
            let at = self.location(&path);
            if age > window { last.stale.push(at) } else { read.push((day, at)) }
        }
        let ask = |(day, at): (Timestamp, Location)| async move { (day, self.transport.document(&at).await) };
        let mut answers = futures::stream::iter(read).map(ask).buffer_unordered(self.requests());
        while let Some((day, answer)) = answers.next().await {
            // One that can't be read could be what keeps a blob: nothing is removed then. One that makes no sense says nothing.
            let answer = answer.map_err(|source| self.failed(source))?;
            let Some(uses) = answer.as_deref().and_then(Uses::parse) else { continue };
            // Used at the end of that day, if anything: what errs keeps.
            let until = (day + SignedDuration::from_hours(24)).min(now);
            for digest in uses.digests {
                let known = last.by_blob.entry(digest).or_insert(until);
                *known = (*known).max(until);
            }
        }
        drop(answers);
        Ok(last)
    }

    /// Remove blobs that are still those that were listed, and still old. Returns those that were removed; `on_stay` is told of
    /// those that were written anew meanwhile.
    pub(crate) async fn remove<'i>(
        &self,
        blobs: &BTreeMap<Sha256Digest, Listed>,
        removals: Vec<Removal<'i>>,
        now: Timestamp,
        on_stay: &dyn Fn(Sha256Digest),
    ) -> Result<Vec<Removal<'i>>, StoreError> {
        let removing = futures::stream::iter(removals).map(async |removal| {
            let Key::Blob(digest) = &removal.item.key else { return Ok(None) };
            let at = self.blob_location(*digest);
            let Some(found) = self.transport.stat(&at).await? else { return Ok(None) };
            if blobs[digest].is_another(&found) || now.duration_since(found.modified) < GRACE {
                on_stay(*digest);
                return Ok(None);
            }
            self.transport.delete(&at).await?;
            Ok(Some(removal))
        });
        let removed = removing.buffer_unordered(self.requests()).try_filter_map(async |removal| Ok(removal));
        removed.try_collect().await.map_err(|source| self.failed(source))
    }

    /// The blobs that are too young to be removed.
    pub(crate) fn fresh(inventory: &Inventory, now: Timestamp) -> HashSet<Sha256Digest> {
        let fresh = inventory.items.iter().filter_map(|item| match (&item.key, item.purpose) {
            (Key::Blob(digest), Purpose::UnknownSince(written)) if now.duration_since(written) < GRACE => Some(*digest),
            _ => None,
        });
        fresh.collect()
    }

    /// Remove what tells of uses too old to count.
    pub(crate) async fn forget(&self, uses: LastUses) -> Result<(), StoreError> {
        self.delete_all(uses.stale).await
    }

    /// Remove everything that is larder's below the prefix.
    pub(crate) async fn empty(&self) -> Result<(), StoreError> {
        let blobs = self.blobs().await?;
        let blobs = blobs.keys().map(|digest| self.blob_location(*digest));
        let uses = self.list("uses").await?;
        let uses = uses.iter().filter_map(|object| use_file(object).map(|(_, path)| self.location(&path)));
        self.delete_all(blobs.chain(uses).collect()).await
    }

    async fn delete_all(&self, all: Vec<Location>) -> Result<(), StoreError> {
        let deletions = futures::stream::iter(&all).map(|at| self.transport.delete(at));
        let mut deletions = deletions.buffer_unordered(self.requests());
        while deletions.try_next().await.map_err(|source| self.failed(source))?.is_some() {}
        Ok(())
    }

    async fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let at = self.location(&MirrorPath::new([folder]));
        self.transport.list(&at).await.map_err(|source| self.failed(source))
    }

    /// A report of a cache in which nothing happened.
    pub(crate) fn report(&self) -> CacheReport {
        let (name, url) = (self.entry.name.to_string(), Some(self.entry.url.to_string()));
        CacheReport { name, url, ..CacheReport::default() }
    }

    /// A place in the cache.
    fn location(&self, path: &MirrorPath) -> Location {
        let RemoteCacheEntry { url, plain_http, access, .. } = self.entry;
        Location { url: url.join(path), plain_http: *plain_http, access: Arc::clone(access) }
    }

    /// Where a blob lies in the cache.
    pub(crate) fn blob_location(&self, digest: Sha256Digest) -> Location {
        self.location(&MirrorPath::of_blob(digest))
    }

    /// A name below `uses/` for a job's file that no other job has.
    pub(crate) fn use_location(&self, job: &str, now: Timestamp) -> Location {
        let day = now.strftime("%Y-%m-%d").to_string();
        let file = format!("{}-{job}-{}.json", now.as_nanosecond(), std::process::id());
        self.location(&MirrorPath::new(["uses", &day, &file]))
    }

    /// How many requests are made at once.
    fn requests(&self) -> usize {
        self.transport.settings().metadata_connections
    }

    fn failed(&self, source: TransportError) -> StoreError {
        StoreError::Remote { cache: self.entry.name.to_string(), source }
    }
}

impl fmt::Display for RemoteCache<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cache `{}`", self.entry.name)
    }
}

/// The day and the path of a file `uses/<day>/<name>.json`.
fn use_file(object: &Listed) -> Option<(Timestamp, MirrorPath)> {
    let mut parts = object.key.rsplit('/');
    let (file, day, uses) = (parts.next()?, parts.next()?, parts.next()?);
    let date: Date = day.parse().ok()?;
    let path = MirrorPath::new(["uses", day, file]);
    let is_ours = uses == "uses" && object.key.ends_with(&path.to_string());
    is_ours.then(|| Some((TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?, path)))?
}
