//! Blobs, fetched well: by several connections at once, in stretches, from one mirror or several, and from where an earlier
//! attempt or an earlier run stopped.
//!
//! `slots` says how many connections there may be and who may open the next one, `work` which bytes it fetches, `partial`
//! keeps them and computes the digest, `worker` is one connection. This file brings them together for one blob:
//!
//! 1. The first connection asks for a stretch. If the answer is one (206), others may help as soon as there are free slots; if
//!    it is the whole file (200), it stays alone.
//! 2. A connection that breaks gives the rest of its stretch back. What arrived is not asked for again.
//! 3. When all bytes are there, the digest decides. A mirror whose bytes were wrong is not asked for this blob again in this
//!    run; if there is another one, that one is.

mod bandwidth;
mod crew;
mod partial;
mod slots;
mod work;
mod worker;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(super) use bandwidth::Bandwidth;
pub use partial::Partial;
pub(crate) use partial::journal_of;
pub use slots::Slot;
pub(super) use slots::Slots;

use self::crew::Crew;
use self::partial::GrowingBlob;
use self::slots::Purpose;
use self::work::{MIN_STRETCH, Work};
use super::error::TransportError;
use super::location::Location;
use super::{Transport, body, file, retry};
use crate::verified::{BlobError, Expected, Mismatch, Size, VerifiedBlob};

/// A blob smaller than this is asked for by one plain request: what could be lost of it is not worth a journal.
const SMALL: u64 = 256 << 10;

/// How many portions wait for the disk, at most: bounds the memory of a download on a fast line.
const PORTIONS_IN_FLIGHT: usize = 4;

/// A blob to fetch.
#[derive(Debug)]
pub struct Order {
    /// Where it can be had, the best first. At least one.
    pub sources: Vec<Location>,
    /// What its metadata promises.
    pub expected: Expected,
    /// Where it grows.
    pub partial: Partial,
}

/// What all connections of one blob share.
struct Shared {
    transport: Arc<Transport>,
    expected: Expected,
    work: Mutex<Work>,
    portions: mpsc::Sender<Portion>,
    events: mpsc::UnboundedSender<Event>,
}

/// What the thread that writes is told.
enum Portion {
    /// Bytes that belong at an offset.
    Bytes(u64, Vec<Bytes>),
    /// The file begins again.
    StartOver,
}

/// What the one who waits for the blob is told.
enum Event {
    /// Bytes arrived.
    Advanced(u64),
    /// Those that arrived so far are fetched again.
    StartOver,
    /// Others may help from now on.
    Divisible,
}

/// Why a blob did not come about.
enum Failure {
    /// The bytes are wrong.
    Wrong { mismatch: Mismatch, origin: Origin },
    /// Anything else.
    Other(TransportError),
}

/// Whose bytes were wrong.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    /// Those of the one mirror that was asked.
    OneMirror,
    /// Those of an earlier run, perhaps, or of one of several mirrors.
    Unclear,
}

/// Mirrors that gave wrong bytes, by the URL of the blob: not asked for it again in this run.
pub(super) type WrongSources = Mutex<HashSet<String>>;

impl Transport {
    /// Wait until a blob from there may be started on.
    pub async fn slot(&self, at: &Location) -> Slot {
        self.slots.acquire(&host_of(at), Purpose::Start).await
    }

    /// Go on with a slot if it is for the server that is asked next, else wait for one.
    pub async fn slot_from(&self, slot: Option<Slot>, at: &Location) -> Slot {
        match slot.filter(|slot| slot.is_for(&host_of(at))) {
            Some(slot) => slot,
            None => self.slot(at).await,
        }
    }

    /// Fetch a blob. `progress` is told of every piece that arrives, and of what is taken back (a negative number).
    pub async fn blob(
        self: &Arc<Self>,
        slot: Slot,
        order: &Order,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        let expected = order.expected.capped(self.limits.blob_bytes);
        let mut slot = Some(slot);
        let mut first_error = None;
        let asked = self.remote_together(order, expected);
        let alone = order.sources.iter().map(|source| vec![source]);
        // Together first, if there are several to begin with; then one by one, so that the one that is wrong is known.
        let together = Some(asked).filter(|asked| asked.len() > 1).into_iter();
        for sources in together.chain(alone) {
            let sources: Vec<&Location> = sources.into_iter().filter(|source| !self.is_known_wrong(source)).collect();
            let Some(first) = sources.first() else { continue };
            let slot = match slot.take() {
                Some(slot) => slot,
                None => self.slot(first).await,
            };
            match self.blob_from(slot, &sources, order, expected, progress).await {
                Ok(blob) => return Ok(blob),
                Err(error @ TransportError::Disk { .. }) => return Err(error),
                Err(error) => {
                    tracing::info!("{error}");
                    first_error.get_or_insert(error);
                }
            }
        }
        let missing =
            || TransportError::BlobMissing { url: order.sources.first().map(Location::public).unwrap_or_default() };
        Err(first_error.unwrap_or_else(missing))
    }

    /// The mirrors that share the work of a large blob.
    fn remote_together<'a>(&self, order: &'a Order, expected: Expected) -> Vec<&'a Location> {
        let is_large = matches!(expected.size, Size::Exactly(size) if size >= 4 * MIN_STRETCH);
        let is_remote = |source: &&Location| source.url.scheme() != "file";
        match order.sources.first() {
            Some(first) if is_remote(&first) && is_large && self.settings.several_mirrors => {
                order.sources.iter().filter(is_remote).collect()
            }
            first => first.into_iter().collect(),
        }
    }

    async fn blob_from(
        self: &Arc<Self>,
        slot: Slot,
        sources: &[&Location],
        order: &Order,
        expected: Expected,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        let first = sources[0];
        if first.url.scheme() == "file" {
            return self.copy(first, order, expected, progress).await;
        }
        if matches!(expected.size, Size::Exactly(size) if size < SMALL) {
            let blob = self.small_blob(slot, first, order, expected, progress).await;
            return blob.inspect_err(|error| self.remember(first, error));
        }
        // At most twice: bytes of an earlier run that are wrong say nothing of the mirror.
        let mut slot = Some(slot);
        loop {
            let slot = match slot.take() {
                Some(slot) => slot,
                None => self.slot(first).await,
            };
            match self.grow(slot, sources, order, expected, progress).await {
                Ok(blob) => return Ok(blob),
                Err(Failure::Wrong { origin: Origin::Unclear, .. }) if sources.len() == 1 => {
                    tracing::info!("what an earlier run left of `{}` is wrong; it is fetched anew", first.public());
                }
                Err(Failure::Wrong { mismatch, .. }) => {
                    let error = TransportError::Mismatch { url: first.public(), mismatch };
                    if sources.len() == 1 {
                        self.remember(first, &error);
                    }
                    return Err(error);
                }
                Err(Failure::Other(error)) => {
                    if sources.len() == 1 {
                        self.remember(first, &error);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Fetch by as many connections as there are free.
    async fn grow(
        self: &Arc<Self>,
        slot: Slot,
        sources: &[&Location],
        order: &Order,
        expected: Expected,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, Failure> {
        let url = &sources[0].url;
        let staging = match &order.partial {
            Partial::Kept(path) | Partial::Scratch(path) => path.clone(),
        };
        let disk = |source| Failure::Other(TransportError::Disk { url: url.into(), staging: staging.clone(), source });
        let opened = || GrowingBlob::open(&order.partial, expected).map(|mut blob| (blob.whole(), blob));
        let (whole, blob) = tokio::task::block_in_place(opened).map_err(disk)?;
        let resumed = blob.resumed();
        self.counters.resumed_bytes.add(resumed);
        let size = match expected.size {
            Size::Exactly(size) => Some(size),
            Size::AtMost(_) => whole,
        };
        let work = Work::new(size, expected.size.limit(), blob.arrived(), self.settings.connections);
        let (portions, waiting) = mpsc::channel(PORTIONS_IN_FLIGHT);
        let (events, mut heard) = mpsc::unbounded_channel();
        let mut counted = 0;
        let mut count = |change: Event| {
            let change = match change {
                Event::Advanced(bytes) => i64::try_from(bytes).unwrap_or(0),
                Event::StartOver => -counted,
                Event::Divisible => 0,
            };
            counted += change;
            progress(change);
        };
        count(Event::Advanced(resumed));
        let writer = tokio::task::spawn_blocking(move || write(blob, waiting));
        let transport = Arc::clone(self);
        let shared = Arc::new(Shared { transport, expected, work: Mutex::new(work), portions, events });
        let mut crew = Crew::new(&shared, sources);
        crew.start(0, slot);
        let ended = crew.work(&mut heard, &mut count).await;
        let origin = if resumed == 0 && crew.contributors() <= 1 { Origin::OneMirror } else { Origin::Unclear };
        drop(crew);
        let size = shared.work().size();
        // Hangs up on the writer, which then ends.
        drop(shared);
        while let Ok(event) = heard.try_recv() {
            count(event);
        }
        let finished = finish(writer, ended, size).await;
        finished.map_err(|error| {
            count(Event::StartOver);
            match error {
                Unfinished::Transport(error) => Failure::Other(error),
                Unfinished::Blob(BlobError::Io(source)) => disk(source),
                Unfinished::Blob(BlobError::Mismatch(mismatch)) => Failure::Wrong { mismatch, origin },
            }
        })
    }

    async fn copy(
        &self,
        at: &Location,
        order: &Order,
        expected: Expected,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        self.counters.request();
        let counted = AtomicU64::new(0);
        let blob = file::blob(&at.url, expected, order.partial.folder(), &advance(&counted, progress)).await;
        blob.inspect_err(|error| {
            take_back(&counted, progress);
            self.remember(at, error);
        })
    }

    /// One request, repeated where that may help. One that is refused for being one too many waits for its turn again, which
    /// is no failure: the slot that it is given then is one of fewer.
    async fn small_blob(
        &self,
        mut slot: Slot,
        at: &Location,
        order: &Order,
        expected: Expected,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        loop {
            let attempt = || async {
                self.counters.request();
                let counted = AtomicU64::new(0);
                let verified = async {
                    let body = self.open(at, None, crate::transport::purpose::Purpose::Blob).await?;
                    let body = body.ok_or_else(|| TransportError::BlobMissing { url: at.public() })?;
                    let folder = order.partial.folder();
                    body::verify(&self.settings, &at.url, body, expected, folder, &advance(&counted, progress)).await
                };
                match body::within_total(self.settings.total_timeout, &at.url, verified).await {
                    Ok(blob) => {
                        if let Some(bandwidth) = &self.bandwidth {
                            // All at once is as good as piece by piece for what is so small.
                            bandwidth.wait_for(usize::try_from(blob.verified().bytes()).unwrap_or(0)).await;
                        }
                        Ok(Some(blob))
                    }
                    Err(error) => {
                        take_back(&counted, progress);
                        if error.is_overload() && slot.is_one_too_many() { Ok(None) } else { Err(error) }
                    }
                }
            };
            if let Some(blob) = retry::retry(&self.settings, attempt).await? {
                return Ok(blob);
            }
            drop(slot);
            slot = self.slot(at).await;
        }
    }

    fn remember(&self, source: &Location, error: &TransportError) {
        if let TransportError::Mismatch { .. } | TransportError::WrongSize { .. } = error {
            self.wrong_sources.lock().unwrap_or_else(PoisonError::into_inner).insert(source.url.to_string());
        }
    }

    fn is_known_wrong(&self, source: &Location) -> bool {
        self.wrong_sources.lock().unwrap_or_else(PoisonError::into_inner).contains(source.url.as_str())
    }
}

impl Partial {
    /// A folder for files without a future.
    pub(super) fn folder(&self) -> &std::path::Path {
        match self {
            Self::Scratch(folder) => folder,
            Self::Kept(path) => path.parent().unwrap_or(path),
        }
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Unfinished {
    Transport(TransportError),
    Blob(BlobError),
}

/// Wait for the writer, which has the last word.
async fn finish(
    writer: JoinHandle<Result<GrowingBlob, BlobError>>,
    ended: Result<(), Option<TransportError>>,
    size: Option<u64>,
) -> Result<VerifiedBlob, Unfinished> {
    let written = writer.await.unwrap_or_else(|panic| Err(BlobError::Io(std::io::Error::other(panic))));
    match (ended, written) {
        (_, Err(error)) => Err(Unfinished::Blob(error)),
        (Err(Some(error)), _) => Err(Unfinished::Transport(error)),
        (_, Ok(blob)) => {
            let size = size.unwrap_or_default();
            tokio::task::block_in_place(|| blob.finish(size)).map_err(Unfinished::Blob)
        }
    }
}

/// Write and hash, on a thread that may block.
fn write(mut blob: GrowingBlob, mut portions: mpsc::Receiver<Portion>) -> Result<GrowingBlob, BlobError> {
    let mut is_behind = false;
    loop {
        // What waits comes first, so that no connection stands still for what can be hashed later.
        let portion = match portions.try_recv() {
            Ok(portion) => Some(portion),
            Err(_) if is_behind => {
                is_behind = blob.catch_up()?;
                continue;
            }
            Err(_) => portions.blocking_recv(),
        };
        match portion {
            None => return Ok(blob),
            Some(Portion::StartOver) => blob.start_over()?,
            Some(Portion::Bytes(offset, pieces)) => {
                blob.take(offset, &pieces)?;
                is_behind = true;
            }
        }
    }
}

/// Tells of pieces, and counts them.
fn advance<'a>(counted: &'a AtomicU64, progress: &'a (dyn Fn(i64) + Sync)) -> impl Fn(usize) + Sync + 'a {
    move |bytes| {
        counted.fetch_add(bytes as u64, Ordering::Relaxed);
        progress(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// What was told was too early.
fn take_back(counted: &AtomicU64, progress: &(dyn Fn(i64) + Sync)) {
    progress(-i64::try_from(counted.load(Ordering::Relaxed)).unwrap_or(0));
}

/// What slots are shared by: a server, or a bucket.
fn host_of(at: &Location) -> String {
    at.url[..url::Position::BeforePath].to_owned()
}
