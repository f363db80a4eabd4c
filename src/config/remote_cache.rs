//! `caches:` with a `url`: the caches in object stores, which all jobs of a team share.

use std::sync::Arc;

use crate::config::access;
use crate::config::cache_entry::{CacheEntry, CacheShape};
use crate::config::cache_name::CacheName;
use crate::config::complaint::Complaint;
use crate::config::keep::Keep;
use crate::config::mirror_pattern::MirrorPattern;
use crate::config::reader::{Problem, Reader, flag, line};
use crate::config::slack::Slack;
use crate::types::{Access, MirrorUrl, PlainHttp, is_object_store};

/// One cache in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCacheEntry {
    /// Its name; no other cache has it.
    pub name: CacheName,
    /// The mirrors whose binaries it keeps; empty: all.
    pub prefixes: Vec<MirrorPattern>,
    /// Where it is: bucket and prefix.
    pub url: MirrorUrl,
    /// What `larder prune` leaves in it: everything, or what was used lately.
    pub keep: Keep,
    /// Whether the endpoint may do without TLS.
    pub plain_http: PlainHttp,
    /// Credentials, and where the store is reached.
    pub access: Arc<Access>,
}

impl RemoteCacheEntry {
    /// Whether the cache is for binaries of this mirror.
    pub fn matches(&self, mirror: &MirrorUrl) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|pattern| pattern.matches(mirror))
    }

    /// An entry with a `url`, of which `cache` says what it has in common with a folder.
    pub(super) fn read(reader: &Reader<'_>, shape: &CacheShape, cache: &CacheEntry) -> Result<Option<Self>, Problem> {
        let Some(url) = &shape.url else {
            let insecure = shape.insecure.is_some().then_some("insecure");
            if let Some(key) = insecure.or(shape.access_keys().first()) {
                let complaint =
                    Complaint::new(format!("`{key}` is about reaching an object store, and there is no `url`"));
                return Err(reader.key(key).problem(complaint.help("a folder needs no key; remove it")));
            }
            return Ok(None);
        };
        let at_url = reader.key("url");
        if shape.path.is_some() {
            let complaint = Complaint::new(format!("the cache `{}` has both a `path` and a `url`", cache.name));
            return Err(
                at_url.problem(complaint.help("a cache is a folder or lies in an object store: make two of it"))
            );
        }
        let url = at_url.read(url, |text| {
            let url = MirrorUrl::parse(&line(text)?, reader.root()).map_err(Complaint::from)?;
            let scheme = url.public_text();
            let scheme = scheme.split(':').next().unwrap_or_default();
            if is_object_store(scheme) {
                Ok(url)
            } else {
                Err(Complaint::new(format!("a cache can't be at `{url}`"))
                    .help("`url` is a place in an object store, such as `s3://bucket/larder`; a folder is a `path`"))
            }
        })?;
        let at_keep = reader.key("keep");
        match cache.keep {
            Keep::Lockfile | Keep::Used { lockfile: crate::config::LockfileBlobs::Kept, .. } => {
                let complaint = Complaint::new("one project's lockfiles don't decide over a cache that others use");
                return Err(at_keep.problem(complaint.help("keep by `max-age` and `max-size`")));
            }
            _ if cache.slack != Slack::NONE => {
                let complaint =
                    Complaint::new("`slack` saves uploads of a whole cache, which an object store never takes");
                return Err(at_keep.problem(complaint.help("leave it out")));
            }
            _ => {}
        }
        let plain_http = match reader.read_key("insecure", shape.insecure.as_ref(), flag)? {
            Some(true) => PlainHttp::Anywhere,
            Some(false) | None => PlainHttp::LoopbackOnly,
        };
        let access = Arc::new(access::read(reader, &shape.access_keys(), plain_http)?);
        let (name, prefixes, keep) = (cache.name.clone(), cache.prefixes.clone(), cache.keep);
        Ok(Some(Self { name, prefixes, url, keep, plain_http, access }))
    }
}
