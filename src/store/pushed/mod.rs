//! A mirror that outlives pipelines and collects what they built, as something in which room is made.
//!
//! Only a mirror that the configuration marks with `collect: true` becomes one of these, so no other mirror is ever pruned. Jobs push
//! at any time, and so may people with Spack: what is younger than [`GRACE`] stays, what has no name as Spack gives it is never
//! touched, and nothing in the mirror is trusted further than that a wrong claim may keep something, or remove what makes it.
//!
//! | module | what it is for |
//! |---|---|
//! | `images` | a registry: tags, deleted by the digest of their manifest |
//! | `objects` | a bucket: metadata first, and then blobs that nothing refers to |

mod images;
mod objects;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::error::StoreError;
use super::inventory::{Item, Key};
use super::policy::Used;
use crate::config::BuiltMirrorEntry;
use crate::report::CacheReport;
use crate::transport::{Transport, TransportError};

/// How old something must be to be removed: a job may be about to refer to it.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// The mirror, and the transport that reaches it.
#[derive(Clone, Debug)]
pub(crate) struct PushedMirror<'a> {
    pub entry: &'a BuiltMirrorEntry,
    pub transport: Arc<Transport>,
}

impl PushedMirror<'_> {
    /// The specs that are too young to be removed.
    pub(crate) fn fresh(items: &[Item], now: Timestamp) -> Used {
        let young = items.iter().filter(|item| now.duration_since(item.last_used) < GRACE);
        let specs: HashSet<_> = young.flat_map(Item::specs).collect();
        Used { specs, ..Used::default() }
    }

    /// A report of it with these items.
    pub(crate) fn report(&self, items: &[Item]) -> CacheReport {
        let (name, url) = (self.entry.mirror.name.clone(), Some(self.entry.mirror.url.to_string()));
        let blobs = items.iter().map(|item| item.blobs.len() as u64).sum();
        CacheReport { name, url, blobs, bytes: items.iter().map(|item| item.bytes).sum(), ..CacheReport::default() }
    }

    /// How many requests are made at once.
    fn requests(&self) -> usize {
        self.transport.settings().metadata_connections
    }

    fn failed(&self, source: TransportError) -> StoreError {
        StoreError::Remote { cache: self.entry.mirror.name.clone(), source }
    }
}

impl fmt::Display for PushedMirror<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mirror `{}`", self.entry.mirror.name)
    }
}

/// The name of an item: the tag, or the metadata's path.
fn name_of(item: &Item) -> &str {
    match &item.key {
        Key::Spec(_, name) => name.to_str().unwrap_or_default(),
        Key::Blob(_) => "",
    }
}
