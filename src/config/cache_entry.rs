//! `caches:`: the folders that GitLab keeps between jobs.

use std::path::{Path, PathBuf};

use super::access::{AccessKeys, PairShape};
use super::cache_name::{CacheName, is_lock};
use super::complaint::Complaint;
use super::keep::{Keep, KeepShape};
use super::mirror_pattern::MirrorPattern;
use super::reader::{Problem, Reader, path};
use super::shape::{Text, TextOr, shape};
use super::slack::Slack;
use crate::config::remote_cache::RemoteCacheEntry;
use crate::types::MirrorUrl;

/// One cache that is a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its name; no other cache has it.
    pub name: CacheName,
    /// The mirrors whose binaries it keeps; empty: all.
    pub prefixes: Vec<MirrorPattern>,
    /// Its folder, absolute. It overlaps neither with another cache's nor with anything that is not a cache.
    pub path: PathBuf,
    /// What stays in it after a job.
    pub keep: Keep,
    /// How much of the rest may stay as well, as long as it would take an upload to be rid of it.
    pub slack: Slack,
    /// Whether anybody keeps the folder between jobs.
    pub kept: Kept,
}

/// Whether anybody keeps a cache's folder between jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// GitLab, or a volume.
    #[default]
    Yes,
    /// Nobody: it is where blobs lie while a job uses them that a [`RemoteCacheEntry`] keeps.
    No,
}

shape! {
    /// An entry of `caches:`.
    CacheShape, "a map with `name`, and perhaps `prefix`, `path` or `url`, and `keep`" {
        "name" => name: Text,
        "prefix" => prefix: TextOr<Vec<Text>>,
        "path" => path: Text,
        "url" => url: Text,
        "insecure" => insecure: Text,
        "access-pair" => access_pair: PairShape,
        "access-token-variable" => access_token_variable: Text,
        "profile" => profile: Text,
        "endpoint-url" => endpoint_url: Text,
        "keep" => keep: TextOr<KeepShape>,
    }
}

impl CacheShape {
    pub(super) fn access_keys(&self) -> AccessKeys<'_> {
        AccessKeys {
            pair: self.access_pair.as_ref(),
            token_variable: self.access_token_variable.as_ref(),
            profile: self.profile.as_ref(),
            endpoint_url: self.endpoint_url.as_ref(),
        }
    }
}

impl CacheEntry {
    /// Whether the cache is for binaries of this mirror.
    pub fn matches(&self, mirror: &MirrorUrl) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|pattern| pattern.matches(mirror))
    }

    /// The only cache where the configuration names none: `.larder/shared`, for all mirrors.
    pub(super) fn shared(root: &Path) -> Self {
        let name = CacheName::shared();
        let (keep, slack, kept) = (Keep::default(), Slack::NONE, Kept::Yes);
        Self { path: default_path(root, &name), name, prefixes: Vec::new(), keep, slack, kept }
    }

    /// Where blobs lie that no other folder takes: `.larder/scratch`.
    pub(super) fn scratch(root: &Path) -> Self {
        let name = CacheName::scratch();
        Self { path: default_path(root, &name), name, kept: Kept::No, ..Self::shared(root) }
    }

    pub(super) fn read_all(
        reader: &Reader<'_>,
        shapes: &[CacheShape],
        environments: &[PathBuf],
    ) -> Result<(Vec<Self>, Vec<RemoteCacheEntry>), Problem> {
        if shapes.is_empty() {
            let complaint = Complaint::new("there is no cache in `caches`");
            return Err(
                reader.problem(complaint.help("leave the key out for the default, one cache in `.larder/shared`"))
            );
        }
        let mut caches: Vec<Self> = Vec::new();
        let mut teams: Vec<RemoteCacheEntry> = Vec::new();
        for (index, shape) in shapes.iter().enumerate() {
            let reader = reader.item(index);
            let cache = Self::read(&reader, shape)?;
            let mut names = caches.iter().map(|other| &other.name).chain(teams.iter().map(|other| &other.name));
            if names.any(|name| *name == cache.name) {
                let complaint = Complaint::new(format!("two caches have the name `{}`", cache.name));
                return Err(reader.key("name").problem(complaint.help("give each cache a name of its own")));
            }
            if let Some(team) = RemoteCacheEntry::read(&reader, shape, &cache)? {
                teams.push(team);
                continue;
            }
            let help = match cache.name.as_str() {
                "job" => "give it a name other than `job`, or a `path` of its own".to_owned(),
                name => format!("for example `path: .larder/{name}`"),
            };
            let folder = Place { what: format!("the cache `{}`", cache.name), path: &cache.path };
            if let Some(complaint) = overlap(&folder, &help, &caches, reader.root(), environments) {
                let place = if shape.path.is_some() { reader.key("path") } else { reader };
                return Err(place.problem(complaint));
            }
            caches.push(cache);
        }
        Ok((caches, teams))
    }

    fn read(reader: &Reader<'_>, shape: &CacheShape) -> Result<Self, Problem> {
        let root = reader.root();
        let Some(name) = reader.read_key("name", shape.name.as_ref(), str::parse::<CacheName>)? else {
            let complaint = Complaint::new("a cache needs a `name`");
            return Err(reader.problem(complaint.help("for example `name: shared`")));
        };
        let prefixes = shape.prefix.as_ref().map_or(&[][..], TextOr::as_list);
        let at_prefix = reader.key("prefix");
        let prefixes = match &shape.prefix {
            Some(TextOr::Text(prefix)) => vec![at_prefix.read(prefix, MirrorPattern::parse)?],
            Some(TextOr::Other(_)) if prefixes.is_empty() => {
                let complaint = Complaint::new("there is no prefix in the list, so the cache would be for no mirror");
                return Err(at_prefix.problem(complaint.help("leave `prefix` out for a cache for all mirrors")));
            }
            _ => at_prefix.read_list(prefixes, MirrorPattern::parse)?,
        };
        let path = reader.read_key("path", shape.path.as_ref(), |text| path(text, root))?;
        let keep = shape.keep.as_ref().map(|keep| Keep::read(&reader.key("keep"), keep)).transpose()?;
        let path = path.unwrap_or_else(|| default_path(root, &name));
        let (keep, slack) = keep.unwrap_or_default();
        Ok(Self { name, prefixes, path, keep, slack, kept: Kept::Yes })
    }
}

fn default_path(root: &Path, name: &CacheName) -> PathBuf {
    root.join(".larder").join(name.as_str())
}

/// A folder whose place is looked at.
pub(super) struct Place<'a> {
    /// What it is the folder of, such as "the cache `shared`".
    pub(super) what: String,
    /// The folder.
    pub(super) path: &'a Path,
}

/// What is wrong with the place of a folder: whatever lies in it is GitLab's to replace and larder's to delete.
///
/// Only the text of the paths is compared: links may make two paths one folder, which the lock of a cache finds out.
pub(super) fn overlap(
    place: &Place<'_>,
    help: &str,
    others: &[CacheEntry],
    root: &Path,
    environments: &[PathBuf],
) -> Option<Complaint> {
    let Place { what, path } = place;
    let say = |complaint: String| Some(Complaint::new(complaint).help(help.to_owned()));
    if root.starts_with(path) {
        return say(format!("the folder of {what} would hold the whole project"));
    }
    if let Some(environment) = environments.iter().find(|environment| environment.starts_with(path)) {
        return say(format!("the folder of {what} would hold the environment `{}`", environment.display()));
    }
    let own = root.join(".larder");
    let job = own.join("job");
    if path.starts_with(&job) || job.starts_with(path) {
        return say(format!("the folder of {what} overlaps with `{}`, which holds this job only", job.display()));
    }
    let part = path.strip_prefix(&own).ok().and_then(|below| below.iter().next());
    if part.is_some_and(|part| is_lock(Path::new(part))) {
        return say(format!("the folder of {what} is named like a lock of larder"));
    }
    let other = others.iter().find(|other| path.starts_with(&other.path) || other.path.starts_with(path))?;
    say(if other.path == *path {
        format!("the cache `{}` and {what} have the same folder", other.name)
    } else if path.starts_with(&other.path) {
        format!("the folder of {what} is inside that of the cache `{}`", other.name)
    } else {
        format!("the folder of the cache `{}` is inside that of {what}", other.name)
    })
}
