//! From `mirrors:` to mirrors to read from, and the places that collect what was built.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::access::ACCESS_KEYS;
use super::built_entry::{BuiltEntry, BuiltMirrorEntry, Upkeep};
use super::caches::Caches;
use super::folders::Surroundings;
use super::keep::Keep;
use super::schema::{MirrorEntry, MirrorSchema};
use super::text::{Flag, KeyId, Line, TextOr};
use crate::types::{Mirror, MirrorUrl, PlainHttp, Presence, Signatures, shorten};
use crate::yaml::{Node, Problem, Result};

/// What `mirrors:` lists.
pub(super) struct Mirrors {
    /// Those to read from; `None` where the list holds nothing but what collects, so that Spack's own stay in force.
    pub(super) read: Option<Vec<Mirror>>,
    /// The folder that collects.
    pub(super) folder: Option<BuiltEntry>,
    /// The registry or bucket that collects.
    pub(super) pushed: Option<BuiltMirrorEntry>,
}

impl Mirrors {
    /// The entries that `nodes` say.
    pub(super) fn read(
        entries: Vec<MirrorEntry>,
        nodes: &[Node],
        surroundings: &Surroundings<'_>,
        caches: &Caches,
    ) -> Result<Self> {
        let (mut mirrors, mut folder, mut pushed, mut names) = (Vec::new(), None, None, HashSet::new());
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
            let twice = |kind: &str| {
                let problem = Problem::new(format!("two {kind} have `collect: true`"));
                problem.help("one folder and one registry or bucket may take what the pipeline built").at(&node.place)
            };
            if matches!(entry.collect, Some(Flag(true))) && entry.url.is_some() {
                let new = read_pushed(entry, node, surroundings, caches)?;
                take_name(&new.mirror.name)?;
                if pushed.replace(new).is_some() {
                    return Err(twice("mirrors with a `url`"));
                }
            } else if matches!(entry.collect, Some(Flag(true))) {
                let new = read_built(entry, node, surroundings, caches)?;
                take_name(&new.name)?;
                if folder.replace(new).is_some() {
                    return Err(twice("folders"));
                }
            } else {
                let new = read_mirror(entry, node, surroundings)?;
                take_name(&new.name)?;
                mirrors.push(new);
            }
        }
        let only_collects = mirrors.is_empty() && (folder.is_some() || pushed.is_some());
        Ok(Self { read: if only_collects { None } else { Some(mirrors) }, folder, pushed })
    }
}

fn read_mirror(entry: MirrorSchema, node: &Node, surroundings: &Surroundings<'_>) -> Result<Mirror> {
    if let Some((key, place)) = node.first_of(&["path", "push", "signing-key", "keep"]) {
        let help = match key {
            "path" => "the folder of any other mirror is its `url`",
            _ => "larder writes into no other mirror",
        };
        return Err(Problem::new(format!("`{key}` is for a mirror with `collect: true`")).help(help).at(place));
    }
    mirror_of(entry, node, surroundings)
}

/// The keys that every mirror with a `url` has.
fn mirror_of(entry: MirrorSchema, node: &Node, surroundings: &Surroundings<'_>) -> Result<Mirror> {
    let Some(Line(url)) = &entry.url else { return Err(Problem::new("a mirror needs a `url`").at(&node.place)) };
    let plain_http = entry.access().plain_http();
    let url = mirror_url(url, surroundings.root, plain_http).map_err(|problem| problem.at(node.place_of("url")))?;
    let access = entry.access().read(node, surroundings.variables)?;
    let name = entry.name.map_or_else(|| name_from(&url), |Line(name)| name);
    let signatures = Signatures::from(entry.signed.is_none_or(|Flag(signed)| signed));
    let presence = if let Some(Flag(true)) = entry.optional { Presence::Optional } else { Presence::Required };
    Ok(Mirror { name, url, signatures, plain_http, access, presence })
}

/// A registry or a bucket that collects: a mirror, and what is said of pushing.
fn read_pushed(
    mut entry: MirrorSchema,
    node: &Node,
    surroundings: &Surroundings<'_>,
    caches: &Caches,
) -> Result<BuiltMirrorEntry> {
    if let Some((_, place)) = node.first_of(&["path"]) {
        let problem = Problem::new("a mirror with `collect: true` has either `path` or `url`");
        return Err(problem.help("a folder and a registry may both collect, as two entries").at(place));
    }
    let (push, signing_key) = (entry.push.unwrap_or_default(), entry.signing_key.take().map(|KeyId(key)| key));
    let keep = entry.keep.unwrap_or_default();
    // Of what larder's own jobs push, only what they sign has a signature.
    entry.signed = Some(entry.signed.unwrap_or(Flag(signing_key.is_some())));
    let mirror = mirror_of(entry, node, surroundings)?;
    let at_url = node.place_of("url");
    if !mirror.url.is_registry() && !mirror.url.is_object_store() {
        let problem = Problem::new(format!("larder can't push to `{}`", mirror.url));
        let help = "a registry (`oci://${CI_REGISTRY_IMAGE}/spack`) or a bucket (`s3://bucket/prefix`) takes what was built; a \
                    folder of the project is `path: .larder/built`";
        return Err(problem.help(help).at(at_url));
    }
    if mirror.url.is_registry() && signing_key.is_some() {
        let problem = Problem::new("a registry has no signatures, so there is nothing to sign");
        return Err(problem.help("leave `signing-key` out, or collect into a bucket").at(node.place_of("signing-key")));
    }
    if caches.names().any(|other| other.as_str() == mirror.name) {
        let problem = Problem::new(format!("a cache has the name `{}`, too", mirror.name));
        return Err(problem.help("give the mirror a `name` of its own").at(&node.place));
    }
    Ok(BuiltMirrorEntry { mirror: Arc::new(mirror), push, signing_key, keep, upkeep: Upkeep::default() })
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
    if let Some((key, place)) = node.first_of(&ACCESS_KEYS).or_else(|| node.first_of(&["push", "optional"])) {
        let problem = Problem::new(format!("a folder with `collect: true` has no `{key}`"));
        return Err(problem
            .help("it is a folder of the project, `path: .larder/built`, which need not exist")
            .at(place));
    }
    let Some(path) = entry.path else {
        let problem = Problem::new("a mirror with `collect: true` needs a `path` or a `url`");
        let help = "for example `path: .larder/built`, or `url: \"oci://${CI_REGISTRY_IMAGE}/spack\"`";
        return Err(problem.help(help).at(&node.place));
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
