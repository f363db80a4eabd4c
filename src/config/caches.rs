//! From `caches:` to caches that are folders and caches in object stores.

use std::path::{Path, PathBuf};

use super::cache_entry::{CacheEntry, Kept, default_path};
use super::cache_name::CacheName;
use super::folders::Folders;
use super::keep::{Keep, KeepRules, LockfileBlobs};
use super::mirror_pattern::MirrorPattern;
use super::remote_cache::RemoteCacheEntry;
use super::schema::CacheSchema;
use super::slack::Slack;
use super::text::{Line, OneOrMany};
use crate::types::{MirrorUrl, Variables};
use crate::yaml::{At, Place, Problem};

/// What `caches:` lists.
#[derive(Default)]
pub(super) struct Caches {
    pub(super) folders: Vec<CacheEntry>,
    pub(super) remotes: Vec<RemoteCacheEntry>,
}

impl Caches {
    pub(super) fn read(
        entries: At<Vec<At<CacheSchema>>>,
        root: &Path,
        environments: &[PathBuf],
        variables: &Variables,
    ) -> Result<Self, Problem> {
        let mut caches = Self::default();
        let At(list, entries) = entries;
        if entries.is_empty() {
            return Err(Problem::new("there is no cache in `caches`")
                .help("leave the key out for the default, one cache in `.larder/shared`")
                .at(list));
        }
        for At(place, mut entry) in entries {
            let Some(At(at_name, name)) = entry.name.take() else {
                return Err(Problem::new("a cache needs a `name`").help("for example `name: shared`").at(place));
            };
            if caches.names().any(|other| *other == name) {
                let problem = Problem::new(format!("two caches have the name `{name}`"));
                return Err(problem.help("give each cache a name of its own").at(at_name));
            }
            if let Some(url) = entry.url.take() {
                caches.remotes.push(remote(name, &url, entry, root, variables)?);
            } else {
                let taken = Folders { root, environments, caches: &caches.folders };
                let folder = folder(name, entry, place, &taken)?;
                caches.folders.push(folder);
            }
        }
        Ok(caches)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &CacheName> {
        self.folders.iter().map(|cache| &cache.name).chain(self.remotes.iter().map(|cache| &cache.name))
    }
}

fn folder(name: CacheName, entry: CacheSchema, place: Place, taken: &Folders<'_>) -> Result<CacheEntry, Problem> {
    if let Some((key, at_key)) = entry.access().first() {
        let problem = Problem::new(format!("`{key}` is about reaching an object store, and there is no `url`"));
        return Err(problem.help("a folder needs no key; remove it").at(at_key));
    }
    let (at_path, path) = match entry.path {
        Some(At(at_path, path)) => (at_path, path.below(taken.root)),
        None => (place, default_path(taken.root, &name)),
    };
    let help = match name.as_str() {
        "job" => "give it a name other than `job`, or a `path` of its own".to_owned(),
        name => format!("for example `path: .larder/{name}`"),
    };
    taken.refuse_overlap(&format!("the cache `{name}`"), &path, &help).map_err(|problem| problem.at(at_path))?;
    let keep = entry.keep.map(At::into_inner).unwrap_or_default();
    Ok(CacheEntry { name, prefixes: prefixes(entry.prefix)?, path, keep, kept: Kept::Yes })
}

fn remote(
    name: CacheName,
    url: &At<Line>,
    entry: CacheSchema,
    root: &Path,
    variables: &Variables,
) -> Result<RemoteCacheEntry, Problem> {
    if entry.path.is_some() {
        let problem = Problem::new(format!("the cache `{name}` has both a `path` and a `url`"));
        return Err(problem.help("a cache is a folder or lies in an object store: make two of it").at(url.place()));
    }
    let plain_http = entry.access().plain_http();
    let access = entry.access().read(variables)?;
    let url = url.parse(|Line(text)| {
        let url = MirrorUrl::parse(text, root).map_err(|error| Problem::new(error.to_string()))?;
        if url.is_object_store() {
            return Ok(url);
        }
        Err(Problem::new(format!("a cache can't be at `{url}`"))
            .help("`url` is a place in an object store, such as `s3://bucket/larder`; a folder is a `path`"))
    })?;
    let keep = entry.keep.map(|keep| keep.parse(|keep| for_many_projects(*keep))).transpose()?.unwrap_or_default();
    Ok(RemoteCacheEntry { name, prefixes: prefixes(entry.prefix)?, url, keep, plain_http, access })
}

/// A `keep:` that means something in an object store.
fn for_many_projects(keep: Keep) -> Result<Keep, Problem> {
    if let Keep::Rules(KeepRules { lockfile: LockfileBlobs::Kept, .. }) = keep {
        return Err(Problem::new("one project's lockfiles don't decide over a cache that others use")
            .help("keep by `max-age` and `max-size`"));
    }
    if keep.slack() != Slack::NONE {
        return Err(Problem::new("`slack` saves uploads of a whole cache, which an object store never takes")
            .help("leave it out"));
    }
    Ok(keep)
}

fn prefixes(prefixes: Option<At<OneOrMany<MirrorPattern>>>) -> Result<Vec<MirrorPattern>, Problem> {
    let Some(At(place, prefixes)) = prefixes else { return Ok(Vec::new()) };
    let prefixes = prefixes.into_vec();
    if prefixes.is_empty() {
        return Err(Problem::new("there is no prefix in the list, so the cache would be for no mirror")
            .help("leave `prefix` out for a cache for all mirrors")
            .at(place));
    }
    Ok(prefixes)
}
