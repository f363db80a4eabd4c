//! HTTP below the crate `object_store`: the same certificate authorities, proxies and timeouts as for other mirrors, no
//! redirects, and refusals that keep what the server said.
//!
//! Everything goes through here, requests for credentials included. So this is also where it is decided that nothing leaves
//! this machine without TLS, save for the metadata services of the clouds, which only exist without it.

use std::time::Duration;

use futures::StreamExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::Client;
use reqwest::redirect::Policy;
use url::{Host, Origin, Url};

use super::error::{Asking, WithoutTls};
use super::refusal::Refusal;
use crate::transport::body::Purpose;
use crate::transport::http::client_builder;
use crate::transport::limits::NetworkSettings;
use crate::transport::retry::asked_pause;
use crate::types::{PlainHttp, Variables, is_loopback};

/// Where a stand-in for a metadata service may be named, such as the agent of a pod.
const LOCAL_METADATA: [&str; 3] =
    ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "IDENTITY_ENDPOINT"];

/// How long the metadata service of a cloud may take to accept a connection. It is one hop away, or not there at all.
pub(super) const METADATA_PATIENCE: Duration = Duration::from_secs(1);

/// The most bytes of an error message that are read: stops a server that answers an error without end.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// What all stores are asked through.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    outward: Client,
    metadata: Client,
    /// What variables name as a metadata service on this machine. No proxy may see what it is asked and what it tells.
    local_metadata: Vec<Origin>,
    idle_timeout: Duration,
    plain_http: PlainHttp,
}

impl Connection {
    pub fn new(settings: &NetworkSettings, variables: &Variables) -> Result<Self, reqwest::Error> {
        let builder = || client_builder(Purpose::Blob).redirect(Policy::none());
        let named = LOCAL_METADATA.into_iter().filter_map(|name| Url::parse(variables.get(name)?.trim()).ok());
        let local_metadata = named.filter(is_loopback);
        Ok(Self {
            outward: builder().connect_timeout(settings.connect_timeout).build()?,
            // A proxy would ask the metadata service of its own machine, whose rights are not this machine's.
            metadata: builder().no_proxy().connect_timeout(METADATA_PATIENCE).build()?,
            local_metadata: local_metadata.map(|url| url.origin()).collect(),
            idle_timeout: settings.idle_timeout,
            plain_http: PlainHttp::LoopbackOnly,
        })
    }

    pub fn allowing(&self, plain_http: PlainHttp) -> Self {
        Self { plain_http, ..self.clone() }
    }
}

impl HttpConnector for Connection {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Connection {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.uri().to_string().parse::<Url>();
        let url = url.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let origin = url.origin().ascii_serialization();
        let is_metadata = is_metadata_service(&url) || self.local_metadata.contains(&url.origin());
        if !is_metadata && !self.plain_http.allows(&url) {
            return Err(HttpError::new(HttpErrorKind::Unknown, WithoutTls(origin)));
        }
        let method = request.method().clone();
        let client = if is_metadata { &self.metadata } else { &self.outward };
        let response = HttpService::call(client, request).await;
        let response =
            response.map_err(|source| HttpError::new(source.kind(), Asking { origin: origin.clone(), source }))?;
        // Without its query: that of some requests is a credential.
        tracing::debug!("{} {method} {origin}{}", response.status(), url.path());
        if response.status().is_success() {
            return Ok(response);
        }
        Err(HttpError::new(HttpErrorKind::Unknown, self.refusal(response).await))
    }
}

impl Connection {
    /// The refusal in an answer. A body that breaks or stalls counts as far as it came.
    async fn refusal(&self, response: HttpResponse) -> Refusal {
        let (parts, body) = response.into_parts();
        let mut text = Vec::new();
        let mut pieces = body.bytes_stream();
        let read = async {
            while text.len() < MAX_REFUSAL_BYTES
                && let Some(Ok(piece)) = pieces.next().await
            {
                text.extend_from_slice(&piece);
            }
        };
        let _ = tokio::time::timeout(self.idle_timeout, read).await;
        Refusal::new(parts.status, &parts.headers, &text, asked_pause(&parts.headers))
    }
}

/// Whether it is the place where a cloud tells its own machines who they are: link-local addresses, which no router
/// forwards, and one name.
fn is_metadata_service(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => address.segments()[..2] == [0xfd00, 0x0ec2],
        Some(Host::Domain(name)) => name == "metadata.google.internal",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metadata_service_is_next_door() {
        let is = |text: &str| is_metadata_service(&text.parse().unwrap());
        for text in ["http://169.254.169.254/latest", "http://[fd00:ec2::254]/", "http://metadata.google.internal/x"] {
            assert!(is(text), "{text}");
        }
        for text in ["http://10.0.0.1/", "http://metadata.google.internal.evil.example/", "http://[fd00:ec3::254]/"] {
            assert!(!is(text), "{text}");
        }
    }
}
