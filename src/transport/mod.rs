//! Bytes from URLs: `file://`, `https://` and `http://`, object stores (`s3://`, `gs://`, `az://`), and registries (`oci://`,
//! `oci+http://`).
//!
//! Two kinds of things are fetched. A *document* is small, is kept in memory, and may be absent ([`Transport::document`]).
//! A *blob* has a digest and goes to a file; it is returned only once its bytes are right ([`Transport::blob`], which the
//! module `download` is about). A retry repeats the reception too, not only the request: a body can break after a 200.
//!
//! At the bottom are `causes`, `location`, `limits`, `error`; above them `retry`, `body`, `credentials`, `http`; then `registry`
//! and `objects`, the kinds of servers, which `servers` puts behind one function; `download` on top.

mod body;
mod causes;
mod counters;
mod credentials;
mod download;
mod error;
mod file;
mod http;
mod limits;
mod location;
mod objects;
mod registry;
mod retry;
mod servers;

use std::sync::Arc;

pub(crate) use self::download::journal_of;
pub use self::download::{FetchRequest, Partial, Permit};
pub use self::error::TransportError;
pub use self::limits::{Limits, NetworkSettings};
pub use self::location::Location;
pub use self::objects::{Cause, Listed, Refusal, UploadError, Written};

use self::counters::Counters;
use self::download::Downloads;
use self::error::Result;
use self::retry::retry;
use self::servers::Servers;
use crate::types::{AccessPair, Variables};
use crate::verified::{Expected, VerifiedBlob};

/// Fetches from mirrors, within the [`Limits`], and counts what it did.
#[derive(Debug)]
pub struct Transport {
    servers: Arc<Servers>,
    downloads: Downloads,
    limits: Limits,
}

impl Transport {
    /// A transport that has not set up anything yet: TLS and connection pools come with the first request. `variables` say
    /// where credentials are.
    pub fn new(settings: NetworkSettings, limits: Limits, variables: &Variables) -> Self {
        let servers = Arc::new(Servers::new(settings, variables));
        Self { downloads: Downloads::new(Arc::clone(&servers), limits.blob_bytes), servers, limits }
    }

    /// Have the limits on connections and bandwidth in common with another transport: together they take no more than one.
    #[must_use]
    pub fn within_limits_of(mut self, other: &Self) -> Self {
        self.downloads.share_limits_of(&other.downloads);
        self
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &NetworkSettings {
        &self.servers.settings
    }

    /// A small document, or `None` where the server says that there is none. Never `None` for any other trouble.
    pub async fn document(&self, at: &Location) -> Result<Option<Vec<u8>>> {
        self.servers.document(at, self.limits.document_bytes).await
    }

    /// Wait until a blob from there may be started on.
    pub async fn permit(&self, at: &Location) -> Permit {
        self.downloads.permit(None, at).await
    }

    /// Go on with a permit if it is for the server that is asked next, else wait for one.
    pub async fn permit_from(&self, permit: Option<Permit>, at: &Location) -> Permit {
        self.downloads.permit(permit, at).await
    }

    /// Fetch a blob. `progress` is told of every piece that arrives, and of what is taken back (a negative number).
    pub async fn blob(
        &self,
        permit: Permit,
        request: FetchRequest,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<VerifiedBlob> {
        self.downloads.blob(permit, request, progress).await
    }

    /// Put a blob into an object store under its name, unless it is there already. `may_continue` is asked between its parts.
    pub async fn upload(
        &self,
        at: &Location,
        file: impl std::io::Read + Send,
        expected: Expected,
        may_continue: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, UploadError> {
        self.objects().upload(at, file, expected.capped(self.limits.blob_bytes), may_continue).await
    }

    /// Write a small object, unless there is one of this name.
    pub async fn put(&self, at: &Location, bytes: Vec<u8>) -> Result<Written> {
        self.objects().put(at, bytes.into()).await
    }

    /// Every object below a place of an object store.
    pub async fn list(&self, at: &Location) -> Result<Vec<Listed>> {
        self.objects().list(at).await
    }

    /// What an object store says of an object, or `None` where there is none.
    pub async fn stat(&self, at: &Location) -> Result<Option<Listed>> {
        self.objects().stat(at).await
    }

    /// Remove an object. One that is gone already is as good as removed.
    pub async fn delete(&self, at: &Location) -> Result<()> {
        self.objects().delete(at).await
    }

    /// The tags of a registry's repository, given the URL of their list.
    pub async fn tags(&self, at: &Location) -> Result<Vec<String>> {
        self.servers.counters.request();
        retry(&self.servers.settings, || self.servers.registry.tags(at)).await
    }

    /// Delete the manifest of a registry with the digest that the URL names.
    pub async fn delete_manifest(&self, at: &Location) -> Result<()> {
        self.servers.counters.request();
        retry(&self.servers.settings, || self.servers.registry.delete(at)).await
    }

    /// The user name and the password that are known for a registry. May block: a credential helper is a program of its own.
    pub(crate) fn registry_login(&self, at: &Location) -> Option<AccessPair> {
        self.servers.registry_login(at)
    }

    /// The object stores, to be asked for something.
    fn objects(&self) -> &objects::Objects {
        self.servers.counters.request();
        &self.servers.objects
    }

    /// What it did so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.servers.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PlainHttp;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn two_transports_within_one_limit_have_no_more_connections_than_one() {
        let settings = NetworkSettings { connections: 1, ..NetworkSettings::default() };
        let new = || Transport::new(settings.clone(), Limits::default(), &Variables::default());
        let mirrors = new();
        let teams = new().within_limits_of(&mirrors);
        let at = |url: &str| Location {
            url: url.parse().unwrap(),
            plain_http: PlainHttp::LoopbackOnly,
            access: Arc::default(),
        };
        let held = mirrors.permit(&at("https://mirror.example/x")).await;
        assert!(teams.permit(&at("s3://bucket/x")).now_or_never().is_none());
        drop(held);
        assert!(teams.permit(&at("s3://bucket/x")).now_or_never().is_some());
    }
}
