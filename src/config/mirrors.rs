//! From `mirrors:` to mirrors to read from, and the folder that collects what was built.

use std::collections::HashSet;
use std::path::Path;

use super::access::ACCESS_KEYS;
use super::built_entry::{BuiltEntry, Upkeep};
use super::caches::Caches;
use super::folders::Surroundings;
use super::keep::Keep;
use super::schema::{MirrorEntry, MirrorSchema};
use super::text::{Flag, KeyId, Line, TextOr};
use crate::types::{Mirror, MirrorUrl, PlainHttp, Signatures, shorten};
use crate::yaml::{Node, Problem, Result};

/// What `mirrors:` lists.
pub(super) struct Mirrors {
    /// Those to read from; `None` where the list holds nothing but one that collects, so that Spack's own stay in force.
    pub(super) read: Option<Vec<Mirror>>,
    /// The one that collects.
    pub(super) built: Option<BuiltEntry>,
}

impl Mirrors {
    /// The entries that `nodes` say.
    pub(super) fn read(
        entries: Vec<MirrorEntry>,
        nodes: &[Node],
        surroundings: &Surroundings<'_>,
        caches: &Caches,
    ) -> Result<Self> {
        let (mut mirrors, mut built, mut names) = (Vec::new(), None, HashSet::new());
        for (entry, node) in entries.into_iter().zip(nodes) {
            let entry = match entry {
                TextOr::Text(url) => MirrorSchema { url: Some(url), ..MirrorSchema::default() },
                TextOr::Other(entry) => entry,
            };
            let mut take_name = |name: &str| {
                if names.insert(name.to_owned()) {
                    return Ok(());
                }
                Err(Problem::new(format!("two mirrors have the name `{}`", shorten(name)))
                    .help("give each mirror a `name` of its own")
                    .at(node.place_of("name")))
            };
            if matches!(entry.collect, Some(Flag(true))) {
                let new = read_built(entry, node, surroundings, caches)?;
                take_name(&new.name)?;
                if built.replace(new).is_some() {
                    let problem = Problem::new("two mirrors have `collect: true`");
                    return Err(problem.help("one folder takes what the pipeline built").at(&node.place));
                }
            } else {
                let new = read_mirror(entry, node, surroundings)?;
                take_name(&new.name)?;
                mirrors.push(new);
            }
        }
        let read = if mirrors.is_empty() && built.is_some() { None } else { Some(mirrors) };
        Ok(Self { read, built })
    }
}

fn read_mirror(entry: MirrorSchema, node: &Node, surroundings: &Surroundings<'_>) -> Result<Mirror> {
    if let Some((key, place)) = node.first_of(&["path", "signing-key", "keep"]) {
        let help = match key {
            "path" => "the folder of any other mirror is its `url`",
            _ => "larder writes into no other mirror",
        };
        return Err(Problem::new(format!("`{key}` is for a mirror with `collect: true`")).help(help).at(place));
    }
    let Some(Line(url)) = &entry.url else { return Err(Problem::new("a mirror needs a `url`").at(&node.place)) };
    let plain_http = entry.access().plain_http();
    let url = mirror_url(url, surroundings.root, plain_http).map_err(|problem| problem.at(node.place_of("url")))?;
    let access = entry.access().read(node, surroundings.variables)?;
    let name = entry.name.map_or_else(|| name_from(&url), |Line(name)| name);
    let signatures = Signatures::from(entry.signed.is_none_or(|Flag(signed)| signed));
    Ok(Mirror { name, url, signatures, plain_http, access })
}

fn mirror_url(text: &str, root: &Path, plain_http: PlainHttp) -> Result<MirrorUrl> {
    let url = MirrorUrl::parse(text, root).map_err(|error| Problem::new(error.to_string()))?;
    if url.is_refused_by(plain_http) {
        return Err(Problem::new(format!(
            "`{url}` is not protected by TLS: binaries and digests alike could be replaced on the way"
        ))
        .help("use `https://` or `oci://`; where you trust the network, add `insecure: true` to the mirror's entry"));
    }
    Ok(url)
}

/// The folder follows the rules of a mirror and of a cache: a name that neither has, and a place that overlaps with nothing.
fn read_built(
    entry: MirrorSchema,
    node: &Node,
    surroundings: &Surroundings<'_>,
    caches: &Caches,
) -> Result<BuiltEntry> {
    if let Some((key, place)) = node.first_of(&["url"]).or_else(|| node.first_of(&ACCESS_KEYS)) {
        let problem = Problem::new(format!("a mirror with `collect: true` has no `{key}`"));
        return Err(problem.help("it is a folder of the project: `path: .larder/built`").at(place));
    }
    let Some(path) = entry.path else {
        let problem = Problem::new("a mirror with `collect: true` needs a `path`");
        return Err(problem.help("for example `path: .larder/built`").at(&node.place));
    };
    let path = path.below(surroundings.root);
    let name = match entry.name {
        Some(Line(name)) => name,
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    if caches.names().any(|other| other.as_str() == name) {
        let problem = Problem::new(format!("a cache has the name `{name}`, too"));
        return Err(problem.help("give the mirror a `name` of its own").at(&node.place));
    }
    let at_path = node.place_of("path");
    surroundings
        .refuse_overlap(&caches.folders, &format!("the mirror `{name}`"), &path, "for example `path: .larder/built`")
        .map_err(|problem| problem.at(at_path))?;
    if !path.starts_with(surroundings.root) {
        let problem = Problem::new(format!("the folder of the mirror `{name}` is outside of the project"));
        let help = "GitLab caches folders of the project only; for example `path: .larder/built`";
        return Err(problem.help(help).at(at_path));
    }
    let signing_key = entry.signing_key.map(|KeyId(key)| key);
    let signatures = Signatures::from(entry.signed.map_or(signing_key.is_some(), |Flag(signed)| signed));
    let keep = entry.keep.unwrap_or(Keep::LOCKFILE);
    Ok(BuiltEntry { name, path, signatures, signing_key, keep, upkeep: Upkeep::default() })
}

/// The URL without its scheme: `binaries.spack.io/develop`, `/srv/mirror`.
fn name_from(url: &MirrorUrl) -> String {
    let text = url.to_string();
    text.split_once("://").map_or(text.clone(), |(_, rest)| rest.to_owned())
}
