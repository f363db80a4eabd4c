//! A body on its way: what every kind of server answers with, and how it is read within the limits.
//!
//! A backend (HTTP, an object store, a registry) only opens bodies. Caps, timeouts and verification are here, once.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use url::Url;

use super::error::{Result, TransportError};
use super::limits::NetworkSettings;
use crate::verified::{Expected, Size};

/// What a server sends.
pub(super) struct Body {
    /// Which bytes of the file these are.
    pub extent: Extent,
    /// Names this state of the file, where the server does so.
    pub tag: Option<Tag>,
    /// The media type that the server announces.
    pub content_type: Option<String>,
    /// The bytes. Errors name the URL.
    pub pieces: BoxStream<'static, Result<Bytes>>,
}

/// Which bytes of a file a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of them: so many, where the server says so.
    Whole { length: Option<u64> },
    /// Some of them, as asked for, of a file with so many.
    Part { range: Range<u64>, whole: u64 },
}

/// A strong entity tag: two answers with the same one are parts of the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub String);

/// What a body is for: it decides which connection brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A document: many small ones, which may share connections.
    Document,
    /// A blob: each has a connection of its own, since a limit on one connection must not be one on all.
    Blob,
}

/// Some bytes of a file, to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Which.
    pub range: Range<u64>,
    /// The state of the file that they must belong to.
    pub tag: Option<Tag>,
}

impl Body {
    /// How many bytes are to come, where that is known.
    pub fn length(&self) -> Option<u64> {
        match &self.extent {
            Extent::Whole { length } => *length,
            Extent::Part { range, .. } => Some(range.end - range.start),
        }
    }

    /// The error for a file that has another size than its metadata promises.
    pub fn wrong_size(&self, url: &Url, announced: u64, expected: Expected) -> TransportError {
        let expected = match expected.size {
            Size::Exactly(size) => format!("the metadata says {size}"),
            Size::AtMost(limit) => format!("at most {limit} are accepted"),
        };
        let hint = if self.content_type.as_ref().is_some_and(|kind| kind.starts_with("text/html")) {
            "it is a web page: a login page, or a captive portal between here and the mirror?"
        } else {
            "the binary on the mirror is damaged or was replaced: push it again"
        };
        TransportError::WrongSize { url: url.into(), announced, expected, hint }
    }
}

/// Give up on a server that says nothing for `idle`.
pub(super) async fn within_idle<T>(settings: &NetworkSettings, url: &Url, work: impl Future<Output = T>) -> Result<T> {
    let idle = settings.idle_timeout;
    tokio::time::timeout(idle, work).await.map_err(|_| TransportError::Stalled { url: url.into(), idle })
}

/// Give up on a file that is not there after `total`.
pub(super) async fn within_total<T>(total: Duration, url: &Url, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(total, work).await.unwrap_or_else(|_| Err(TransportError::TooSlow { url: url.into(), total }))
}

/// All of a body, at most `limit` bytes.
pub(super) async fn collect(settings: &NetworkSettings, url: &Url, mut body: Body, limit: u64) -> Result<Vec<u8>> {
    if body.length().is_some_and(|length| length > limit) {
        return Err(TransportError::DocumentTooLong { url: url.into(), limit });
    }
    let mut bytes = Vec::new();
    while let Some(piece) = within_idle(settings, url, body.pieces.next()).await? {
        let piece = piece?;
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(TransportError::DocumentTooLong { url: url.into(), limit });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
