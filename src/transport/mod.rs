//! Bytes from URLs: `file://`, `https://` and `http://`.
//!
//! Two kinds of things are fetched. A *document* is small, is kept in memory, and may be absent ([`Transport::document`]).
//! A *blob* has a digest and goes to a file; it is returned only once its bytes are right ([`Transport::blob`]). The
//! whole download including the verification is what a retry repeats: a body can break after a 200.

mod body;
mod error;
mod file;
mod http;
mod limits;
mod objects;
mod retry;
pub mod verifier;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use url::Url;

pub use error::TransportError;
pub(crate) use error::public;
pub use limits::{Limits, NetworkSettings};
pub use objects::{Listed, ObjectError, Refusal, UploadError, Written};
pub use verifier::{Expected, Size, VerifiedBlob};

use crate::types::{Access, PlainHttp, Variables, is_object_store};

/// A URL, and what its mirror allows.
#[derive(Clone, Debug)]
pub struct Location {
    /// Where to get it.
    pub url: Url,
    /// Whether the connection may do without TLS.
    pub plain_http: PlainHttp,
    /// Credentials, for the server of this URL and no other.
    pub access: Arc<Access>,
}

/// Fetches from mirrors, within the [`Limits`], and counts what it did.
#[derive(Debug)]
pub struct Transport {
    http: http::Http,
    objects: objects::Objects,
    settings: NetworkSettings,
    limits: Limits,
    counters: Counters,
}

/// What a [`Transport`] did so far.
#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    document_bytes: AtomicU64,
}

impl Transport {
    /// A transport that has not set up anything yet: TLS and connection pools come with the first request. Credentials of
    /// object stores are looked for in `variables`.
    pub fn new(settings: NetworkSettings, limits: Limits, variables: &Variables) -> Self {
        let http = http::Http::new(&settings);
        let objects = objects::Objects::new(&settings, variables);
        Self { http, objects, settings, limits, counters: Counters::default() }
    }

    /// What the server of a URL sends, or `None` where it says that there is no such file.
    async fn open(&self, at: &Location, part: Option<&body::Part>) -> Result<Option<body::Body>, TransportError> {
        if is_object_store(at.url.scheme()) {
            self.objects.open(at, part).await
        } else {
            self.http.open(at, part).await
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &NetworkSettings {
        &self.settings
    }

    /// A small document, or `None` where the server says that there is none. Never `None` for any other trouble.
    pub async fn document(&self, at: &Location) -> Result<Option<Vec<u8>>, TransportError> {
        let limit = self.limits.document_bytes;
        let found = retry::retry(&self.settings, || async {
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            match at.url.scheme() {
                "file" => file::document(&at.url, limit),
                _ => {
                    let opened = async {
                        match self.open(at, None).await? {
                            Some(body) => body::collect(&self.settings, &at.url, body, limit).await.map(Some),
                            None => Ok(None),
                        }
                    };
                    body::within_total(self.settings.total_timeout, &at.url, opened).await
                }
            }
        })
        .await?;
        if let Some(bytes) = &found {
            self.counters.document_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// A blob, in a temporary file in `staging`, with the right bytes. `progress` is told of every piece that arrives, and
    /// of what is taken back (a negative number) when an attempt failed.
    pub async fn blob(
        &self,
        at: &Location,
        expected: Expected,
        staging: &Path,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        self.blob_within(&self.settings, at, expected, staging, progress).await
    }

    async fn blob_within(
        &self,
        settings: &NetworkSettings,
        at: &Location,
        expected: Expected,
        staging: &Path,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        let expected = expected.capped(self.limits.blob_bytes);
        retry::retry(settings, || async {
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            let counted = AtomicU64::new(0);
            let advance = |bytes: usize| {
                counted.fetch_add(bytes as u64, Ordering::Relaxed);
                progress(i64::try_from(bytes).unwrap_or(i64::MAX));
            };
            let result = match at.url.scheme() {
                "file" => file::blob(&at.url, expected, staging, &advance).await,
                _ => {
                    let verified = async {
                        let body = self.open(at, None).await?;
                        let body = body.ok_or_else(|| TransportError::BlobMissing { url: public(&at.url) })?;
                        body::verify(&self.settings, &at.url, body, expected, staging, &advance).await
                    };
                    body::within_total(self.settings.total_timeout, &at.url, verified).await
                }
            };
            if result.is_err() {
                progress(-i64::try_from(counted.into_inner()).unwrap_or(0));
            }
            result
        })
        .await
    }

    /// Like [`Transport::blob`], from a place that is only asked because it is near: at most one more attempt.
    pub async fn blob_nearby(
        &self,
        at: &Location,
        expected: Expected,
        staging: &Path,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        let settings = NetworkSettings { retries: self.settings.retries.min(1), ..self.settings.clone() };
        self.blob_within(&settings, at, expected, staging, progress).await
    }

    /// Put a blob into an object store under its name, unless it is there already. `go_on` is asked between its parts.
    pub async fn upload(
        &self,
        at: &Location,
        file: impl std::io::Read + Send,
        expected: Expected,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, UploadError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.objects.upload(at, file, expected.capped(self.limits.blob_bytes), go_on).await
    }

    /// Write a small object, unless there is one of this name.
    pub async fn put(&self, at: &Location, bytes: Vec<u8>) -> Result<Written, TransportError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.objects.put(at, bytes.into()).await
    }

    /// Every object below a place of an object store.
    pub async fn list(&self, at: &Location) -> Result<Vec<Listed>, TransportError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.objects.list(at).await
    }

    /// What an object store says of an object, or `None` where there is none.
    pub async fn stat(&self, at: &Location) -> Result<Option<Listed>, TransportError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.objects.stat(at).await
    }

    /// Remove an object. One that is gone already is as good as removed.
    pub async fn delete(&self, at: &Location) -> Result<(), TransportError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.objects.delete(at).await
    }

    /// How many requests were made, repeated ones included.
    pub fn requests(&self) -> u64 {
        self.counters.requests.load(Ordering::Relaxed)
    }

    /// How many bytes of documents arrived.
    pub fn document_bytes(&self) -> u64 {
        self.counters.document_bytes.load(Ordering::Relaxed)
    }
}
