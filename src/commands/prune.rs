//! `larder prune`: make room in the caches that a team keeps in object stores.
//!
//! There is no lock in an object store, and none is needed. Blobs are only added and removed, never changed; one that was
//! written within [`GRACE`] is never removed, and each is looked at once more right before. A job that finds a blob gone
//! fetches it from its mirror.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytesize::ByteSize;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::config::{Keep, KeepRules, RemoteCacheEntry, Size};
use crate::pipeline::remote::{self, Uses};
use crate::pipeline::{Mode, RunError, Session};
use crate::report::{CacheReport, Report};
use crate::store::prune::{Policy, choose};
use crate::store::{FoundBlob, Records};
use crate::transport::{Limits, Listed, Location, Transport};
use crate::types::{MaxAge, MirrorPath, Sha256Digest};

/// How old a blob must be to be removed: the job that wrote it may still be about to tell that it used it.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// How long files below `uses/` are kept where no `max-age` counts them.
const USES: Duration = Duration::from_secs(90 * 24 * 3600);

/// What the command line says instead of `keep:`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PruneOptions {
    /// Remove what no job needed for so long.
    pub max_age: Option<MaxAge>,
    /// Remove what was not needed for the longest time until the rest is no larger than this.
    pub max_size: Option<ByteSize>,
    /// Whether to do it.
    pub mode: Mode,
}

/// A blob in a team cache.
struct Found {
    blob: FoundBlob,
    object: Listed,
}

/// Prune every team cache.
pub async fn prune(session: &Session<'_>, options: &PruneOptions) -> Result<Report, RunError> {
    if session.config.remote_caches.is_empty() {
        return Err(RunError::NoTeamCache);
    }
    let transport = Transport::new(session.config.network.clone(), Limits::default(), &session.variables);
    let mut report = Report::new("prune");
    for entry in &session.config.remote_caches {
        report.caches.push(prune_one(session, entry, &transport, options).await?);
    }
    crate::pipeline::materialize::count_requests(&mut report.totals, &transport);
    Ok(session.conclude(report))
}

async fn prune_one(
    session: &Session<'_>,
    entry: &RemoteCacheEntry,
    transport: &Transport,
    options: &PruneOptions,
) -> Result<CacheReport, RunError> {
    let policy = policy_of(entry, options);
    let found = blobs_of(entry, transport).await?;
    let listed = listing(entry, &found);
    let Some(policy) = policy else { return Ok(listed) };
    let window = policy.max_age.unwrap_or(USES);
    let (uses, stale) = uses_of(session, entry, transport, window).await?;
    let mut fresh = HashSet::new();
    let blobs: Vec<FoundBlob> = found
        .values()
        .map(|Found { blob, .. }| {
            if session.now.duration_since(blob.modified) < GRACE {
                fresh.insert(blob.digest);
            }
            // When it was last used, for the rule that goes by the dates of files.
            FoundBlob { modified: uses.get(&blob.digest).copied().unwrap_or(blob.modified).max(blob.modified), ..*blob }
        })
        .collect();
    let removals = choose(&blobs, &Records::default(), &policy, &fresh, session.now);
    let (mut removed, mut removed_bytes) = (0, 0);
    let removing = futures::stream::iter(&removals).map(async |removal| {
        let digest = removal.blob.digest;
        let is_removed =
            options.mode == Mode::Pretend || remove(session, entry, transport, &found[&digest].object, digest).await?;
        Ok::<_, RunError>(is_removed.then_some(removal.blob.bytes))
    });
    let mut removing = removing.buffer_unordered(transport.settings().metadata_connections);
    while let Some(bytes) = removing.try_next().await? {
        removed += u64::from(bytes.is_some());
        removed_bytes += bytes.unwrap_or(0);
    }
    if options.mode == Mode::Act {
        delete_all(entry, transport, stale).await?;
    }
    let changed = options.mode == Mode::Act && removed > 0;
    let (bytes, blobs) = (listed.bytes - removed_bytes, listed.blobs - removed);
    Ok(CacheReport { bytes, blobs, removed, removed_bytes, changed, ..listed })
}

/// Remove a blob that is still the one that was listed, and still old.
async fn remove(
    session: &Session<'_>,
    entry: &RemoteCacheEntry,
    transport: &Transport,
    listed: &Listed,
    digest: Sha256Digest,
) -> Result<bool, RunError> {
    let at = remote::blob_location(entry, digest);
    let now = transport.stat(&at).await.map_err(|source| failed(entry, source))?;
    let Some(now) = now else { return Ok(false) };
    // A store that lists without tags answers with one all the same.
    let is_other = now.tag.is_some() && listed.tag.is_some() && now.tag != listed.tag;
    if is_other || session.now.duration_since(now.modified) < GRACE {
        session.inform(&format!("{digest} in cache `{}` was written anew meanwhile: it stays", entry.name));
        return Ok(false);
    }
    transport.delete(&at).await.map_err(|source| failed(entry, source))?;
    Ok(true)
}

/// Remove everything that is larder's below the prefix.
pub(super) async fn empty(
    entry: &RemoteCacheEntry,
    transport: &Transport,
    mode: Mode,
) -> Result<CacheReport, RunError> {
    let found = blobs_of(entry, transport).await?;
    let before = listing(entry, &found);
    if mode == Mode::Act {
        let uses = folder(entry, "uses", transport).await?;
        let uses = uses.iter().filter_map(|object| use_file(object).map(|(_, path)| remote::location(entry, &path)));
        let blobs = found.keys().map(|digest| remote::blob_location(entry, *digest));
        delete_all(entry, transport, blobs.chain(uses).collect()).await?;
    }
    let changed = mode == Mode::Act && before.blobs > 0;
    let (removed, removed_bytes) = (before.blobs, before.bytes);
    Ok(CacheReport { removed, removed_bytes, changed, ..remote::report_of(entry) })
}

async fn delete_all(entry: &RemoteCacheEntry, transport: &Transport, all: Vec<Location>) -> Result<(), RunError> {
    let deletions = futures::stream::iter(&all).map(|at| transport.delete(at));
    let mut deletions = deletions.buffer_unordered(transport.settings().metadata_connections);
    while deletions.try_next().await.map_err(|source| failed(entry, source))?.is_some() {}
    Ok(())
}

/// How many blobs there are, and how large they are together.
pub(super) async fn state_of(entry: &RemoteCacheEntry, transport: &Transport) -> Result<CacheReport, RunError> {
    Ok(listing(entry, &blobs_of(entry, transport).await?))
}

fn listing(entry: &RemoteCacheEntry, found: &HashMap<Sha256Digest, Found>) -> CacheReport {
    let bytes = found.values().map(|found| found.blob.bytes).sum();
    CacheReport { blobs: found.len() as u64, bytes, ..remote::report_of(entry) }
}

/// Every object that has the name of a blob at the place of that blob. What else lies there is somebody else's.
async fn blobs_of(entry: &RemoteCacheEntry, transport: &Transport) -> Result<HashMap<Sha256Digest, Found>, RunError> {
    let objects = folder(entry, "blobs", transport).await?;
    let found = objects.into_iter().filter_map(|object| {
        let digest: Sha256Digest = object.key.rsplit('/').next()?.parse().ok()?;
        object.key.ends_with(&MirrorPath::of_blob(digest).to_string()).then(|| {
            let blob = FoundBlob { digest, bytes: object.bytes, modified: object.modified };
            (digest, Found { blob, object })
        })
    });
    Ok(found.collect())
}

async fn folder(entry: &RemoteCacheEntry, name: &str, transport: &Transport) -> Result<Vec<Listed>, RunError> {
    let at = remote::location(entry, &MirrorPath::new([name]));
    transport.list(&at).await.map_err(|source| failed(entry, source))
}

/// When each blob was last used, by the files of the last `window`; and the files that are older.
async fn uses_of(
    session: &Session<'_>,
    entry: &RemoteCacheEntry,
    transport: &Transport,
    window: Duration,
) -> Result<(HashMap<Sha256Digest, Timestamp>, Vec<Location>), RunError> {
    let mut read = Vec::new();
    let mut stale = Vec::new();
    for object in folder(entry, "uses", transport).await? {
        let Some((day, path)) = use_file(&object) else { continue };
        let at = remote::location(entry, &path);
        let age = Duration::try_from(session.now.duration_since(day)).unwrap_or_default();
        // A day more than the window: the date says nothing of the hour.
        if age > window.saturating_add(Duration::from_secs(24 * 3600)) { stale.push(at) } else { read.push((day, at)) }
    }
    let mut last: HashMap<Sha256Digest, Timestamp> = HashMap::new();
    let ask = |(day, at): (Timestamp, Location)| async move { (day, transport.document(&at).await) };
    let mut answers = futures::stream::iter(read).map(ask).buffer_unordered(transport.settings().metadata_connections);
    while let Some((day, answer)) = answers.next().await {
        // One that can't be read could be what keeps a blob: nothing is removed then. One that makes no sense says nothing.
        let Some(uses) = answer.map_err(|source| failed(entry, source))?.as_deref().and_then(Uses::parse) else {
            continue;
        };
        // Used at the end of that day, if anything: what errs keeps.
        let until = (day + SignedDuration::from_hours(24)).min(session.now);
        for digest in uses.digests {
            let known = last.entry(digest).or_insert(until);
            *known = (*known).max(until);
        }
    }
    Ok((last, stale))
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

/// The command line's bounds, else those of `keep:`; `None` where everything stays.
fn policy_of(entry: &RemoteCacheEntry, options: &PruneOptions) -> Option<Policy> {
    let (max_age, max_size) = match (options.max_age, options.max_size, entry.keep) {
        (None, None, Keep::All) => return None,
        (None, None, Keep::Rules(KeepRules { max_age, max_size, .. })) => (max_age, max_size.map(|Size(size)| size)),
        (max_age, max_size, _) => (max_age, max_size),
    };
    let (max_age, max_bytes) = (max_age.map(MaxAge::as_duration), max_size.map(|size| size.as_u64()));
    Some(Policy { max_age, max_bytes, ..Policy::default() })
}

fn failed(entry: &RemoteCacheEntry, source: crate::transport::TransportError) -> RunError {
    RunError::TeamCache { cache: entry.name.to_string(), source }
}
