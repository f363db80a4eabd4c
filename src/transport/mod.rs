//! Bytes from URLs: `file://`, `https://` and `http://`, and from registries (`oci://`, `oci+http://`).
//!
//! Two kinds of things are fetched. A *document* is small, is kept in memory, and may be absent ([`Transport::document`]).
//! A *blob* has a digest and goes to a file; it is returned only once its bytes are right ([`Transport::blob`], which the
//! module `download` is about). A retry repeats the reception too, not only the request: a body can break after a 200.

mod body;
mod certificate;
mod counters;
mod credentials;
mod download;
mod error;
mod file;
mod http;
mod limits;
mod location;
mod objects;
mod purpose;
mod registry;
mod retry;

use std::sync::Arc;

pub(crate) use download::journal_of;
pub use download::{Order, Partial, Slot};
pub use error::TransportError;
pub use limits::{Limits, NetworkSettings};
pub use location::Location;
pub(crate) use location::public;
pub use objects::{Listed, ObjectError, Refusal, UploadError, Written};

use crate::verified::Expected;
use body::{Body, Part};
use counters::Counters;
use credentials::Credentials;
use purpose::Purpose;

use crate::types::{Variables, is_object_store};

/// Fetches from mirrors, within the [`Limits`], and counts what it did.
#[derive(Debug)]
pub struct Transport {
    http: http::Http,
    objects: objects::Objects,
    registry: registry::Registry,
    settings: NetworkSettings,
    limits: Limits,
    counters: Counters,
    slots: Arc<download::Slots>,
    bandwidth: Option<Arc<download::Bandwidth>>,
    wrong_sources: download::WrongSources,
}

impl Transport {
    /// A transport that has not set up anything yet: TLS and connection pools come with the first request. `variables` say
    /// where credentials are.
    pub fn new(settings: NetworkSettings, limits: Limits, variables: &Variables) -> Self {
        let slots = download::Slots::new(settings.connections);
        let bandwidth = settings.bandwidth.map(|rate| Arc::new(download::Bandwidth::new(rate)));
        let credentials = Arc::new(Credentials::new(variables));
        let objects = objects::Objects::new(&settings, variables);
        let registry = registry::Registry::new(&settings, Arc::clone(&credentials));
        let http = http::Http::new(&settings, credentials);
        let (counters, wrong_sources) = Default::default();
        Self { http, objects, registry, settings, limits, counters, slots, bandwidth, wrong_sources }
    }

    /// Have the limits on connections and bandwidth in common with another transport: together they take no more than one.
    #[must_use]
    pub fn within_limits_of(mut self, other: &Self) -> Self {
        (self.slots, self.bandwidth) = (Arc::clone(&other.slots), other.bandwidth.clone());
        self
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &NetworkSettings {
        &self.settings
    }

    /// A small document, or `None` where the server says that there is none. Never `None` for any other trouble.
    pub async fn document(&self, at: &Location) -> Result<Option<Vec<u8>>, TransportError> {
        let limit = self.limits.document_bytes;
        let found = retry::retry(&self.settings, || async {
            self.counters.request();
            if at.url.scheme() == "file" {
                return file::document(&at.url, limit);
            }
            let opened = async {
                match self.open(at, None, Purpose::Document).await? {
                    Some(body) => body::collect(&self.settings, &at.url, body, limit).await.map(Some),
                    None => Ok(None),
                }
            };
            body::within_total(self.settings.total_timeout, &at.url, opened).await
        })
        .await?;
        if let Some(bytes) = &found {
            self.counters.document_bytes.add(bytes.len() as u64);
        }
        Ok(found)
    }

    /// Begin to receive a file, or a part of it, from whatever kind of server has it.
    async fn open(&self, at: &Location, part: Option<&Part>, purpose: Purpose) -> Result<Option<Body>, TransportError> {
        match at.url.scheme() {
            "oci" | "oci+http" => self.registry.open(&self.http, at, part, purpose).await,
            scheme if is_object_store(scheme) => self.objects.open(at, part).await,
            _ => self.http.open(at, part, purpose).await,
        }
    }

    /// Put a blob into an object store under its name, unless it is there already. `go_on` is asked between its parts.
    pub async fn upload(
        &self,
        at: &Location,
        file: impl std::io::Read + Send,
        expected: Expected,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, UploadError> {
        self.counters.request();
        self.objects.upload(at, file, expected.capped(self.limits.blob_bytes), go_on).await
    }

    /// Write a small object, unless there is one of this name.
    pub async fn put(&self, at: &Location, bytes: Vec<u8>) -> Result<Written, TransportError> {
        self.counters.request();
        self.objects.put(at, bytes.into()).await
    }

    /// Every object below a place of an object store.
    pub async fn list(&self, at: &Location) -> Result<Vec<Listed>, TransportError> {
        self.counters.request();
        self.objects.list(at).await
    }

    /// What an object store says of an object, or `None` where there is none.
    pub async fn stat(&self, at: &Location) -> Result<Option<Listed>, TransportError> {
        self.counters.request();
        self.objects.stat(at).await
    }

    /// Remove an object. One that is gone already is as good as removed.
    pub async fn delete(&self, at: &Location) -> Result<(), TransportError> {
        self.counters.request();
        self.objects.delete(at).await
    }

    /// How many requests were made, repeated ones included.
    pub fn requests(&self) -> u64 {
        self.counters.requests.get()
    }

    /// How many bytes of blobs did not have to be asked for, since an earlier run had received them.
    pub fn resumed_bytes(&self) -> u64 {
        self.counters.resumed_bytes.get()
    }

    /// How many bytes of documents arrived.
    pub fn document_bytes(&self) -> u64 {
        self.counters.document_bytes.get()
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
        let held = mirrors.slot(&at("https://mirror.example/x")).await;
        assert!(teams.slot(&at("s3://bucket/x")).now_or_never().is_none());
        drop(held);
        assert!(teams.slot(&at("s3://bucket/x")).now_or_never().is_some());
    }
}
