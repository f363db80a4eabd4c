//! `https://` and `http://` mirrors.

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode};
use tokio::sync::OnceCell;
use url::Url;

use super::body::{Body, Extent, Part, Purpose, Tag, within_idle};
use super::causes::find;
use super::credentials::{Credential, Credentials};
use super::error::{Result, TransportError};
use super::limits::{MAX_REDIRECTS, NetworkSettings};
use super::location::Location;
use super::retry::asked_pause;
use crate::types::{PlainHttp, PublicUrl, without_user};

/// Connection pools, made when first needed: loading certificate authorities takes longer than a whole run over a
/// `file://` mirror, and a container without any must not stop such a run.
#[derive(Debug)]
pub(super) struct Http {
    pub settings: NetworkSettings,
    pub credentials: Credentials,
    /// By what is allowed, and by what for.
    clients: [[OnceCell<Client>; 2]; 2],
}

impl Http {
    pub(super) fn new(settings: &NetworkSettings, credentials: Credentials) -> Self {
        Self { settings: settings.clone(), credentials, clients: Default::default() }
    }

    async fn client(&self, policy: PlainHttp, purpose: Purpose) -> Result<&Client> {
        let build = async || {
            let client =
                client_builder(purpose).connect_timeout(self.settings.connect_timeout).redirect(redirects(policy));
            // What follows a redirect need not know where it came from.
            client.referer(false).build().map_err(|source| TransportError::Setup { source })
        };
        self.clients[policy as usize][purpose as usize].get_or_try_init(build).await
    }

    /// The response to a GET, or `None` where the server says that there is no such file. A server may answer with the whole
    /// file where a part was asked for.
    pub(super) async fn open(&self, at: &Location, part: Option<&Part>, purpose: Purpose) -> Result<Option<Body>> {
        let request = asking_for(part, self.request(Method::GET, &at.url, at.plain_http, purpose).await?);
        let sent = self.credentials.for_web(at);
        let response = self.send(&at.url, request, sent.as_ref().map(|sent| &sent.credential)).await?;
        // Object stores answer so for a missing key where the reader may not list the bucket.
        if response.status() == StatusCode::FORBIDDEN && is_object_store(response.headers()) {
            return Ok(None);
        }
        read(&at.url, self.accept(at, &at.url, response, sent.as_ref().map(|sent| &*sent.source))?, part)
    }

    /// A request that goes nowhere without TLS unless `policy` allows it. User name and password of the URL are left out: what
    /// is sent as a credential is the caller's business.
    pub(super) async fn request(
        &self,
        method: Method,
        url: &Url,
        policy: PlainHttp,
        purpose: Purpose,
    ) -> Result<RequestBuilder> {
        if !policy.allows(url) {
            return Err(TransportError::Insecure { url: url.into() });
        }
        Ok(self.client(policy, purpose).await?.request(method, without_user(url)))
    }

    /// The response to a request, whatever its status.
    pub(super) async fn send(
        &self,
        url: &Url,
        mut request: RequestBuilder,
        credential: Option<&Credential>,
    ) -> Result<Response> {
        if let Some(credential) = credential {
            request = credential.apply(request, url)?;
        }
        let sent = within_idle(&self.settings, url, request.send()).await?;
        let response = sent.map_err(|source| failure(url, source))?;
        tracing::debug!("{} {}", response.status(), PublicUrl::from(response.url()));
        Ok(response)
    }

    /// A response that is not about credentials, or the error. What another server says, to which a redirect led, is not: it was
    /// sent none.
    pub(super) fn accept(&self, at: &Location, url: &Url, response: Response, sent: Option<&str>) -> Result<Response> {
        let (status, answered_by) = (response.status(), response.url());
        let is_denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if is_denied && is_same_server(answered_by, url) {
            return Err(self.credentials.denied(answered_by, status, &at.access, sent));
        }
        Ok(response)
    }
}

/// What all clients have in common.
pub(super) fn client_builder(purpose: Purpose) -> ClientBuilder {
    // An error only says that another thread installed it first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")));
    // HTTP/2 would put all downloads on one connection.
    if purpose == Purpose::Blob { client.http1_only() } else { client }
}

/// Ask for a part of the file, where that is wanted.
pub(super) fn asking_for(part: Option<&Part>, request: RequestBuilder) -> RequestBuilder {
    let Some(Part { range, tag }) = part else { return request };
    let request = request.header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
    match tag {
        Some(Tag(tag)) => request.header(IF_MATCH, tag),
        None => request,
    }
}

/// What a response to a GET holds, by its status. Answers that are about credentials are the caller's.
pub(super) fn read(url: &Url, response: Response, part: Option<&Part>) -> Result<Option<Body>> {
    match (response.status(), part) {
        (StatusCode::OK, _) => {
            let length = response.content_length();
            Ok(Some(body(url, response, Extent::Whole { length })))
        }
        (StatusCode::PARTIAL_CONTENT, Some(part)) => {
            let extent = extent(response.headers()).filter(|extent| answers(extent, part));
            let extent = extent.ok_or_else(|| TransportError::WrongPart { url: url.into() })?;
            Ok(Some(body(url, response, extent)))
        }
        (StatusCode::PRECONDITION_FAILED, Some(_)) => Err(TransportError::Changed { url: url.into() }),
        (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Ok(None),
        _ => Err(refusal(&response)),
    }
}

/// The error for a status that is neither success nor a clear "there is none".
pub(super) fn refusal(response: &Response) -> TransportError {
    TransportError::Status {
        url: response.url().into(),
        status: response.status(),
        retry_after: asked_pause(response.headers()),
    }
}

/// Whether a credential for one is for the other: the same host, port and scheme.
pub(super) fn is_same_server(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

fn body(url: &Url, response: Response, extent: Extent) -> Body {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // A weak tag (`W/"…"`) vouches for the meaning of a file, not for its bytes.
    let tag = text(ETAG).filter(|tag| tag.starts_with('"')).map(Tag);
    let content_type = text(CONTENT_TYPE);
    let url = url.clone();
    let pieces = response.bytes_stream().map_err(move |source| failure(&url, source)).boxed();
    Body { extent, tag, content_type, pieces }
}

/// `Content-Range: bytes FIRST-LAST/WHOLE`, all of it stated and consistent.
fn extent(headers: &HeaderMap) -> Option<Extent> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, whole) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, whole.parse::<u64>().ok()?);
    (first <= last && last < whole).then(|| Extent::Part { range: first..last + 1, whole })
}

/// Whether it is what was asked for, or as much of it as the file has.
fn answers(extent: &Extent, part: &Part) -> bool {
    let Extent::Part { range, whole } = extent else { return false };
    range.start == part.range.start && range.end == part.range.end.min(*whole)
}

/// Follow redirects, but not from TLS to plain HTTP: what answers there could be anything.
fn redirects(policy: PlainHttp) -> Policy {
    Policy::custom(move |attempt| {
        if !policy.allows(attempt.url()) {
            let target = PublicUrl::from(attempt.url());
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
    Insecure(PublicUrl),
    #[error("too many redirects")]
    Loop,
}

/// The error for a request that broke, or for a redirect that was not followed.
fn failure(url: &Url, error: reqwest::Error) -> TransportError {
    let url = PublicUrl::from(url);
    match find(&error) {
        Some(RefusedRedirect::Insecure(target)) => TransportError::InsecureRedirect { url, target: target.clone() },
        Some(RefusedRedirect::Loop) => TransportError::RedirectLoop { url },
        None => TransportError::Connection { url, source: error.without_url() },
    }
}

/// Whether a header gives the server away as an object store (S3 and its imitations, Google's, Azure's).
fn is_object_store(headers: &HeaderMap) -> bool {
    let named = |name: &str| name.starts_with("x-amz-") || name.starts_with("x-goog-") || name.starts_with("x-ms-");
    headers.keys().any(|name| named(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_only_if_it_is_the_one_asked_for() {
        let part = Part { range: 10..20, tag: None };
        let taken = |text: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]);
            extent(&headers).is_some_and(|extent| answers(&extent, &part))
        };
        assert!(taken("bytes 10-19/100"));
        assert!(taken("bytes 10-14/15"), "the file ends before");
        let wrong =
            ["bytes 0-9/100", "bytes 10-18/100", "bytes 10-20/100", "bytes 10-19/*", "bytes 10-19/15", "10-19/100"];
        for wrong in wrong {
            assert!(!taken(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_object_store_is_known_by_its_headers() {
        let headers = |name: &'static str| HeaderMap::from_iter([(name.parse().unwrap(), "x".parse().unwrap())]);
        assert!(is_object_store(&headers("x-amz-request-id")));
        assert!(!is_object_store(&headers("server")));
    }
}
