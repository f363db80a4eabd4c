//! Container registries, as far as mirrors need them: manifests and blobs, the login that guards them, and (`upkeep`) what makes
//! room.
//!
//! A URL `oci://HOST/v2/REPOSITORY/…` (`oci+http://` without TLS) is asked over HTTP. A registry that wants a login says so
//! with 401 and a challenge: `Basic`, or `Bearer` with the address that hands out tokens. That address may be on another
//! host, and is sent the credentials all the same: the registry's word for it is what Docker and Podman trust as well. It
//! counts only if the registry itself said it, not a server that a redirect led to, and only over TLS.
//!
//! Blobs are often redirected to an object store. No token goes there (see [`super::credentials`]).

mod challenge;
mod tokens;
mod upkeep;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use reqwest::header::ACCEPT;
use reqwest::{Method, Response, StatusCode};
use url::Url;

use self::challenge::Challenge;
use self::tokens::TokenServer;
use super::body::{Body, Extent, Part, Purpose, collect};
use super::credentials::{Credential, Login, Sourced, entry_token};
use super::error::{Result, TransportError};
use super::http::{Http, asking_for, is_same_server, read, refusal};
use super::location::Location;
use crate::types::{Access, Sha256Digest};
use crate::verified::Mismatch;

/// What Spack accepts under a spec's tag: an image manifest, in the words of OCI or of Docker.
const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// The most bytes of a manifest: the bound that registries have. Stops an endless answer from filling the memory.
const MAX_MANIFEST: u64 = 4 << 20;

/// Registries, and what they granted so far.
#[derive(Debug)]
pub(super) struct Registry {
    http: Arc<Http>,
    /// By repository and access: mirrors with other credentials don't share what was granted.
    grants: Mutex<HashMap<Location, SharedGrant>>,
}

/// What a repository granted. Locked while a request finds that out, so that many requests at once log in once.
type SharedGrant = Arc<tokio::sync::Mutex<Option<Arc<Grant>>>>;

/// How requests to a repository are answered. Its address tells one that was refused from one that has come since.
#[derive(Debug)]
struct Grant {
    /// What is sent with them, if anything.
    credential: Option<Credential>,
    /// Where the login that it came from was found.
    source: Option<Cow<'static, str>>,
}

/// A manifest, a blob or a list to be asked for, or a manifest to be deleted.
struct Asked<'a> {
    method: Method,
    at: &'a Location,
    url: Url,
    repository: &'a str,
    part: Option<&'a Part>,
    purpose: Purpose,
}

impl Registry {
    pub(super) fn new(http: Arc<Http>) -> Self {
        Self { http, grants: Mutex::default() }
    }

    /// A manifest or a blob, or `None` where the registry says that there is none.
    pub(super) async fn open(&self, at: &Location, part: Option<&Part>, purpose: Purpose) -> Result<Option<Body>> {
        let url = over_http(&at.url)?;
        let asked = Asked { method: Method::GET, at, repository: repository(&at.url), part, purpose, url };
        let response = self.ask(&asked).await?;
        let promised = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        let promised = promised.and_then(|text| text.strip_prefix("sha256:")?.parse::<Sha256Digest>().ok());
        let Some(body) = read(&asked.url, response, part)? else { return Ok(None) };
        if asked.is_manifest() { self.manifest(&asked.url, body, promised).await.map(Some) } else { Ok(Some(body)) }
    }

    /// All of a manifest. A registry states its digest, which tells a document that was cut short or mixed up on the way.
    async fn manifest(&self, url: &Url, body: Body, promised: Option<Sha256Digest>) -> Result<Body> {
        let bytes = collect(&self.http.settings, url, body, MAX_MANIFEST).await?;
        let found = Sha256Digest::of(&bytes);
        if let Some(expected) = promised.filter(|promised| *promised != found) {
            let mismatch = Mismatch::WrongDigest { expected, found };
            return Err(TransportError::Mismatch { url: url.into(), mismatch });
        }
        let extent = Extent::Whole { length: Some(bytes.len() as u64) };
        let pieces = futures::stream::once(std::future::ready(Ok(bytes.into()))).boxed();
        Ok(Body { extent, tag: None, content_type: None, pieces })
    }

    /// The answer to a request, after a login where the registry wants one. A token expires; then there is one more login.
    async fn ask(&self, asked: &Asked<'_>) -> Result<Response> {
        let shared = self.shared_grant(asked);
        let mut known = shared.lock().await;
        // The first request finds out what the registry wants, while all others wait for the answer.
        let is_first = known.is_none();
        let grant = Arc::clone(known.get_or_insert_with(|| Arc::new(Grant::first(&asked.at.access))));
        let waited_for = is_first.then_some(known);
        let response = self.send(asked, &grant).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.accept(asked, response, &grant);
        }
        let mut known = match waited_for {
            Some(known) => known,
            None => shared.lock().await,
        };
        let grant = match &*known {
            // Another request has logged in anew meanwhile.
            Some(newer) if !Arc::ptr_eq(newer, &grant) => Arc::clone(newer),
            _ => Arc::clone(known.insert(Arc::new(self.log_in(asked, &response, &grant).await?))),
        };
        drop(known);
        let response = self.send(asked, &grant).await?;
        self.accept(asked, response, &grant)
    }

    async fn send(&self, asked: &Asked<'_>, grant: &Grant) -> Result<Response> {
        let request = self.http.request(asked.method.clone(), &asked.url, asked.at.plain_http, asked.purpose).await?;
        let mut request = asking_for(asked.part, request);
        if asked.is_manifest() {
            request = request.header(ACCEPT, MANIFESTS);
        }
        self.http.send(&asked.url, request, grant.credential.as_ref()).await
    }

    /// A response that is no longer about the login, or the error.
    fn accept(&self, asked: &Asked<'_>, response: Response, grant: &Grant) -> Result<Response> {
        self.http.accept(asked.at, &asked.url, response, grant.source.as_deref())
    }

    /// Do what a challenge asks for.
    async fn log_in(&self, asked: &Asked<'_>, response: &Response, before: &Grant) -> Result<Grant> {
        // A server that a redirect led to must not choose where credentials go.
        if !is_same_server(response.url(), &asked.url) {
            return Err(refusal(response));
        }
        let denied = |sent: Option<&str>| {
            Err(self.http.credentials.denied(&asked.url, response.status(), &asked.at.access, sent))
        };
        // A token of the mirror's entry is all there is: it can't be exchanged for another.
        if asked.at.access.token.is_some() {
            return denied(before.source.as_deref());
        }
        let challenge = Challenge::of(response).ok_or_else(|| {
            let reason = "it asks for none of the logins that there are for registries";
            TransportError::login(&asked.url, reason, "is this the address of a container registry?")
        })?;
        let login = self.login(asked).await;
        let source = login.as_ref().map(|login| login.source.clone());
        let credential = match challenge {
            Challenge::Bearer { realm, service, scope } => {
                let right = if asked.method == Method::DELETE { "delete" } else { "pull" };
                let scope = scope.unwrap_or_else(|| format!("repository:{}:{right}", asked.repository));
                let server = TokenServer { realm: &realm, service: service.as_deref(), scope: &scope };
                server.token(&self.http, &asked.url, asked.at, login).await?
            }
            Challenge::Basic => match login.map(|login| login.credential) {
                // The same pair again would be refused again.
                Some(Login::Pair(pair)) if before.credential.is_none() => Credential::Pair(pair),
                _ => return denied(source.as_deref()),
            },
        };
        Ok(Grant { credential: Some(credential), source })
    }

    /// Find a login, on a thread that may block: a credential helper is a program of its own.
    async fn login(&self, asked: &Asked<'_>) -> Option<Sourced<Login>> {
        let (http, url, access) = (Arc::clone(&self.http), asked.url.clone(), Arc::clone(&asked.at.access));
        let looked = tokio::task::spawn_blocking(move || http.credentials.for_registry(&url, &access)).await;
        looked.unwrap_or_default()
    }

    fn shared_grant(&self, asked: &Asked<'_>) -> SharedGrant {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(grants.entry(asked.at.with_path(asked.repository)).or_default())
    }
}

impl Grant {
    /// What is sent before the registry asked for anything.
    fn first(access: &Access) -> Self {
        let token = entry_token(access);
        let source = token.as_ref().map(|token| token.source.clone());
        Self { credential: token.map(|token| token.credential), source }
    }
}

impl Asked<'_> {
    fn is_manifest(&self) -> bool {
        self.at.url.path().rsplit('/').nth(1) == Some("manifests")
    }
}

/// The URL that is asked in the end.
pub(super) fn over_http(url: &Url) -> Result<Url> {
    let scheme = if url.scheme() == "oci" { "https" } else { "http" };
    let text = format!("{scheme}{}", url.as_str().strip_prefix(url.scheme()).unwrap_or_default());
    text.parse().map_err(|_| {
        TransportError::login(url, "it has no name that can be looked up", "expected `oci://host/repository`")
    })
}

/// The repository in `/v2/REPOSITORY/manifests/…`, `/v2/REPOSITORY/blobs/…` or `/v2/REPOSITORY/tags/list`.
fn repository(url: &Url) -> &str {
    let path = url.path().strip_prefix("/v2/").unwrap_or_default();
    path.rsplitn(3, '/').nth(2).unwrap_or_default()
}
