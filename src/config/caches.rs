//! From `caches:` to caches that are folders and caches in object stores.

use std::path::Path;

use super::access::ACCESS_KEYS;
use super::cache_entry::{CacheEntry, Kept, RemoteCacheEntry, default_path};
use super::cache_name::CacheName;
use super::folders::Surroundings;
use super::keep::{Keep, KeepRules, LockfileBlobs};
use super::schema::CacheSchema;
use super::slack::Slack;
use super::text::Line;
use crate::types::MirrorUrl;
use crate::yaml::{Node, Problem, Result};

/// What `caches:` lists.
#[derive(Default)]
pub(super) struct Caches {
    pub(super) folders: Vec<CacheEntry>,
    pub(super) remotes: Vec<RemoteCacheEntry>,
}

impl Caches {
    /// The entries that `nodes` say.
    pub(super) fn read(entries: Vec<CacheSchema>, nodes: &[Node], surroundings: &Surroundings<'_>) -> Result<Self> {
        let mut caches = Self::default();
        if entries.is_empty() {
            return Err(Problem::new("there is no cache in `caches`")
                .help("leave the key out for the default, one cache in `.larder/shared`"));
        }
        for (entry, node) in entries.into_iter().zip(nodes) {
            let Some(name) = entry.name.clone() else {
                return Err(Problem::new("a cache needs a `name`").help("for example `name: shared`").at(&node.place));
            };
            if caches.names().any(|other| *other == name) {
                let problem = Problem::new(format!("two caches have the name `{name}`"));
                return Err(problem.help("give each cache a name of its own").at(node.place_of("name")));
            }
            if entry.url.is_some() {
                caches.remotes.push(remote(name, entry, node, surroundings)?);
            } else {
                let folder = folder(name, entry, node, surroundings, &caches.folders)?;
                caches.folders.push(folder);
            }
        }
        Ok(caches)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &CacheName> {
        self.folders.iter().map(|cache| &cache.name).chain(self.remotes.iter().map(|cache| &cache.name))
    }
}

fn folder(
    name: CacheName,
    entry: CacheSchema,
    node: &Node,
    surroundings: &Surroundings<'_>,
    others: &[CacheEntry],
) -> Result<CacheEntry> {
    if let Some((key, place)) = node.first_of(&ACCESS_KEYS) {
        let problem = Problem::new(format!("`{key}` is about reaching an object store, and there is no `url`"));
        return Err(problem.help("a folder needs no key; remove it").at(place));
    }
    let root = surroundings.root;
    let path = entry.path.map_or_else(|| default_path(root, &name), |path| path.below(root));
    let help = match name.as_str() {
        "job" => "give it a name other than `job`, or a `path` of its own".to_owned(),
        name => format!("for example `path: .larder/{name}`"),
    };
    surroundings
        .refuse_overlap(others, &format!("the cache `{name}`"), &path, &help)
        .map_err(|problem| problem.at(node.place_of("path")))?;
    let (prefixes, keep) = (entry.prefix.unwrap_or_default(), entry.keep.unwrap_or_default());
    Ok(CacheEntry { name, prefixes, path, keep, kept: Kept::Yes })
}

fn remote(
    name: CacheName,
    entry: CacheSchema,
    node: &Node,
    surroundings: &Surroundings<'_>,
) -> Result<RemoteCacheEntry> {
    if entry.path.is_some() {
        let problem = Problem::new(format!("the cache `{name}` has both a `path` and a `url`"));
        let help = "a cache is a folder or lies in an object store: make two of it";
        return Err(problem.help(help).at(node.place_of("url")));
    }
    let access = entry.access().read(node, surroundings.variables)?;
    let plain_http = entry.access().plain_http();
    let url = entry.url.as_ref().map_or("", |Line(text)| text);
    let url = store_url(url, surroundings.root).map_err(|problem| problem.at(node.place_of("url")))?;
    let keep = entry.keep.unwrap_or_default();
    for_many_projects(keep).map_err(|problem| problem.at(node.place_of("keep")))?;
    Ok(RemoteCacheEntry { name, prefixes: entry.prefix.unwrap_or_default(), url, keep, plain_http, access })
}

fn store_url(text: &str, root: &Path) -> Result<MirrorUrl> {
    let url = MirrorUrl::parse(text, root).map_err(|error| Problem::new(error.to_string()))?;
    if url.is_object_store() {
        return Ok(url);
    }
    Err(Problem::new(format!("a cache can't be at `{url}`"))
        .help("`url` is a place in an object store, such as `s3://bucket/larder`; a folder is a `path`"))
}

/// Whether `keep:` means something in an object store.
fn for_many_projects(keep: Keep) -> Result<()> {
    if let Keep::Rules(KeepRules { lockfile: LockfileBlobs::Kept, .. }) = keep {
        return Err(Problem::new("one project's lockfiles don't decide over a cache that others use")
            .help("keep by `max-age` and `max-size`"));
    }
    if keep.slack() != Slack::NONE {
        return Err(Problem::new("`slack` saves uploads of a whole cache, which an object store never takes")
            .help("leave it out"));
    }
    Ok(())
}
