//! One connection: takes stretches of a blob until nothing is left for it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use backon::BackoffBuilder as _;
use bytes::Bytes;
use futures::StreamExt as _;

use super::work::StretchId;
use super::{Event, Portion, Shared, Slot};
use crate::transport::body::{Body, Extent, Part, Tag, within_idle, within_total};
use crate::transport::error::TransportError;
use crate::transport::location::Location;
use crate::transport::purpose::Purpose;
use crate::transport::retry::{backoff, pause_after};
use crate::verified::{Mismatch, Size};

/// How many bytes are handed to the writer at once: each portion is one entry of the journal, and what is not yet handed over
/// is lost if larder is killed.
const PORTION: usize = 256 << 10;

/// An attempt that brought this much was not in vain: the next failure is counted as the first.
const PROGRESS: u64 = 1 << 20;

/// A place where the blob can be had.
#[derive(Debug)]
pub(super) struct Source {
    /// Where.
    pub location: Location,
    tag: Mutex<Option<Tag>>,
    has_contributed: AtomicBool,
}

/// A connection.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    pub source: Arc<Source>,
    pub slot: Slot,
}

/// Why a connection was given up.
pub(super) enum Ended {
    /// Nothing is left for it.
    Done,
    /// There is no use in asking this source again.
    Failed(TransportError),
    /// The bytes can't be kept, or are wrong already: the writer knows why.
    WriterIsGone,
}

/// Bytes that follow each other, on their way to the writer.
#[derive(Default)]
struct Collected {
    offset: u64,
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Collected {
    fn add(&mut self, offset: u64, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.pieces.is_empty() {
            self.offset = offset;
        }
        self.bytes += piece.len();
        self.pieces.push(piece);
    }
}

/// How a stretch ended.
enum Fetched {
    Complete,
    WriterIsGone,
    /// The source sends whole files only, and others fetch stretches: it is of no help.
    OfNoHelp,
}

impl Source {
    pub(super) fn new(location: Location) -> Self {
        Self { location, tag: Mutex::default(), has_contributed: AtomicBool::new(false) }
    }

    pub(super) fn has_contributed(&self) -> bool {
        self.has_contributed.load(Ordering::Relaxed)
    }

    fn tag(&self) -> Option<Tag> {
        self.tag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All answers must be of one state of the file.
    fn is_unchanged(&self, body: &Body) -> bool {
        let mut known = self.tag.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &body.tag) {
            (Some(known), Some(tag)) => known == tag,
            (None, Some(tag)) => {
                *known = Some(tag.clone());
                true
            }
            (_, None) => true,
        }
    }
}

impl Worker {
    pub(super) async fn run(self) -> Ended {
        let settings = &self.shared.transport.settings;
        let mut pauses = backoff(settings).build();
        loop {
            let taken = self.shared.work().take(Instant::now());
            let Some((id, range)) = taken else { return Ended::Done };
            let url = &self.source.location.url;
            let before = range.start;
            let fetched = within_total(settings.total_timeout, url, self.fetch(id, range)).await;
            let brought = {
                let mut work = self.shared.work();
                // What a server sends from the beginning each time is not brought for good.
                let is_lasting = !work.is_one_stream();
                let brought = work.advance(id, 0).0.saturating_sub(before);
                work.give_back(id, Instant::now());
                if is_lasting { brought } else { 0 }
            };
            if brought >= PROGRESS {
                pauses = backoff(settings).build();
            }
            match fetched {
                Ok(Fetched::Complete) => pauses = backoff(settings).build(),
                Ok(Fetched::WriterIsGone) => return Ended::WriterIsGone,
                Ok(Fetched::OfNoHelp) => return Ended::Done,
                Err(error) if !error.is_transient() => return Ended::Failed(error),
                // Others get on: that is a limit of the server's, not a failure.
                Err(error) if error.is_overload() && self.slot.is_one_too_many() => return Ended::Done,
                Err(error) => {
                    let Some(pause) = pause_after(&error, pauses.next()) else { return Ended::Failed(error) };
                    tracing::info!("{error}; trying again in {:.1} s", pause.as_secs_f64());
                    tokio::time::sleep(pause).await;
                }
            }
            // Somebody waits to start on a blob of his own, and others go on with this one.
            if self.slot.is_wanted() && !self.shared.work().is_alone() {
                return Ended::Done;
            }
        }
    }

    /// Fetch one stretch.
    async fn fetch(&self, id: StretchId, range: Range<u64>) -> Result<Fetched, TransportError> {
        let (transport, location) = (&self.shared.transport, &self.source.location);
        transport.counters.request();
        let is_everything = range.start == 0 && self.shared.work().size() == Some(range.end);
        let part = (!is_everything).then(|| Part { range, tag: self.source.tag() });
        let opened = match transport.open(location, part.as_ref(), Purpose::Blob).await {
            // An empty file has no first byte to ask for.
            Err(TransportError::Status { status, .. }) if status == 416 && part.is_some() => {
                transport.open(location, None, Purpose::Blob).await?
            }
            opened => opened?,
        };
        let body = opened.ok_or_else(|| TransportError::BlobMissing { url: location.public() })?;
        if !self.source.is_unchanged(&body) {
            return Err(TransportError::Changed { url: location.public() });
        }
        match &body.extent {
            Extent::Part { whole, .. } => {
                self.check_size(*whole, &body)?;
                self.shared.work().learn_size(*whole);
                let _ = self.shared.events.send(Event::Divisible);
            }
            Extent::Whole { length } => {
                if let Some(length) = length {
                    self.check_size(*length, &body)?;
                }
                if part.is_some() || !is_everything {
                    if !self.shared.work().becomes_one_stream(id, *length) {
                        return Ok(Fetched::OfNoHelp);
                    }
                    tracing::info!("`{}` sends whole files only", location.public());
                    let _ = self.shared.events.send(Event::StartOver);
                    if self.shared.portions.send(Portion::StartOver).await.is_err() {
                        return Ok(Fetched::WriterIsGone);
                    }
                }
            }
        }
        self.receive(id, body).await
    }

    /// Hand the bytes of a stretch to the writer.
    async fn receive(&self, id: StretchId, mut body: Body) -> Result<Fetched, TransportError> {
        let (transport, url) = (&self.shared.transport, &self.source.location.url);
        let mut portion = Collected::default();
        loop {
            let piece = within_idle(&transport.settings, url, body.pieces.next()).await;
            let piece = match piece {
                Ok(Some(Ok(piece))) => piece,
                Ok(None) => break,
                Ok(Some(Err(error))) | Err(error) => {
                    // What came before the line broke is kept.
                    self.hand_over(&mut portion).await;
                    return Err(error);
                }
            };
            if let Some(bandwidth) = &transport.bandwidth {
                bandwidth.wait_for(piece.len()).await;
            }
            let (from, wanted) = self.shared.work().advance(id, piece.len() as u64);
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            // A byte too many where the whole file was asked for: the writer refuses it, and says so.
            let is_too_long = wanted < piece.len() && matches!(body.extent, Extent::Whole { .. });
            let kept = if is_too_long { piece } else { piece.slice(..wanted) };
            let _ = self.shared.events.send(Event::Advanced(kept.len() as u64));
            portion.add(from, kept);
            let is_complete = self.shared.work().is_complete(id);
            if (portion.bytes >= PORTION || is_complete) && !self.hand_over(&mut portion).await {
                return Ok(Fetched::WriterIsGone);
            }
            // A body is read to its end, which says whether it is too long, and leaves a connection that can be used again;
            // unless the rest of it is somebody else's by now.
            let end = from + wanted as u64;
            if is_complete && matches!(&body.extent, Extent::Part { range, .. } if end < range.end) {
                return Ok(Fetched::Complete);
            }
        }
        if !self.hand_over(&mut portion).await {
            return Ok(Fetched::WriterIsGone);
        }
        let mut work = self.shared.work();
        if matches!(body.extent, Extent::Whole { .. }) {
            work.ends_here(id);
        }
        if work.is_complete(id) {
            return Ok(Fetched::Complete);
        }
        let (found, _) = work.advance(id, 0);
        let expected = work.size().unwrap_or(found);
        Err(TransportError::Mismatch { url: url.into(), mismatch: Mismatch::TooShort { expected, found } })
    }

    /// Says whether the writer still takes something.
    async fn hand_over(&self, portion: &mut Collected) -> bool {
        if portion.pieces.is_empty() {
            return true;
        }
        self.source.has_contributed.store(true, Ordering::Relaxed);
        let Collected { offset, pieces, .. } = std::mem::take(portion);
        self.shared.portions.send(Portion::Bytes(offset, pieces)).await.is_ok()
    }

    fn check_size(&self, found: u64, body: &Body) -> Result<(), TransportError> {
        let is_right = match self.shared.expected.size {
            Size::Exactly(size) => found == size,
            Size::AtMost(limit) => found <= limit,
        };
        if is_right { Ok(()) } else { Err(body.wrong_size(&self.source.location.url, found, self.shared.expected)) }
    }
}
