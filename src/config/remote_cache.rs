//! `caches:` with a `url`: the caches in object stores, which all jobs of a team share.

use std::sync::Arc;

use super::cache_name::CacheName;
use super::keep::Keep;
use super::mirror_pattern::Prefixes;
use crate::types::{Access, MirrorUrl, PlainHttp};

/// One cache in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCacheEntry {
    /// Its name; no other cache has it.
    pub name: CacheName,
    /// The mirrors whose binaries it keeps.
    pub prefixes: Prefixes,
    /// Where it is: bucket and prefix.
    pub url: MirrorUrl,
    /// What `larder prune` leaves in it: everything, or what was used lately.
    pub keep: Keep,
    /// Whether the endpoint may do without TLS.
    pub plain_http: PlainHttp,
    /// Credentials, and where the store is reached.
    pub access: Arc<Access>,
}
