//! From the merged `mirrors:` section to the mirrors that Spack fetches binaries from.

use std::path::{Path, PathBuf};

use url::Url;

use super::document::{Node, Text};
use super::substitute::{Substitution, Target, lies_below, scheme};
use crate::types::{Access, AccessPair, Secret, Variables};

/// The schemes that Spack takes for a URL. Everything else is a path to it.
const SCHEMES: [&str; 9] = ["file", "http", "https", "sftp", "ftp", "s3", "gs", "oci", "oci+http"];

/// A mirror that Spack would fetch binaries from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpackMirror {
    /// Its name in Spack's configuration.
    pub name: String,
    /// Its URL, as written: Spack expands no variables in one. A path is expanded and absolute. It may be of a kind that
    /// larder can't read, and may carry credentials.
    pub url: String,
    /// Whether Spack asks for signatures: `signed:`, which is true where nothing is said.
    pub signed: bool,
    /// Its credentials, and where an object store is reached.
    pub access: Access,
    /// The file that its URL is written in.
    pub declared_in: PathBuf,
}

/// The binary mirrors of the merged section, in its order, and what is to be told about them.
pub(super) fn binary_mirrors(
    section: &Node,
    substitution: &Substitution,
    job_folder: &Path,
) -> (Vec<SpackMirror>, Vec<String>) {
    let mut mirrors = Vec::new();
    let mut notes = Vec::new();
    let Node::Map(section) = section else { return (mirrors, notes) };
    for entry in &section.0 {
        let (name, data) = (&entry.key, &entry.value);
        let flag = |key| data.get(key).and_then(Node::as_flag).unwrap_or(true);
        if !flag("binary") {
            continue;
        }
        let Some(text) = fetch_url(data) else {
            notes.push(format!("Spack's mirror `{name}` has no URL to fetch from: left out"));
            continue;
        };
        let (url, unknown) = resolve(text, substitution);
        notes.extend(
            unknown.iter().map(|variable| format!("Spack's mirror `{name}`: larder does not know `${variable}`")),
        );
        if !is_below(&url, job_folder) {
            let access = access(data, &substitution.variables);
            if access.endpoint.is_none() && setting(data, "endpoint_url").is_some() {
                notes.push(format!("Spack's mirror `{name}` has an `endpoint_url` that is no URL"));
            }
            mirrors.push(SpackMirror {
                name: name.clone(),
                url,
                signed: flag("signed"),
                access,
                declared_in: text.file.to_path_buf(),
            });
        }
    }
    (mirrors, notes)
}

/// The URL to fetch from: the one of `fetch:`, else the mirror's own. An empty one in a map is none; as the whole entry it is
/// a relative path like any other, to Spack.
fn fetch_url(data: &Node) -> Option<&Text> {
    if let Node::Text(url) = data {
        return Some(url);
    }
    data.get("fetch").and_then(url_of).or_else(|| url_of(data)).filter(|url| !url.text.is_empty())
}

/// A URL as such, or under `url:` of a map.
fn url_of(node: &Node) -> Option<&Text> {
    node.as_text().or_else(|| node.get("url")?.as_text())
}

/// The value that counts for fetching: below `fetch:` if the key is there, else the entry's own. Source: `_get_value` of
/// `mirrors/mirror.py`, Spack 1.1.0.
fn value<'a>(data: &'a Node, key: &str) -> Option<&'a Node> {
    data.get("fetch").and_then(|fetch| fetch.get(key)).or_else(|| data.get(key))
}

fn setting<'a>(data: &'a Node, key: &str) -> Option<&'a str> {
    text(value(data, key)?)
}

fn text(node: &Node) -> Option<&str> {
    node.as_text().map(|text| text.text.as_str()).filter(|text| !text.is_empty())
}

/// `get_access_pair`, `get_access_token` and their kin in `mirrors/mirror.py`. A token that a variable should hold is not
/// replaced by one in the file.
fn access(data: &Node, variables: &Variables) -> Access {
    let mut access = Access::default();
    access.pair = value(data, "access_pair").and_then(|pair| access_pair(pair, &mut access, variables));
    access.token = match setting(data, "access_token_variable") {
        Some(name) => access.variable(name, variables).map(Secret::new),
        None => setting(data, "access_token").map(Secret::new),
    };
    access.profile = setting(data, "profile").map(str::to_owned);
    access.endpoint = setting(data, "endpoint_url").and_then(|url| Url::parse(url).ok());
    access
}

fn access_pair(pair: &Node, access: &mut Access, variables: &Variables) -> Option<AccessPair> {
    let (id, secret) = match pair {
        // What was deprecated with Spack 0.23: the secret in the file.
        Node::List(list) => match &list[..] {
            [id, secret] => (text(id)?.to_owned(), text(secret)?.to_owned()),
            _ => return None,
        },
        pair => {
            let part = |key| pair.get(key).and_then(text);
            let id = match part("id_variable") {
                Some(name) => access.variable(name, variables),
                None => part("id").map(str::to_owned),
            };
            let secret = part("secret_variable").and_then(|name| access.variable(name, variables));
            (id?, secret?)
        }
    };
    Some(AccessPair { id, secret: Secret::new(secret) })
}

fn resolve(text: &Text, substitution: &Substitution) -> (String, Vec<String>) {
    let known = scheme(&text.text).is_some_and(|scheme| SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()));
    if known {
        return (text.text.clone(), Vec::new());
    }
    let (target, unknown) = substitution.resolve_text(text);
    let url = match target {
        Target::Local(path) => path.to_string_lossy().into_owned(),
        Target::Remote(url) => url,
    };
    (url, unknown)
}

/// Whether a mirror is in larder's own folder: the job mirror of an earlier step, which must not be its own source.
fn is_below(url: &str, job_folder: &Path) -> bool {
    let path = match scheme(url) {
        None => PathBuf::from(url),
        Some(_) => match url::Url::parse(url).ok().and_then(|url| url.to_file_path().ok()) {
            Some(path) => path,
            None => return false,
        },
    };
    lies_below(&path, job_folder)
}
