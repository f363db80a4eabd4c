//! From the merged `mirrors:` section to the mirrors that Spack fetches binaries from.

use std::path::{Path, PathBuf};

use url::Url;

use super::substitute::{Substitution, Target, lies_below, scheme};
use crate::types::{Access, AccessPair, Secret, Variables};
use crate::yaml::{Node, Result, Value};

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

/// The binary mirrors of a section, in its order.
pub(super) fn binary_mirrors(
    section: &Node,
    substitution: &Substitution,
    job_folder: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<SpackMirror>> {
    let mut mirrors = Vec::new();
    for entry in section.section("names of mirrors, each with a URL")? {
        let (name, data) = (&entry.key, &entry.value);
        let flag = |key| data.get(key).map_or(Ok(true), Node::flag);
        let (is_binary, signed, written) = (flag("binary")?, flag("signed")?, fetch_url(data)?);
        let access = access(data, &substitution.variables)?;
        if !is_binary {
            continue;
        }
        let mut note = |what: &str| notes.push(format!("Spack's mirror `{name}`{what}"));
        let Some((written, file)) = written else {
            note(" has no URL to fetch from: left out");
            continue;
        };
        let unknown = |variable: &str| note(&format!(": larder does not know `${variable}`"));
        let url = resolve(written, file, substitution, unknown);
        if !is_below(&url, job_folder) {
            if access.endpoint.is_none() && setting(data, "endpoint_url")?.is_some() {
                note(" has an `endpoint_url` that is no URL");
            }
            mirrors.push(SpackMirror { name: name.clone(), url, signed, access, declared_in: file.to_owned() });
        }
    }
    Ok(mirrors)
}

/// The URL to fetch from, with its file: the one of `fetch:`, else the mirror's own. An empty one in a map is none; as the
/// whole entry it is a relative path like any other, to Spack.
fn fetch_url(data: &Node) -> Result<Option<(&str, &Path)>> {
    let fetch = data.get("fetch").map(url_of).transpose()?.flatten();
    let own = url_of(data)?;
    Ok(fetch.or(own).filter(|(url, _)| !url.is_empty() || data.as_text().is_some()))
}

/// A URL as such, or under `url:` of a map.
fn url_of(node: &Node) -> Result<Option<(&str, &Path)>> {
    let url = if node.as_text().is_some() {
        Some(node)
    } else {
        node.entries("a URL, or a map with `url:`")?;
        node.get("url")
    };
    url.map(|url| Ok((url.text()?, &*url.place.file))).transpose()
}

/// The value that counts for fetching: below `fetch:` if the key is there, else the entry's own. Source: `_get_value` of
/// `mirrors/mirror.py`, Spack 1.1.0.
fn value<'a>(data: &'a Node, key: &str) -> Option<&'a Node> {
    data.get("fetch").and_then(|fetch| fetch.get(key)).or_else(|| data.get(key))
}

fn setting<'a>(data: &'a Node, key: &str) -> Result<Option<&'a str>> {
    value(data, key).map_or(Ok(None), text)
}

/// A text, unless it is empty or `null`.
fn text(node: &Node) -> Result<Option<&str>> {
    if node.is_null() { Ok(None) } else { Ok(Some(node.text()?).filter(|text| !text.is_empty())) }
}

/// `get_access_pair`, `get_access_token` and their kin in `mirrors/mirror.py`. A token that a variable should hold is not
/// replaced by one in the file.
fn access(data: &Node, variables: &Variables) -> Result<Access> {
    let mut access = Access::default();
    if let Some(pair) = value(data, "access_pair") {
        access.pair = access_pair(pair, &mut access, variables)?;
    }
    access.token = match setting(data, "access_token_variable")? {
        Some(name) => access.variable(name, variables).map(Secret::new),
        None => setting(data, "access_token")?.map(Secret::new),
    };
    access.profile = setting(data, "profile")?.map(str::to_owned);
    access.endpoint = setting(data, "endpoint_url")?.and_then(|url| Url::parse(url).ok());
    Ok(access)
}

fn access_pair(pair: &Node, access: &mut Access, variables: &Variables) -> Result<Option<AccessPair>> {
    let (id, secret) = if let Value::List(list) = &pair.value {
        // What was deprecated with Spack 0.23, and Spack 1.1 still reads: the secret in the file.
        match &list.iter().map(text).collect::<Result<Vec<_>>>()?[..] {
            [id, secret] => (id.map(str::to_owned), secret.map(str::to_owned)),
            _ => (None, None),
        }
    } else {
        pair.section("a map with `id` or `id_variable`, and `secret_variable`")?;
        let part = |key| pair.get(key).map_or(Ok(None), text);
        let id = match part("id_variable")? {
            Some(name) => access.variable(name, variables),
            None => part("id")?.map(str::to_owned),
        };
        (id, part("secret_variable")?.and_then(|name| access.variable(name, variables)))
    };
    Ok(id.zip(secret).map(|(id, secret)| AccessPair { id, secret: Secret::new(secret) }))
}

fn resolve(written: &str, file: &Path, substitution: &Substitution, unknown: impl FnMut(&str)) -> String {
    if scheme(written).is_some_and(|scheme| SCHEMES.contains(&scheme.to_ascii_lowercase().as_str())) {
        return written.to_owned();
    }
    match substitution.resolve_in(written, file, unknown) {
        Target::Local(path) => path.to_string_lossy().into_owned(),
        Target::Remote(url) => url,
    }
}

/// Whether a mirror is in larder's own folder: the job mirror of an earlier step, which must not be its own source.
fn is_below(url: &str, job_folder: &Path) -> bool {
    let path = match scheme(url) {
        None => Some(PathBuf::from(url)),
        Some(_) => Url::parse(url).ok().and_then(|url| url.to_file_path().ok()),
    };
    path.is_some_and(|path| lies_below(&path, job_folder))
}
