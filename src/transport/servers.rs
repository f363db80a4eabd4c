//! Every kind of server behind one question: what it answers when it is asked for a file.

use std::sync::Arc;

use super::body::{Body, Part, Purpose, collect, within_total};
use super::counters::Counters;
use super::credentials::{Credentials, Login};
use super::error::Result;
use super::file;
use super::http::Http;
use super::limits::NetworkSettings;
use super::location::Location;
use super::objects::Objects;
use super::registry::{Registry, over_http};
use super::retry::retry;
use crate::types::{AccessPair, Variables, is_object_store};

#[derive(Debug)]
pub(super) struct Servers {
    pub settings: NetworkSettings,
    pub counters: Counters,
    pub objects: Objects,
    http: Arc<Http>,
    pub registry: Registry,
}

impl Servers {
    pub(super) fn new(settings: NetworkSettings, variables: &Variables) -> Self {
        let http = Arc::new(Http::new(&settings, Credentials::new(variables)));
        let objects = Objects::new(&settings, variables);
        let registry = Registry::new(Arc::clone(&http));
        Self { settings, counters: Counters::default(), objects, http, registry }
    }

    /// Begin to receive a file, or a part of it, from whatever kind of server has it. `None` where there is none.
    pub(super) async fn open(&self, at: &Location, part: Option<&Part>, purpose: Purpose) -> Result<Option<Body>> {
        self.counters.request();
        match at.url.scheme() {
            "oci" | "oci+http" => self.registry.open(at, part, purpose).await,
            scheme if is_object_store(scheme) => self.objects.open(at, part).await,
            _ => self.http.open(at, part, purpose).await,
        }
    }

    /// How to log in to the registry of a repository with a user name and a password, where any are known. Starting a credential
    /// helper may block.
    pub(super) fn registry_login(&self, at: &Location) -> Option<AccessPair> {
        match self.http.credentials.for_registry(&over_http(&at.url).ok()?, &at.access)?.credential {
            Login::Pair(pair) => Some(pair),
            Login::Identity(_) => None,
        }
    }

    /// All of a small file, at most `limit` bytes. `None` where there is none.
    pub(super) async fn document(&self, at: &Location, limit: u64) -> Result<Option<Vec<u8>>> {
        let settings = &self.settings;
        let found = retry(settings, || async {
            if at.is_file() {
                self.counters.request();
                return file::document(&at.url, limit);
            }
            let received = async {
                match self.open(at, None, Purpose::Document).await? {
                    Some(body) => collect(settings, &at.url, body, limit).await.map(Some),
                    None => Ok(None),
                }
            };
            within_total(settings.total_timeout, &at.url, received).await
        })
        .await?;
        self.counters.document_bytes.add(found.as_ref().map_or(0, Vec::len) as u64);
        Ok(found)
    }
}
