//! Blobs, fetched well: by several connections at once, in stretches, from one mirror or several, and from where an earlier
//! attempt or an earlier run stopped.
//!
//! `permits` says how many connections there may be and which blob may open the next one, `ranges` which bytes it fetches,
//! `partial` keeps them and computes the digest on the thread of `writer`, `connection` is one connection, and `scheduler`
//! looks after all connections of one blob. This file says which mirrors are asked:
//!
//! 1. The first connection asks for a stretch. If the answer is one (206), others may help as soon as there are free permits;
//!    if it is the whole file (200), it stays alone.
//! 2. A connection that breaks gives the rest of its stretch back. What arrived is not asked for again.
//! 3. When all bytes are there, the digest decides. A mirror whose bytes were wrong is not asked for this blob again in this
//!    run; if there is another one, that one is.

mod attempt;
mod bandwidth;
mod connection;
mod partial;
mod permits;
mod progress;
mod ranges;
mod scheduler;
mod writer;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use url::Url;

pub use self::partial::Partial;
pub(crate) use self::partial::journal_of;
pub use self::permits::Permit;

use self::attempt::Attempt;
use self::bandwidth::Bandwidth;
use self::connection::Source;
use self::partial::GrowingBlob;
use self::permits::{Permits, Priority};
use self::progress::Progress;
use self::ranges::Ranges;
use super::error::TransportError;
use super::file;
use super::location::Location;
use super::servers::Servers;
use crate::verified::{BlobError, Expected, Mismatch, Size, VerifiedBlob};

/// A blob smaller than this is asked for as a whole: what could be lost of it is not worth a journal.
const SMALL: u64 = 256 << 10;

/// How many portions wait for the disk, at most: bounds the memory of a download on a fast line.
const PORTIONS_IN_FLIGHT: usize = 4;

/// How often the progress of a blob is told.
const LOOK: Duration = Duration::from_millis(50);

/// A blob to fetch.
#[derive(Debug)]
pub struct FetchRequest {
    /// Where it can be had, the best first. At least one.
    pub sources: Vec<Location>,
    /// What its metadata promises.
    pub expected: Expected,
    /// Where it grows.
    pub partial: Partial,
}

/// Downloads of blobs, within limits that they share.
#[derive(Clone, Debug)]
pub(super) struct Downloads {
    servers: Arc<Servers>,
    permits: Arc<Permits>,
    bandwidth: Option<Arc<Bandwidth>>,
    /// Mirrors that gave wrong bytes, by the URL of the blob: not asked for it again in this run.
    wrong_sources: Arc<Mutex<HashSet<Url>>>,
    /// The most bytes of a blob.
    limit: u64,
}

impl Downloads {
    pub(super) fn new(servers: Arc<Servers>, limit: u64) -> Self {
        let permits = Permits::new(servers.settings.connections);
        let bandwidth = servers.settings.bandwidth.map(|rate| Arc::new(Bandwidth::new(rate)));
        Self { servers, permits, bandwidth, wrong_sources: Arc::default(), limit }
    }

    pub(super) fn share_limits_of(&mut self, other: &Self) {
        (self.permits, self.bandwidth) = (Arc::clone(&other.permits), other.bandwidth.clone());
    }

    /// The permit that is there if it is for this server, else another one, when its turn has come.
    pub(super) async fn permit(&self, held: Option<Permit>, at: &Location) -> Permit {
        let server = at.server();
        match held.filter(|permit| permit.is_for(&server)) {
            Some(permit) => permit,
            None => self.permits.acquire(&server, Priority::Start).await,
        }
    }

    /// Fetch a blob, in a task of its own: where one blocks, the others go on.
    pub(super) async fn blob(
        &self,
        permit: Permit,
        request: FetchRequest,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        let (downloads, arrived) = (self.clone(), Arc::new(Progress::default()));
        let counter = Arc::clone(&arrived);
        // Dropped with this future, it ends the task.
        let mut task = JoinSet::from_iter([async move { downloads.ask_in_turn(permit, &request, &counter).await }]);
        let mut told = 0;
        loop {
            let ended = tokio::time::timeout(LOOK, task.join_next()).await;
            match arrived.change_since(&mut told) {
                0 => {}
                change => progress(change),
            }
            match ended {
                Ok(Some(Ok(fetched))) => return fetched,
                Ok(Some(Err(panic))) => std::panic::resume_unwind(panic.into_panic()),
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Ask one mirror after the other, until one has the blob.
    async fn ask_in_turn(
        &self,
        permit: Permit,
        request: &FetchRequest,
        progress: &Arc<Progress>,
    ) -> Result<VerifiedBlob, TransportError> {
        let expected = request.expected.capped(self.limit);
        let mut permit = Some(permit);
        let mut first_error = None;
        for source in request.sources.iter().filter(|source| !self.is_known_wrong(source)) {
            let permit = self.permit(permit.take(), source).await;
            match self.ask(permit, source, request, expected, progress).await {
                Ok(blob) => return Ok(blob),
                Err(error @ TransportError::Disk { .. }) => return Err(error),
                Err(error) => {
                    tracing::info!("{error}");
                    first_error.get_or_insert(error);
                }
            }
        }
        let url = request.sources.first().map(Location::public).unwrap_or_default();
        Err(first_error.unwrap_or(TransportError::BlobMissing { url }))
    }

    /// Fetch the blob from this mirror.
    async fn ask(
        &self,
        permit: Permit,
        source: &Location,
        request: &FetchRequest,
        expected: Expected,
        progress: &Arc<Progress>,
    ) -> Result<VerifiedBlob, TransportError> {
        let folder = request.partial.folder();
        let fetched = if source.is_file() {
            let advance = |bytes| progress.advance(bytes as u64);
            self.servers.counters.request();
            let copied = tokio::task::block_in_place(|| file::blob(&source.url, expected, folder, &advance));
            // A task that was aborted meanwhile ends here: it must not go on to set a timer in a runtime that shuts down.
            tokio::task::yield_now().await;
            drop(permit);
            copied
        } else if matches!(expected.size, Size::Exactly(size) if size < SMALL) {
            self.grow(permit, source, &Partial::Scratch(folder.to_owned()), expected, progress).await
        } else {
            self.grow(permit, source, &request.partial, expected, progress).await
        };
        fetched.inspect_err(|error| {
            self.remember(source, error);
            progress.take_back();
        })
    }

    /// Fetch by as many connections as there are free, and once more if what an earlier run left was wrong: that says nothing
    /// of the mirror.
    async fn grow(
        &self,
        permit: Permit,
        source: &Location,
        partial: &Partial,
        expected: Expected,
        progress: &Arc<Progress>,
    ) -> Result<VerifiedBlob, TransportError> {
        let failed = |error: BlobError| TransportError::of_blob(error, &source.url, partial.path());
        let open = || {
            let partial = partial.clone();
            on_own_thread(move || Ok(GrowingBlob::open(&partial, expected)?))
        };
        let blob = open().await.map_err(failed)?;
        let goes_on = blob.resumed() > 0;
        match self.grow_once(permit, source, blob, expected, progress, failed).await {
            Err(TransportError::Mismatch { mismatch: Mismatch::WrongDigest { .. }, url }) if goes_on => {
                tracing::info!("what an earlier run left of `{url}` is wrong; it is fetched anew");
                progress.take_back();
                let permit = self.permit(None, source).await;
                self.grow_once(permit, source, open().await.map_err(failed)?, expected, progress, failed).await
            }
            grown => grown,
        }
    }

    async fn grow_once(
        &self,
        permit: Permit,
        source: &Location,
        blob: GrowingBlob,
        expected: Expected,
        progress: &Arc<Progress>,
        failed: impl Fn(BlobError) -> TransportError,
    ) -> Result<VerifiedBlob, TransportError> {
        self.servers.counters.resumed_bytes.add(blob.resumed());
        progress.advance(blob.resumed());
        let connections = self.servers.settings.connections;
        let ranges = Mutex::new(Ranges::new(blob.size(), expected.size.limit(), blob.arrived(), connections));
        let (portions, waiting) = mpsc::channel(PORTIONS_IN_FLIGHT);
        let writer = on_own_thread(move || writer::write(blob, waiting));
        let (servers, bandwidth, is_divisible) = (Arc::clone(&self.servers), self.bandwidth.clone(), Notify::new());
        let progress = Arc::clone(progress);
        let attempt = Arc::new(Attempt { servers, bandwidth, expected, portions, progress, is_divisible, ranges });
        let ended = scheduler::run(&attempt, Source::new(source), &self.permits, permit).await;
        let size = attempt.ranges().size().unwrap_or_default();
        // Hangs up on the writer, which then ends, and has the last word.
        drop(attempt);
        let mut blob = writer.await.map_err(&failed)?;
        ended?;
        // Apart from the end, so that a task that is aborted meanwhile leaves the blob to the next run.
        let hashed = on_own_thread(move || blob.hash_what_arrived().map(|()| blob)).await;
        hashed.and_then(|blob| blob.finish(size)).map_err(failed)
    }

    fn remember(&self, source: &Location, error: &TransportError) {
        if let TransportError::Mismatch { .. } | TransportError::WrongSize { .. } = error {
            self.wrong_sources.lock().unwrap_or_else(PoisonError::into_inner).insert(source.url.clone());
        }
    }

    fn is_known_wrong(&self, source: &Location) -> bool {
        self.wrong_sources.lock().unwrap_or_else(PoisonError::into_inner).contains(&source.url)
    }
}

/// Start work that blocks on a thread of its own. To block in a task would move the runtime to another thread each time, whose
/// memory starts cold.
fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> impl Future<Output = Result<T, BlobError>> {
    let started = tokio::task::spawn_blocking(work);
    async { started.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic).into())) }
}
