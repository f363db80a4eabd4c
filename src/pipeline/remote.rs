//! The caches that a team keeps in an object store: read before the mirrors are, added to after the job.
//!
//! ```text
//! <prefix>/blobs/sha256/ab/abcd…          one object per blob; nothing ever changes one
//! <prefix>/uses/2026-11-24/<name>.json    which blobs a job needed on that day; one object per job
//! ```
//!
//! Only ever adding makes parallel jobs safe without a lock. What comes out of a team cache is hashed like a download: a bad
//! object is named, removed if that is allowed, and the mirror is asked instead. No trouble with a team cache makes a job
//! fail: it is told once, and the job goes on without.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::config::RemoteCacheEntry;
use crate::job::ForTeam;
use crate::pipeline::Session;
use crate::pipeline::error::RunError;
use crate::pipeline::materialize::BlobNeed;
use crate::report::CacheReport;
use crate::store::Cache;
use crate::transport::{
    Limits, Location, NetworkSettings, Order, Partial, Slot, Transport, TransportError, UploadError, Written,
};
use crate::types::{MirrorPath, Sha256Digest};
use crate::verified::Mismatch;
use crate::verified::{Expected, Size, VerifiedBlob};

/// How many blobs are sent at once: each has a part of 16 MiB in memory.
const UPLOADS: usize = 4;

/// The format of the files below `uses/`.
const FORMAT: u64 = 1;

/// The team caches in one run.
pub(crate) struct RemoteCaches<'a> {
    session: &'a Session<'a>,
    /// Its own, so that what is near is not asked as patiently as a mirror is, and its requests are not taken for a mirror's.
    transport: Arc<Transport>,
    caches: Vec<Team<'a>>,
}

struct Team<'a> {
    entry: &'a RemoteCacheEntry,
    /// It made trouble, so it is left alone.
    is_off: AtomicBool,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    read: AtomicU64,
    read_bytes: AtomicU64,
    corrupt: AtomicU64,
    added: AtomicU64,
    added_bytes: AtomicU64,
}

/// A file below `uses/`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Uses {
    version: u64,
    /// The blobs.
    pub digests: Vec<Sha256Digest>,
}

/// What a blob from a team cache is.
pub(crate) struct FromTeam {
    /// Its bytes.
    pub blob: VerifiedBlob,
    /// The cache, as a position in the list of team caches.
    pub cache: usize,
}

/// A cache that holds something of another size than metadata says. That may be the metadata's fault, and a mirror with a false
/// size must not have a good object removed, which others use.
pub(crate) struct Suspect {
    cache: usize,
    error: TransportError,
}

impl<'a> RemoteCaches<'a> {
    /// The caches, to be written to.
    pub fn new(session: &'a Session<'a>) -> Self {
        let transport = Transport::new(Self::settings(session), Limits::default(), &session.variables);
        Self::with(session, transport)
    }

    /// The caches, read within the limits of the transport that asks the mirrors.
    pub fn beside(session: &'a Session<'a>, mirrors: &Transport) -> Self {
        let transport = Transport::new(Self::settings(session), Limits::default(), &session.variables);
        Self::with(session, transport.within_limits_of(mirrors))
    }

    fn settings(session: &Session<'_>) -> NetworkSettings {
        let network = &session.config.network;
        NetworkSettings { retries: network.retries.min(1), ..network.clone() }
    }

    fn with(session: &'a Session<'a>, transport: Transport) -> Self {
        let team = |entry| Team { entry, is_off: AtomicBool::new(false), tally: Tally::default() };
        let caches = session.config.remote_caches.iter().map(team).collect();
        Self { session, transport: Arc::new(transport), caches }
    }

    /// Where a blob is looked for first, if any of the caches is for its mirror.
    pub fn first_place(&self, need: &BlobNeed) -> Option<Location> {
        let team = self.caches.iter().find(|team| team.is_asked_for(need))?;
        Some(blob_location(team.entry, need.blob.expected.digest))
    }

    /// A blob, if one of the caches for its mirror has it whole; else those that hold something of another size. A slot that is
    /// for one of them is used up.
    pub async fn read(
        &self,
        slot: &mut Option<Slot>,
        need: &BlobNeed,
        partial: &Partial,
        advance: &(dyn Fn(i64) + Sync),
    ) -> Result<FromTeam, Vec<Suspect>> {
        let mut suspects = Vec::new();
        let expected = need.blob.expected;
        for (cache, team) in self.caches.iter().enumerate() {
            if !team.is_asked_for(need) {
                continue;
            }
            let at = blob_location(team.entry, expected.digest);
            let slot = self.transport.slot_from(slot.take(), &at).await;
            let order = Order { sources: vec![at.clone()], expected, partial: partial.clone() };
            match self.transport.blob(slot, &order, advance).await {
                Ok(blob) => {
                    add(&team.tally.read, 1);
                    add(&team.tally.read_bytes, blob.verified().bytes());
                    return Ok(FromTeam { blob, cache });
                }
                Err(TransportError::BlobMissing { .. }) => {}
                Err(error @ TransportError::Mismatch { mismatch: Mismatch::WrongDigest { .. }, .. }) => {
                    self.remove_bad(team, need, &error).await;
                }
                Err(error @ (TransportError::Mismatch { .. } | TransportError::WrongSize { .. })) => {
                    suspects.push(Suspect { cache, error });
                }
                Err(error) => self.give_up(team, &error, "the mirrors are asked instead"),
            }
        }
        Err(suspects)
    }

    /// Somebody else sent a blob of the size that these caches did not have: it is they who were wrong.
    pub async fn remove_suspects(&self, need: &BlobNeed, suspects: Vec<Suspect>) {
        for Suspect { cache, error } in suspects {
            self.remove_bad(&self.caches[cache], need, &error).await;
        }
    }

    async fn remove_bad(&self, team: &Team<'_>, need: &BlobNeed, error: &TransportError) {
        let digest = need.blob.expected.digest;
        add(&team.tally.corrupt, 1);
        let removed = self.transport.delete(&blob_location(team.entry, digest)).await.is_ok();
        let verb = if removed { "it was removed" } else { "it could not be removed" };
        let (cache, name) = (&team.entry.name, crate::pipeline::materialize::name_of(need));
        self.session.warn(&format!(
            "cache `{cache}` held a bad blob {digest} of {name}: {error}; {verb}, and the mirror is asked"
        ));
    }

    /// Which cache has something of the right size under a blob's name, and how much. Unread: for `plan` only.
    pub async fn look_for(&self, needs: &[&BlobNeed]) -> HashMap<Sha256Digest, (usize, u64)> {
        let ask = |need: &BlobNeed| {
            let expected = need.blob.expected;
            let asked: Vec<_> = self.caches.iter().enumerate().filter(|(_, team)| team.is_asked_for(need)).collect();
            async move {
                for (cache, team) in asked {
                    match self.transport.stat(&blob_location(team.entry, expected.digest)).await {
                        Ok(Some(object)) if expected.size.allows(object.bytes) => {
                            return Some((expected.digest, (cache, object.bytes)));
                        }
                        Ok(_) => {}
                        Err(error) => self.give_up(team, &error, "it is left out"),
                    }
                }
                None
            }
        };
        let asking = futures::stream::iter(needs.iter().copied()).map(ask);
        let asking = asking.buffer_unordered(self.transport.settings().metadata_connections);
        asking.filter_map(std::future::ready).collect().await
    }

    /// What each cache is to know of this job, by its name. `is_fetched` says of a blob whether a mirror sent it.
    pub fn note(
        &self,
        needs: &[BlobNeed],
        is_fetched: &dyn Fn(Sha256Digest) -> Option<bool>,
    ) -> BTreeMap<String, ForTeam> {
        let note = |team: &Team<'_>| {
            let mut note = ForTeam::default();
            for need in needs.iter().filter(|need| team.entry.matches(&need.mirror.url)) {
                let digest = need.blob.expected.digest;
                let Some(is_fetched) = is_fetched(digest) else { continue };
                note.used.push(digest);
                if is_fetched {
                    note.lacking.push(digest);
                }
            }
            (team.entry.name.to_string(), note)
        };
        self.caches.iter().map(note).collect()
    }

    /// Have everything in `needs` sent that a cache lacks, not only what was fetched: one request each to find out.
    pub async fn note_absent(&self, notes: &mut BTreeMap<String, ForTeam>, needs: &[BlobNeed]) {
        for team in &self.caches {
            let Some(note) = notes.get_mut(team.entry.name.as_str()) else { continue };
            let here: HashSet<Sha256Digest> = note.used.iter().copied().collect();
            let digests = needs.iter().map(|need| need.blob.expected.digest);
            let unsure: Vec<_> = digests.filter(|it| here.contains(it) && !note.lacking.contains(it)).collect();
            let ask = |digest: Sha256Digest| async move {
                if team.is_off.load(Ordering::Relaxed) {
                    return None;
                }
                match self.transport.stat(&blob_location(team.entry, digest)).await {
                    Ok(found) => found.is_none().then_some(digest),
                    Err(error) => {
                        self.give_up(team, &error, "nothing is added to it");
                        None
                    }
                }
            };
            let absent = futures::stream::iter(unsure).map(ask).buffer_unordered(self.transport.settings().connections);
            note.lacking.extend(absent.filter_map(std::future::ready).collect::<Vec<_>>().await);
        }
    }

    /// Send what the caches lack, and tell what was used. What is done is taken out of `notes`. With `patience`, what is not
    /// sent by then is left to the next job that fetches it.
    pub async fn push(
        &self,
        notes: &mut BTreeMap<String, ForTeam>,
        caches: &[Cache],
        patience: Option<Duration>,
    ) -> Result<(), RunError> {
        let end = patience.map(|patience| Instant::now() + patience);
        for team in &self.caches {
            let Some(note) = notes.get_mut(team.entry.name.as_str()) else { continue };
            // Asked to stop, it does so between two parts, and takes the upload back. A part that stalls is left where it is.
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let limit = left.saturating_add(patience.unwrap_or_default() / 10);
            let sending = tokio::time::timeout(limit, self.send(team, note, caches, end));
            if sending.await.is_err() {
                let text =
                    format!("cache `{}` takes no more blobs: what is left is added by a later job", team.entry.name);
                self.session.warn(&text);
            }
            self.session.go_on()?;
            if team.is_off.load(Ordering::Relaxed) || note.used.is_empty() {
                continue;
            }
            let uses = Uses { version: FORMAT, digests: note.used.clone() };
            let bytes = serde_json::to_vec(&uses).unwrap_or_default();
            match self.transport.put(&self.use_location(team.entry), bytes).await {
                Ok(_) => note.used.clear(),
                Err(error) => self.give_up(team, &error, "it does not learn what this job used"),
            }
        }
        Ok(())
    }

    async fn send(&self, team: &Team<'_>, note: &mut ForTeam, caches: &[Cache], end: Option<Instant>) {
        let go_on = || self.session.interrupt.signal().is_none() && end.is_none_or(|end| Instant::now() < end);
        let send_one = |digest: Sha256Digest| async move {
            if team.is_off.load(Ordering::Relaxed) || !go_on() {
                return None;
            }
            let held = caches.iter().find_map(|cache| cache.read(digest).ok().flatten());
            // A folder that was cleaned meanwhile has nothing to give.
            let (file, bytes) = held?;
            let expected = Expected { digest, size: Size::Exactly(bytes) };
            match self.transport.upload(&blob_location(team.entry, digest), file, expected, &go_on).await {
                Ok(Written::New) => {
                    add(&team.tally.added, 1);
                    add(&team.tally.added_bytes, bytes);
                    Some(digest)
                }
                Ok(Written::Existed) => Some(digest),
                Err(UploadError::Blob(error)) => {
                    let name = &team.entry.name;
                    self.session
                        .warn(&format!("{digest} is not added to cache `{name}`: the file here is bad: {error}"));
                    Some(digest)
                }
                Err(UploadError::Stopped) => None,
                Err(UploadError::Transport(error)) => {
                    self.give_up(team, &error, "nothing is added to it");
                    None
                }
            }
        };
        let sending = futures::stream::iter(note.lacking.clone()).map(send_one).buffer_unordered(UPLOADS);
        let done: HashSet<Sha256Digest> = sending.filter_map(std::future::ready).collect().await;
        note.lacking.retain(|digest| !done.contains(digest));
        if !go_on() && !note.lacking.is_empty() {
            let left = note.lacking.len();
            self.session.warn(&format!(
                "{left} blobs were not added to cache `{}` in time: the next job that fetches them adds them",
                team.entry.name
            ));
        }
    }

    /// Tell once what is wrong, and leave the cache alone from now on.
    fn give_up(&self, team: &Team<'_>, error: &TransportError, instead: &str) {
        if !team.is_off.swap(true, Ordering::Relaxed) {
            let mut text = format!("can't use cache `{}`: {error}", team.entry.name);
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                // Writing to a string can't fail.
                let _ = write!(text, ": {error}");
                cause = error.source();
            }
            let hint = miette::Diagnostic::help(error).map(|hint| format!(" ({hint})")).unwrap_or_default();
            self.session.warn(&format!("{text}; {instead}{hint}"));
        }
    }

    /// The name of a cache.
    pub fn name(&self, cache: usize) -> String {
        self.caches[cache].entry.name.to_string()
    }

    /// What happened to each cache.
    pub fn reports(&self) -> impl Iterator<Item = CacheReport> {
        self.caches.iter().map(|team| {
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let Tally { read, read_bytes, corrupt, added, added_bytes } = &team.tally;
            CacheReport {
                read: count(read),
                read_bytes: count(read_bytes),
                corrupt: count(corrupt),
                added: count(added),
                added_bytes: count(added_bytes),
                changed: count(added) + count(corrupt) > 0,
                ..report_of(team.entry)
            }
        })
    }

    /// A name for this job's file that no other job has.
    fn use_location(&self, entry: &RemoteCacheEntry) -> Location {
        let now = self.session.now;
        let day = now.strftime("%Y-%m-%d").to_string();
        let job = self.session.variables.get("CI_JOB_ID").unwrap_or("local");
        let file = format!("{}-{job}-{}.json", now.as_nanosecond(), std::process::id());
        location(entry, &MirrorPath::new(["uses", &day, &file]))
    }
}

impl Team<'_> {
    fn is_asked_for(&self, need: &BlobNeed) -> bool {
        !self.is_off.load(Ordering::Relaxed) && self.entry.matches(&need.mirror.url)
    }
}

impl Uses {
    /// Read a file below `uses/`, which anybody who may write to the cache can have written. A day's use is all that it can
    /// claim.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|uses| uses.version == FORMAT)
    }
}

/// A report of a team cache in which nothing happened.
pub(crate) fn report_of(entry: &RemoteCacheEntry) -> CacheReport {
    CacheReport { name: entry.name.to_string(), url: Some(entry.url.to_string()), ..CacheReport::default() }
}

/// A place in the cache.
pub(crate) fn location(entry: &RemoteCacheEntry, path: &MirrorPath) -> Location {
    Location { url: entry.url.join(path), plain_http: entry.plain_http, access: Arc::clone(&entry.access) }
}

/// Where a blob lies in the cache.
pub(crate) fn blob_location(entry: &RemoteCacheEntry, digest: Sha256Digest) -> Location {
    location(entry, &MirrorPath::of_blob(digest))
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}
