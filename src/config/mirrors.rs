//! From `mirrors:` to mirrors to read from, and the folder that collects what was built.

use std::path::{Path, PathBuf};

use super::built_entry::{BuiltEntry, Upkeep};
use super::caches::Caches;
use super::folders::Folders;
use super::keep::Keep;
use super::schema::{MirrorEntry, MirrorSchema};
use super::text::{Flag, KeyId, Line, TextOr};
use crate::types::{Mirror, MirrorUrl, Signatures, Variables, shorten};
use crate::yaml::{At, Place, Problem};

/// What `mirrors:` lists.
#[derive(Default)]
pub(super) struct Mirrors {
    /// Those to read from; `None` where the list holds nothing but one that collects, so that Spack's own stay in force.
    pub(super) read: Option<Vec<Mirror>>,
    /// The one that collects.
    pub(super) built: Option<BuiltEntry>,
}

/// What an entry is put together with.
pub(super) struct Surroundings<'a> {
    pub(super) root: &'a Path,
    pub(super) variables: &'a Variables,
    pub(super) environments: &'a [PathBuf],
    pub(super) caches: &'a Caches,
}

impl Mirrors {
    pub(super) fn read(entries: Vec<At<MirrorEntry>>, surroundings: &Surroundings<'_>) -> Result<Self, Problem> {
        let mut mirrors: Vec<Mirror> = Vec::new();
        let mut built: Option<BuiltEntry> = None;
        for At(place, entry) in entries {
            let entry = match entry {
                TextOr::Text(url) => MirrorSchema { url: Some(At(place, url)), ..MirrorSchema::default() },
                TextOr::Other(entry) => entry,
            };
            let refuse_name = |name: &str, others: &[Mirror], built: Option<&BuiltEntry>| {
                let mut names = others.iter().map(|other| &other.name).chain(built.map(|built| &built.name));
                if names.all(|other| other != name) {
                    return Ok(());
                }
                Err(Problem::new(format!("two mirrors have the name `{}`", shorten(name)))
                    .help("give each mirror a `name` of its own")
                    .at(entry.name.as_ref().map_or(place, At::place)))
            };
            if matches!(entry.collect, Some(Flag(true))) {
                let new = read_built(place, &entry, surroundings)?;
                refuse_name(&new.name, &mirrors, built.as_ref())?;
                if built.replace(new).is_some() {
                    let problem = Problem::new("two mirrors have `collect: true`");
                    return Err(problem.help("one folder takes what the pipeline built").at(place));
                }
            } else {
                let new = read_mirror(place, &entry, surroundings)?;
                refuse_name(&new.name, &mirrors, built.as_ref())?;
                mirrors.push(new);
            }
        }
        let read = if mirrors.is_empty() && built.is_some() { None } else { Some(mirrors) };
        Ok(Self { read, built })
    }
}

fn read_mirror(place: Place, entry: &MirrorSchema, surroundings: &Surroundings<'_>) -> Result<Mirror, Problem> {
    if let Some(path) = &entry.path {
        let problem = Problem::new("`path` is for a mirror with `collect: true`");
        return Err(problem.help("the folder of any other mirror is its `url`").at(path.place()));
    }
    let ours =
        [("signing-key", entry.signing_key.as_ref().map(At::place)), ("keep", entry.keep.as_ref().map(At::place))];
    if let Some((key, at_key)) = ours.into_iter().find_map(|(key, place)| Some((key, place?))) {
        let problem = Problem::new(format!("`{key}` is for a mirror with `collect: true`"));
        return Err(problem.help("larder writes into no other mirror").at(at_key));
    }
    let Some(url) = &entry.url else { return Err(Problem::new("a mirror needs a `url`").at(place)) };
    let plain_http = entry.access().plain_http();
    let url = url.parse(|Line(text)| {
        let url = MirrorUrl::parse(text, surroundings.root).map_err(|error| Problem::new(error.to_string()))?;
        if url.is_refused_by(plain_http) {
            return Err(Problem::new(format!(
                "`{url}` is not protected by TLS: binaries and digests alike could be replaced on the way"
            ))
            .help(
                "use `https://` or `oci://`; where you trust the network, add `insecure: true` to the mirror's entry",
            ));
        }
        Ok(url)
    })?;
    Ok(Mirror {
        name: entry.name.as_ref().map_or_else(|| name_from(&url), |At(_, Line(name))| name.clone()),
        url,
        signatures: Signatures::from(entry.signed.is_none_or(|Flag(signed)| signed)),
        plain_http,
        access: entry.access().read(surroundings.variables)?,
    })
}

/// The folder follows the rules of a mirror and of a cache: a name that neither has, and a place that overlaps with nothing.
fn read_built(place: Place, entry: &MirrorSchema, surroundings: &Surroundings<'_>) -> Result<BuiltEntry, Problem> {
    let foreign = entry.url.as_ref().map(|url| ("url", url.place())).or(entry.access().first());
    if let Some((key, at_key)) = foreign {
        let problem = Problem::new(format!("a mirror with `collect: true` has no `{key}`"));
        return Err(problem.help("it is a folder of the project: `path: .larder/built`").at(at_key));
    }
    let Some(At(at_path, path)) = &entry.path else {
        let problem = Problem::new("a mirror with `collect: true` needs a `path`");
        return Err(problem.help("for example `path: .larder/built`").at(place));
    };
    let Surroundings { root, environments, caches, .. } = *surroundings;
    let path = path.below(root);
    let name = match &entry.name {
        Some(At(_, Line(name))) => name.clone(),
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    if caches.names().any(|other| other.as_str() == name) {
        let problem = Problem::new(format!("a cache has the name `{name}`, too"));
        return Err(problem.help("give the mirror a `name` of its own").at(place));
    }
    let taken = Folders { root, environments, caches: &caches.folders };
    let overlap = taken.refuse_overlap(&format!("the mirror `{name}`"), &path, "for example `path: .larder/built`");
    overlap.map_err(|problem| problem.at(*at_path))?;
    if !path.starts_with(root) {
        let problem = Problem::new(format!("the folder of the mirror `{name}` is outside of the project"));
        let help = "GitLab caches folders of the project only; for example `path: .larder/built`";
        return Err(problem.help(help).at(*at_path));
    }
    let signing_key = entry.signing_key.as_ref().map(|At(_, KeyId(key))| key.clone());
    Ok(BuiltEntry {
        name,
        path,
        signatures: Signatures::from(entry.signed.map_or(signing_key.is_some(), |Flag(signed)| signed)),
        signing_key,
        keep: entry.keep.as_ref().map_or(Keep::LOCKFILE, |At(_, keep)| *keep),
        upkeep: Upkeep::default(),
    })
}

/// The URL without its scheme: `binaries.spack.io/develop`, `/srv/mirror`.
fn name_from(url: &MirrorUrl) -> String {
    let text = url.to_string();
    text.split_once("://").map_or(text.clone(), |(_, rest)| rest.to_owned())
}
