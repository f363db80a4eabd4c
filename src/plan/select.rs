//! Which specs the user wants installed.

use miette::Diagnostic;
use thiserror::Error;

use super::Graph;
use crate::lockfile::ConcreteSpec;
use crate::types::{DagHash, HashPrefix, shorten};

/// The most groups that a message lists, and the longest names that are compared: a lockfile can hold any number of any length.
const MAX_SHOWN: usize = 64;

/// What was asked for. Nothing at all means all roots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Package names (`app`), names with a version (`app@3.1.4`), or the text of a root as `spack.yaml` has it.
    pub specs: Vec<String>,
    /// DAG hashes or unambiguous beginnings of them.
    pub hashes: Vec<HashPrefix>,
    /// Groups of roots, as `spack.yaml` names them.
    pub groups: Vec<String>,
}

/// Something was asked for that the lockfiles do not have.
#[allow(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Error, Diagnostic, PartialEq, Eq)]
pub enum SelectionError {
    /// No spec of this name.
    #[error("no environment has a spec `{name}`")]
    #[diagnostic(help("{}", match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`larder plan` lists the specs that there are".to_owned(),
    }))]
    NoSuchSpec { name: String, near: Option<String> },
    /// No spec with this hash.
    #[error("no environment has a spec with hash `{hash}`")]
    #[diagnostic(help(
        "was the lockfile made anew since the hash was noted? `larder plan` lists the specs that there are"
    ))]
    NoSuchHash { hash: String },
    /// No group of this name.
    #[error("no environment has a group `{name}`")]
    #[diagnostic(help("{}", match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are the groups {known}"),
    }))]
    NoSuchGroup { name: String, near: Option<String>, known: String },
    /// No groups at all.
    #[error("no environment has a group `{name}`: no lockfile names groups")]
    #[diagnostic(help(
        "groups stand in the lockfiles of Spack 1.2 and later, where `specs:` of spack.yaml has entries with `group:`; \
         without them, choose by `--spec`, or `specs:` under `jobs:`"
    ))]
    NoGroups { name: String },
    /// Several specs whose hashes begin so.
    #[error("`{hash}` is the beginning of several hashes: {}", found.join(", "))]
    #[diagnostic(help("give more characters of the one that you mean"))]
    Ambiguous { hash: String, found: Vec<String> },
}

/// The specs to install, in the order in which they were asked for, each once.
pub(crate) fn select(graph: &Graph<'_>, selection: &Selection) -> Result<Vec<DagHash>, SelectionError> {
    let mut chosen: Vec<DagHash> = Vec::new();
    for name in &selection.specs {
        chosen.extend(by_name(graph, name)?);
    }
    for text in &selection.hashes {
        chosen.push(by_hash(graph, text)?);
    }
    for name in &selection.groups {
        chosen.extend(by_group(graph, name)?);
    }
    if *selection == Selection::default() {
        chosen.extend(graph.roots().iter().map(|root| root.hash));
    }
    let mut seen = std::collections::HashSet::new();
    chosen.retain(|hash| seen.insert(*hash));
    Ok(chosen)
}

/// Roots that match, or, where no root does, any specs that do.
fn by_name(graph: &Graph<'_>, text: &str) -> Result<Vec<DagHash>, SelectionError> {
    let is_meant = |hash: DagHash| graph.spec(hash).is_some_and(|spec| is_called(spec, text));
    let roots = graph.roots().iter().filter(|root| root.request == text || is_meant(root.hash));
    let mut found: Vec<DagHash> = roots.map(|root| root.hash).collect();
    if found.is_empty() {
        found.extend(graph.specs().map(|spec| spec.id.hash).filter(|hash| is_meant(*hash)));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let near = nearest(graph.specs().map(|spec| spec.id.name.as_str()), text);
    Err(SelectionError::NoSuchSpec { name: text.to_owned(), near })
}

/// The name that was probably meant.
fn nearest<'a>(names: impl Iterator<Item = &'a str>, text: &str) -> Option<String> {
    let (distance, name) = names.map(|name| (strsim::damerau_levenshtein(name, text), name)).min()?;
    (distance <= 2).then(|| name.to_owned())
}

/// The roots of a group.
fn by_group(graph: &Graph<'_>, name: &str) -> Result<Vec<DagHash>, SelectionError> {
    let roots = graph.roots().iter().filter(|root| root.group() == name);
    let found: Vec<DagHash> = roots.map(|root| root.hash).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let (name, groups) = (shorten(name), graph.groups());
    if groups.is_empty() {
        return Err(SelectionError::NoGroups { name });
    }
    // Longer ones are no names, and the quadratic comparison should not be given them.
    let short = groups.iter().copied().filter(|group| group.len() <= MAX_SHOWN);
    let near = nearest(short, &name).map(|near| shorten(&near));
    let shown: Vec<_> = groups.iter().take(MAX_SHOWN).map(|group| format!("`{}`", shorten(group))).collect();
    Err(SelectionError::NoSuchGroup { name, near, known: shown.join(", ") })
}

fn is_called(spec: &ConcreteSpec, text: &str) -> bool {
    let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
    let is_version = |version: &str| spec.id.version.as_str() == version.strip_prefix('=').unwrap_or(version);
    spec.id.name.as_str() == name && version.is_none_or(is_version)
}

fn by_hash(graph: &Graph<'_>, prefix: &HashPrefix) -> Result<DagHash, SelectionError> {
    let (prefix, hash) = (prefix.as_str(), prefix.as_str().to_owned());
    let found: Vec<&ConcreteSpec> = graph.specs().filter(|spec| spec.id.hash.as_str().starts_with(prefix)).collect();
    match found[..] {
        [] => Err(SelectionError::NoSuchHash { hash }),
        [spec] => Ok(spec.id.hash),
        _ => Err(SelectionError::Ambiguous { hash, found: found.iter().map(|spec| spec.id.to_string()).collect() }),
    }
}
