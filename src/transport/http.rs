//! `https://` and `http://` mirrors.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::sync::mpsc;
use url::Url;

use super::Location;
use super::error::{TransportError, public};
use super::limits::{MAX_REDIRECTS, NetworkSettings};
use super::verifier::{BlobError, BlobWriter, Expected, Size, VerifiedBlob};
use crate::types::PlainHttp;
use crate::types::is_loopback;

/// How many pieces of a download wait for the disk, at most: bounds the memory of a download on a fast line.
const PIECES_IN_FLIGHT: usize = 2;

/// Two connection pools, made when first needed: loading certificate authorities takes longer than a whole run over a
/// `file://` mirror, and a container without any must not stop such a run.
#[derive(Debug)]
pub(super) struct Http {
    settings: NetworkSettings,
    strict: OnceLock<Client>,
    insecure: OnceLock<Client>,
}

impl Http {
    pub(super) fn new(settings: &NetworkSettings) -> Self {
        Self { settings: settings.clone(), strict: OnceLock::new(), insecure: OnceLock::new() }
    }

    fn client(&self, policy: PlainHttp) -> Result<&Client, TransportError> {
        let slot = match policy {
            PlainHttp::LoopbackOnly => &self.strict,
            PlainHttp::Anywhere => &self.insecure,
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        // An error only says that another thread installed it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.settings.connect_timeout)
            .redirect(redirects(policy))
            .build()
            .map_err(|source| TransportError::Setup { source })?;
        Ok(slot.get_or_init(|| client))
    }

    /// A document of at most `limit` bytes, or `None` where the server says that there is none.
    pub(super) async fn document(&self, at: &Location, limit: u64) -> Result<Option<Vec<u8>>, TransportError> {
        self.within_total(&at.url, async {
            let Some(response) = self.get(at).await? else { return Ok(None) };
            if response.content_length().is_some_and(|length| length > limit) {
                return Err(TransportError::DocumentTooLong { url: public(&at.url), limit });
            }
            let mut bytes = Vec::new();
            let mut body = response.bytes_stream();
            while let Some(piece) = self.within_idle(&at.url, body.next()).await? {
                let piece = piece.map_err(|source| connection(&at.url, source))?;
                if (bytes.len() + piece.len()) as u64 > limit {
                    return Err(TransportError::DocumentTooLong { url: public(&at.url), limit });
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(Some(bytes))
        })
        .await
    }

    /// A blob, verified while it arrives. Hashing and writing happen on a thread that may block.
    pub(super) async fn blob(
        &self,
        at: &Location,
        expected: Expected,
        staging: &Path,
        advance: &(dyn Fn(usize) + Sync),
    ) -> Result<VerifiedBlob, TransportError> {
        self.within_total(&at.url, async {
            let response = self.get(at).await?.ok_or_else(|| TransportError::BlobMissing { url: public(&at.url) })?;
            check_announced_size(&at.url, &response, expected)?;
            let disk = |source| TransportError::Disk { url: public(&at.url), staging: staging.to_owned(), source };
            let mut writer = BlobWriter::new(expected, staging).map_err(disk)?;
            let (pieces, mut waiting) = mpsc::channel::<bytes::Bytes>(PIECES_IN_FLIGHT);
            let written = tokio::task::spawn_blocking(move || -> Result<BlobWriter, BlobError> {
                while let Some(piece) = waiting.blocking_recv() {
                    writer.write(&piece)?;
                }
                Ok(writer)
            });
            let mut body = response.bytes_stream();
            let mut broken = None;
            loop {
                match self.within_idle(&at.url, body.next()).await {
                    Ok(Some(Ok(piece))) => {
                        let length = piece.len();
                        // The writer hung up: it has an error to tell.
                        if pieces.send(piece).await.is_err() {
                            break;
                        }
                        advance(length);
                    }
                    Ok(None) => break,
                    Ok(Some(Err(source))) => {
                        broken = Some(connection(&at.url, source));
                        break;
                    }
                    Err(stalled) => {
                        broken = Some(stalled);
                        break;
                    }
                }
            }
            drop(pieces);
            let written = written.await.unwrap_or_else(|error| Err(BlobError::Io(std::io::Error::other(error))));
            if let Some(broken) = broken {
                return Err(broken);
            }
            written.and_then(BlobWriter::finish).map_err(|error| match error {
                BlobError::Mismatch(mismatch) => TransportError::Mismatch { url: public(&at.url), mismatch },
                BlobError::Io(source) => disk(source),
            })
        })
        .await
    }

    /// The response to a GET, or `None` where the server says that there is no such file.
    async fn get(&self, at: &Location) -> Result<Option<Response>, TransportError> {
        if at.url.scheme() == "http" && at.plain_http == PlainHttp::LoopbackOnly && !is_loopback(&at.url) {
            return Err(TransportError::Insecure { url: public(&at.url) });
        }
        let request = self.client(at.plain_http)?.get(at.url.clone()).send();
        let response = self
            .within_idle(&at.url, request)
            .await?
            .map_err(|source| redirect_error(&at.url, &source).unwrap_or_else(|| connection(&at.url, source)))?;
        let status = response.status();
        tracing::debug!("{status} {}", public(response.url()));
        match status {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            // Object stores answer so for a missing key where the reader may not list the bucket.
            StatusCode::FORBIDDEN if is_object_store(response.headers()) => Ok(None),
            _ => Err(TransportError::Status {
                url: public(response.url()),
                status,
                retry_after: response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?)),
            }),
        }
    }

    async fn within_idle<T>(&self, url: &Url, work: impl Future<Output = T>) -> Result<T, TransportError> {
        let idle = self.settings.idle_timeout;
        tokio::time::timeout(idle, work).await.map_err(|_| TransportError::Stalled { url: public(url), idle })
    }

    async fn within_total<T>(
        &self,
        url: &Url,
        work: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let total = self.settings.total_timeout;
        tokio::time::timeout(total, work)
            .await
            .unwrap_or_else(|_| Err(TransportError::TooSlow { url: public(url), total }))
    }
}

/// Refuse, before a byte arrives, a body that can't be the right one.
fn check_announced_size(url: &Url, response: &Response, expected: Expected) -> Result<(), TransportError> {
    let wrong = match (response.content_length(), expected.size) {
        (Some(found), Size::Exactly(size)) if found != size => Some((found, format!("the metadata says {size}"))),
        (Some(found), Size::AtMost(limit)) if found > limit => Some((found, format!("at most {limit} are accepted"))),
        _ => None,
    };
    let Some((announced, expected)) = wrong else { return Ok(()) };
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let hint = if content_type.is_some_and(|kind| kind.starts_with("text/html")) {
        "it is a web page: a login page, or a captive portal between here and the mirror?"
    } else {
        "the binary on the mirror is damaged or was replaced: push it again"
    };
    Err(TransportError::WrongSize { url: public(url), announced, expected, hint })
}

/// Follow redirects, but not from TLS to plain HTTP: the target could be anybody.
fn redirects(policy: PlainHttp) -> Policy {
    Policy::custom(move |attempt| {
        let plain = attempt.url().scheme() != "https" && !is_loopback(attempt.url());
        if plain && policy == PlainHttp::LoopbackOnly {
            let target = public(attempt.url());
            attempt.error(RefusedRedirect::Insecure(target))
        } else if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error(RefusedRedirect::Loop)
        } else {
            attempt.follow()
        }
    })
}

#[derive(Debug, thiserror::Error)]
enum RefusedRedirect {
    #[error("redirect to {0}")]
    Insecure(String),
    #[error("too many redirects")]
    Loop,
}

fn redirect_error(url: &Url, error: &reqwest::Error) -> Option<TransportError> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(RefusedRedirect::Insecure(target)) => {
                return Some(TransportError::InsecureRedirect { url: public(url), target: target.clone() });
            }
            Some(RefusedRedirect::Loop) => return Some(TransportError::RedirectLoop { url: public(url) }),
            None => cause = error.source(),
        }
    }
    None
}

fn connection(url: &Url, error: reqwest::Error) -> TransportError {
    TransportError::Connection { url: public(url), source: error.without_url() }
}

/// Whether a header gives the server away as an object store (S3 and its imitations, Google's, Azure's).
fn is_object_store(headers: &HeaderMap) -> bool {
    let named = |name: &str| name.starts_with("x-amz-") || name.starts_with("x-goog-") || name.starts_with("x-ms-");
    headers.keys().any(|name| named(name.as_str()))
}

/// Seconds, or a date.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Duration::try_from(date.timestamp().duration_since(jiff::Timestamp::now())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        let date = jiff::Timestamp::now() + Duration::from_secs(60);
        let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let pause = retry_after(&text).unwrap();
        assert!((55..=60).contains(&pause.as_secs()), "{pause:?}");
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn an_object_store_is_known_by_its_headers() {
        let headers = |name: &'static str| HeaderMap::from_iter([(name.parse().unwrap(), "x".parse().unwrap())]);
        assert!(is_object_store(&headers("x-amz-request-id")));
        assert!(!is_object_store(&headers("server")));
    }
}
