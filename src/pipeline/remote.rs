//! Remote caches in a run: read before the mirrors are, added to after the job. Their layout is in [`crate::store::RemoteCache`].
//!
//! Only ever adding makes parallel jobs safe without a lock. What comes out of a remote cache is hashed like a download: a bad
//! object is named, removed if that is allowed, and the mirror is asked instead. No trouble with a remote cache makes a job
//! fail: it is told once, and the job goes on without.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::error::RunError;
use super::needed::{BlobNeed, Obtained};
use super::session::Session;
use super::stores;
use crate::job::ForRemote;
use crate::report::CacheReport;
use crate::store::{Cache, RemoteCache, Uses};
use crate::transport::{
    FetchRequest, Listed, Location, NetworkSettings, Partial, Permit, Transport, TransportError, UploadError, Written,
};
use crate::types::Sha256Digest;
use crate::verified::{Expected, Mismatch, Size, VerifiedBlob};

/// How many blobs are sent at once: each has a part of 16 MiB in memory.
const UPLOADS: usize = 4;

/// The remote caches in one run.
pub(crate) struct RemoteCaches<'a> {
    session: &'a Session<'a>,
    /// Its own, so that what is near is not asked as patiently as a mirror is, and its requests are not taken for a mirror's.
    transport: Arc<Transport>,
    caches: Vec<Remote<'a>>,
}

/// A remote cache, and what happened to it.
struct Remote<'a> {
    cache: RemoteCache<'a>,
    /// It made trouble, so it is left alone.
    is_off: AtomicBool,
    report: Mutex<CacheReport>,
}

/// A cache that holds something of another size than metadata says. That may be the metadata's fault, and a mirror with a false
/// size must not have a good object removed, which others use.
pub(crate) struct Suspect {
    cache: usize,
    error: TransportError,
}

impl<'a> RemoteCaches<'a> {
    /// The caches. Those that are read are within the limits of the transport that asks the mirrors.
    pub fn new(session: &'a Session<'a>, mirrors: Option<&Transport>) -> Self {
        let network = &session.config.network;
        let own = session.transport_with(NetworkSettings { retries: network.retries.min(1), ..network.clone() });
        let transport = Arc::new(match mirrors {
            Some(mirrors) => own.within_limits_of(mirrors),
            None => own,
        });
        let remote = |cache: RemoteCache<'a>| {
            let report = Mutex::new(cache.report());
            Remote { cache, is_off: AtomicBool::new(false), report }
        };
        let caches = stores::remotes(session, &transport).into_iter().map(remote).collect();
        Self { session, transport, caches }
    }

    /// Where a blob is looked for first, if any of the caches is for its mirror.
    pub fn first_place(&self, need: &BlobNeed) -> Option<Location> {
        let remote = self.caches.iter().find(|remote| remote.is_asked_for(need))?;
        Some(remote.cache.blob_location(need.blob.expected.digest))
    }

    /// A blob, if one of the caches for its mirror has it whole; else those that hold something of another size. A permit that is
    /// for one of them is used up.
    pub async fn read(
        &self,
        permit: &mut Option<Permit>,
        need: &BlobNeed,
        partial: &Partial,
        advance: &(dyn Fn(i64) + Sync),
    ) -> Result<(VerifiedBlob, usize), Vec<Suspect>> {
        let mut suspects = Vec::new();
        let expected = need.blob.expected;
        for (cache, remote) in self.caches.iter().enumerate() {
            if !remote.is_asked_for(need) {
                continue;
            }
            let at = remote.cache.blob_location(expected.digest);
            let permit = self.transport.permit_from(permit.take(), &at).await;
            let request = FetchRequest { sources: vec![at.clone()], expected, partial: partial.clone() };
            match self.transport.blob(permit, request, advance).await {
                Ok(blob) => {
                    remote.count(|report| {
                        report.read += 1;
                        report.read_bytes += blob.verified().bytes();
                    });
                    return Ok((blob, cache));
                }
                Err(TransportError::BlobMissing { .. }) => {}
                Err(error @ TransportError::Mismatch { mismatch: Mismatch::WrongDigest { .. }, .. }) => {
                    self.remove_bad(remote, need, &error).await;
                }
                Err(error @ (TransportError::Mismatch { .. } | TransportError::WrongSize { .. })) => {
                    suspects.push(Suspect { cache, error });
                }
                Err(error) => self.give_up(remote, &error, "the mirrors are asked instead"),
            }
        }
        Err(suspects)
    }

    /// Another source sent a blob of the size that these caches did not have: they were wrong.
    pub async fn remove_suspects(&self, need: &BlobNeed, suspects: Vec<Suspect>) {
        for Suspect { cache, error } in suspects {
            self.remove_bad(&self.caches[cache], need, &error).await;
        }
    }

    async fn remove_bad(&self, remote: &Remote<'_>, need: &BlobNeed, error: &TransportError) {
        let digest = need.blob.expected.digest;
        remote.count(|report| report.corrupt += 1);
        let removed = self.transport.delete(&remote.cache.blob_location(digest)).await.is_ok();
        let verb = if removed { "it was removed" } else { "it could not be removed" };
        self.session.warn(&format!(
            "{} held a bad blob {digest} of {}: {error}; {verb}, and the mirror is asked",
            remote.cache,
            need.title()
        ));
    }

    /// Which cache has something of the right size under a blob's name, and how much. Unread: for `plan` only.
    pub async fn look_for(&self, needs: &[&BlobNeed]) -> HashMap<Sha256Digest, (usize, u64)> {
        let ask = async |need: &&BlobNeed| {
            let expected = need.blob.expected;
            for (cache, remote) in self.caches.iter().enumerate() {
                if remote.cache.entry.prefixes.matches(&need.mirror.url)
                    && let Some(Some(object)) = self.stat(remote, expected.digest, "it is left out").await
                    && expected.size.allows(object.bytes)
                {
                    return Some((expected.digest, (cache, object.bytes)));
                }
            }
            None
        };
        let asking = futures::stream::iter(needs).map(ask);
        let asking = asking.buffer_unordered(self.transport.settings().metadata_connections);
        asking.filter_map(std::future::ready).collect().await
    }

    /// What lies under a blob's name, unread. `None` where the cache is not asked any more; what happens `instead` is told when it
    /// makes trouble.
    async fn stat(&self, remote: &Remote<'_>, digest: Sha256Digest, instead: &str) -> Option<Option<Listed>> {
        if remote.is_off.load(Ordering::Relaxed) {
            return None;
        }
        let found = self.transport.stat(&remote.cache.blob_location(digest)).await;
        found.map_err(|error| self.give_up(remote, &error, instead)).ok()
    }

    /// What each cache is to know of this job, by its name.
    pub fn note(&self, needs: &[BlobNeed], obtained: &Obtained) -> BTreeMap<String, ForRemote> {
        let note = |remote: &Remote<'_>| {
            let needs = needs.iter().filter(|need| remote.cache.entry.prefixes.matches(&need.mirror.url));
            let held = needs.filter_map(|need| obtained.blobs.get(&need.blob.expected.digest));
            let lacking = held.clone().filter(|held| held.fetched).map(|held| held.blob.digest()).collect();
            let note = ForRemote { used: held.map(|held| held.blob.digest()).collect(), lacking };
            (remote.cache.entry.name.to_string(), note)
        };
        self.caches.iter().map(note).collect()
    }

    /// Have everything that this job used sent that a cache lacks, not only what was fetched: one request each to find out.
    pub async fn note_absent(&self, notes: &mut BTreeMap<String, ForRemote>) {
        for remote in &self.caches {
            let Some(note) = notes.get_mut(remote.cache.entry.name.as_str()) else { continue };
            let known: HashSet<Sha256Digest> = note.lacking.iter().copied().collect();
            let unsure = note.used.iter().copied().filter(|digest| !known.contains(digest));
            let ask = async |digest| match self.stat(remote, digest, "nothing is added to it").await {
                Some(None) => Some(digest),
                Some(Some(_)) | None => None,
            };
            let absent = futures::stream::iter(unsure).map(ask).buffer_unordered(self.transport.settings().connections);
            note.lacking.extend(absent.filter_map(std::future::ready).collect::<Vec<_>>().await);
        }
    }

    /// Send what the caches lack, and tell what was used. What is done is taken out of `notes`. With `patience`, what is not
    /// sent by then is left to the next job that fetches it.
    pub async fn push(
        &self,
        notes: &mut BTreeMap<String, ForRemote>,
        caches: &[Cache],
        patience: Option<Duration>,
    ) -> Result<(), RunError> {
        let end = patience.map(|patience| Instant::now() + patience);
        for remote in &self.caches {
            let Some(note) = notes.get_mut(remote.cache.entry.name.as_str()) else { continue };
            // Asked to stop, it does so between two parts, and takes the upload back. A part that stalls is left where it is.
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let limit = left.saturating_add(patience.unwrap_or_default() / 10);
            let sending = tokio::time::timeout(limit, self.send(remote, note, caches, end));
            if sending.await.is_err() {
                self.session
                    .warn(&format!("{} takes no more blobs: what is left is added by a later job", remote.cache));
            }
            self.session.stop_if_asked()?;
            if remote.is_off.load(Ordering::Relaxed) || note.used.is_empty() {
                continue;
            }
            let bytes = serde_json::to_vec(&Uses::new(note.used.clone())).unwrap_or_default();
            let job = self.session.variables.get("CI_JOB_ID").unwrap_or("local");
            let at = remote.cache.use_location(job, self.session.now);
            match self.transport.put(&at, bytes).await {
                Ok(_) => note.used.clear(),
                Err(error) => self.give_up(remote, &error, "it does not learn what this job used"),
            }
        }
        Ok(())
    }

    async fn send(&self, remote: &Remote<'_>, note: &mut ForRemote, caches: &[Cache], end: Option<Instant>) {
        let go_on = || self.session.interrupt.signal().is_none() && end.is_none_or(|end| Instant::now() < end);
        let send_one = async |digest: Sha256Digest| {
            if remote.is_off.load(Ordering::Relaxed) || !go_on() {
                return None;
            }
            // A folder that was cleaned meanwhile has nothing to give.
            let (file, bytes) = caches.iter().find_map(|cache| cache.read(digest).ok().flatten())?;
            let expected = Expected { digest, size: Size::Exactly(bytes) };
            match self.transport.upload(&remote.cache.blob_location(digest), file, expected, &go_on).await {
                Ok(Written::New) => {
                    remote.count(|report| {
                        report.added += 1;
                        report.added_bytes += bytes;
                    });
                    Some(digest)
                }
                Ok(Written::Existed) => Some(digest),
                Err(UploadError::Blob(error)) => {
                    self.session
                        .warn(&format!("{digest} is not added to {}: the file here is bad: {error}", remote.cache));
                    Some(digest)
                }
                Err(UploadError::Stopped) => None,
                Err(UploadError::Transport(error)) => {
                    self.give_up(remote, &error, "nothing is added to it");
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
                "{left} blobs were not added to {} in time: the next job that fetches them adds them",
                remote.cache
            ));
        }
    }

    /// Tell once what is wrong, and leave the cache alone from now on.
    fn give_up(&self, remote: &Remote<'_>, error: &TransportError, instead: &str) {
        if !remote.is_off.swap(true, Ordering::Relaxed) {
            let first: &dyn std::error::Error = error;
            let chain = std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string);
            let chain = chain.collect::<Vec<_>>().join(": ");
            let hint = miette::Diagnostic::help(error).map(|hint| format!(" ({hint})")).unwrap_or_default();
            self.session.warn(&format!("can't use {}: {chain}; {instead}{hint}", remote.cache));
        }
    }

    /// The name of a cache.
    pub fn name(&self, cache: usize) -> String {
        self.caches[cache].cache.entry.name.to_string()
    }

    /// What happened to each cache.
    pub fn reports(&self) -> impl Iterator<Item = CacheReport> {
        self.caches.iter().map(|remote| {
            let report = remote.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
            CacheReport { changed: report.added + report.corrupt > 0, ..report }
        })
    }
}

impl Remote<'_> {
    fn is_asked_for(&self, need: &BlobNeed) -> bool {
        !self.is_off.load(Ordering::Relaxed) && self.cache.entry.prefixes.matches(&need.mirror.url)
    }

    fn count(&self, change: impl FnOnce(&mut CacheReport)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
