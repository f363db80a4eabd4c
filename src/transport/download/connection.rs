//! One connection: takes stretches of a blob until nothing is left for it.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use backon::BackoffBuilder as _;
use bytes::Bytes;
use futures::StreamExt as _;

use super::attempt::Attempt;
use super::permits::Permit;
use super::ranges::StretchId;
use super::writer::Portion;
use crate::transport::body::{Body, Extent, Part, Purpose, Tag, within_idle, within_total};
use crate::transport::error::TransportError;
use crate::transport::location::Location;
use crate::transport::retry::{backoff, pause_after};
use crate::verified::Mismatch;

/// How many bytes are handed to the writer at once: each portion is one entry of the journal, and what is not yet handed over
/// is lost if larder is killed.
const PORTION: usize = 256 << 10;

/// An attempt that brought this much was not in vain: the next failure is counted as the first.
const PROGRESS: u64 = 1 << 20;

/// A mirror that has the blob.
#[derive(Debug)]
pub(super) struct Source {
    pub location: Location,
    tag: Mutex<Option<Tag>>,
}

pub(super) struct Connection {
    pub attempt: Arc<Attempt>,
    pub source: Arc<Source>,
    pub permit: Permit,
}

/// Bytes that follow each other, on their way to the writer.
#[derive(Default)]
struct Collected {
    offset: u64,
    pieces: Vec<Bytes>,
    bytes: usize,
}

/// What is next after a stretch.
enum Next {
    /// It is complete: another one.
    Stretch,
    /// Nothing: the writer has ended, or the source sends whole files only while others fetch stretches.
    Nothing,
}

impl Source {
    pub(super) fn new(location: &Location) -> Self {
        Self { location: location.clone(), tag: Mutex::default() }
    }

    fn tag(&self) -> Option<Tag> {
        self.tag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All answers must be of one state of the file, which the first one names.
    fn check_and_keep_tag(&self, body: &Body) -> Result<(), TransportError> {
        let Some(tag) = &body.tag else { return Ok(()) };
        let mut known = self.tag.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = known.get_or_insert_with(|| tag.clone()) == tag;
        if is_same { Ok(()) } else { Err(TransportError::Changed { url: self.location.public() }) }
    }
}

impl Connection {
    /// Fetch stretches. Ends with an error where there is no use in asking this source again.
    pub(super) async fn run(self) -> Result<(), TransportError> {
        let settings = &self.attempt.servers.settings;
        let mut pauses = backoff(settings).build();
        loop {
            let taken = self.attempt.ranges().take(Instant::now());
            let Some((id, range)) = taken else { return Ok(()) };
            let before = range.start;
            let fetched = within_total(settings.total_timeout, &self.source.location.url, self.fetch(id, range)).await;
            let is_progress = {
                let mut ranges = self.attempt.ranges();
                let brought = ranges.position(id).saturating_sub(before);
                // What a server sends from the beginning each time is not brought for good.
                let is_lasting = !ranges.is_one_stream();
                ranges.give_back(id, Instant::now());
                is_lasting && brought >= PROGRESS
            };
            if is_progress || fetched.is_ok() {
                pauses = backoff(settings).build();
            }
            match fetched {
                Ok(Next::Stretch) => {}
                Ok(Next::Nothing) => return Ok(()),
                Err(error) if !error.is_transient() => return Err(error),
                // Others get on: that is a limit of the server's, not a failure.
                Err(error) if error.is_overload() && self.permit.lower_limit() => return Ok(()),
                Err(error) => {
                    let Some(pause) = pause_after(&error, pauses.next()) else { return Err(error) };
                    tracing::info!("{error}; trying again in {:.1} s", pause.as_secs_f64());
                    tokio::time::sleep(pause).await;
                }
            }
            // Another blob waits to be started on, and other connections go on with this one.
            if self.permit.is_wanted() && !self.attempt.ranges().is_alone() {
                return Ok(());
            }
        }
    }

    /// Fetch one stretch.
    async fn fetch(&self, id: StretchId, range: Range<u64>) -> Result<Next, TransportError> {
        let (servers, location) = (&self.attempt.servers, &self.source.location);
        let is_everything = range.start == 0 && self.attempt.ranges().size() == Some(range.end);
        let part = (!is_everything).then(|| Part { range, tag: self.source.tag() });
        let opened = match servers.open(location, part.as_ref(), Purpose::Blob).await {
            // An empty file has no first byte to ask for.
            Err(TransportError::Status { status, .. }) if status == 416 && part.is_some() => {
                servers.open(location, None, Purpose::Blob).await?
            }
            opened => opened?,
        };
        let body = opened.ok_or_else(|| TransportError::BlobMissing { url: location.public() })?;
        self.source.check_and_keep_tag(&body)?;
        let size = match body.extent {
            Extent::Part { whole, .. } => Some(whole),
            Extent::Whole { length } => length,
        };
        if let Some(size) = size.filter(|size| !self.attempt.expected.size.allows(*size)) {
            return Err(body.wrong_size(&location.url, size, self.attempt.expected));
        }
        match body.extent {
            Extent::Part { whole, .. } => {
                self.attempt.ranges().learn_size(whole);
                self.attempt.is_divisible.notify_one();
            }
            Extent::Whole { .. } if is_everything => {}
            Extent::Whole { length } => {
                if !self.attempt.ranges().becomes_one_stream(id, length) {
                    return Ok(Next::Nothing);
                }
                tracing::info!("`{}` sends whole files only", location.public());
                self.attempt.progress.take_back();
                if self.attempt.portions.send(Portion::StartOver).await.is_err() {
                    return Ok(Next::Nothing);
                }
            }
        }
        self.receive(id, body).await
    }

    /// Hand the bytes of a stretch to the writer.
    async fn receive(&self, id: StretchId, mut body: Body) -> Result<Next, TransportError> {
        let (attempt, url) = (&self.attempt, &self.source.location.url);
        let mut portion = Collected::default();
        loop {
            let piece = within_idle(&attempt.servers.settings, url, body.pieces.next()).await;
            let piece = match piece {
                Ok(Some(Ok(piece))) => piece,
                Ok(None) => break,
                Ok(Some(Err(error))) | Err(error) => {
                    // What came before the line broke is kept.
                    self.hand_over(&mut portion).await;
                    return Err(error);
                }
            };
            if let Some(bandwidth) = &attempt.bandwidth {
                bandwidth.wait_for(piece.len()).await;
            }
            let (from, wanted, is_complete) = {
                let mut ranges = attempt.ranges();
                let (from, wanted) = ranges.advance(id, piece.len() as u64);
                (from, wanted, ranges.is_complete(id))
            };
            let end = from + wanted;
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            // A byte too many where the whole file was asked for: the writer refuses it, and says so.
            let is_too_long = wanted < piece.len() && matches!(body.extent, Extent::Whole { .. });
            let kept = if is_too_long { piece } else { piece.slice(..wanted) };
            attempt.progress.advance(kept.len() as u64);
            portion.add(from, kept);
            if (portion.bytes >= PORTION || is_complete) && !self.hand_over(&mut portion).await {
                return Ok(Next::Nothing);
            }
            // A body is read to its end, which says whether it is too long, and leaves a connection that can be used again;
            // unless the rest of it is another connection's by now.
            if is_complete && matches!(&body.extent, Extent::Part { range, .. } if end < range.end) {
                return Ok(Next::Stretch);
            }
        }
        if !self.hand_over(&mut portion).await {
            return Ok(Next::Nothing);
        }
        let mut ranges = attempt.ranges();
        if matches!(body.extent, Extent::Whole { .. }) {
            ranges.ends_here(id);
        }
        if ranges.is_complete(id) {
            return Ok(Next::Stretch);
        }
        let found = ranges.position(id);
        let expected = ranges.size().unwrap_or(found);
        Err(TransportError::Mismatch { url: url.into(), mismatch: Mismatch::TooShort { expected, found } })
    }

    /// Says whether the writer still takes something.
    async fn hand_over(&self, portion: &mut Collected) -> bool {
        if portion.pieces.is_empty() {
            return true;
        }
        let Collected { offset, pieces, .. } = std::mem::take(portion);
        self.attempt.portions.send(Portion::Bytes(offset, pieces)).await.is_ok()
    }
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
