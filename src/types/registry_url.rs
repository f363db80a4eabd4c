//! The address of a repository of a container registry, as Spack reads it: `oci://HOST[:PORT]/REPOSITORY` (TLS) or `oci+http://…`.
//!
//! Source: `spack/oci/image.py` of Spack 1.1.0, which follows Docker: a first part that can't be the name of a host is part of
//! the repository, and the host is Docker's own. A repository's name is in lower case, whatever the URL says.

use url::Url;

use super::Sha256Digest;

/// Docker's own registry.
const DOCKER: &str = "index.docker.io";

/// The most characters of a tag.
const LONGEST_TAG: usize = 128;

/// Whether a URL with this scheme is of a registry.
pub(super) fn is_registry(scheme: &str) -> bool {
    matches!(scheme, "oci" | "oci+http")
}

/// Whether it names a repository and nothing else. Its parts become part of another URL, where `..`, `%` or a separator would
/// lead out of it.
pub(super) fn check(url: &Url) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a registry's URL has no user name and password: name them with `access-pair`");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no registry, as in `oci://registry.example.org/group/project`");
    }
    let (_, repository) = host_and_repository(url);
    if repository.is_empty() {
        return Err("it names no repository, as in `oci://registry.example.org/group/project`");
    }
    if !repository.split('/').all(is_part_of_a_name) {
        return Err(
            "a repository is named by letters and digits, separated by `/`, `.`, `_` or `-`, without tag or digest",
        );
    }
    Ok(())
}

/// Letters and digits, with separators between them: one `.`, one or two `_`, or any number of `-`.
fn is_part_of_a_name(part: &str) -> bool {
    let mut separators = part.split(|c: char| c.is_ascii_alphanumeric()).filter(|between| !between.is_empty());
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        && separators.all(|text| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-'))
}

/// The URL of a blob.
pub(super) fn blob(mirror: &Url, digest: Sha256Digest) -> Url {
    below(mirror, &format!("blobs/sha256:{digest}"))
}

/// The URL of the manifest with this digest.
pub(super) fn manifest_with(mirror: &Url, digest: Sha256Digest) -> Url {
    below(mirror, &format!("manifests/sha256:{digest}"))
}

/// The URL of the list of tags.
pub(super) fn tags(mirror: &Url) -> Url {
    below(mirror, "tags/list")
}

/// The URL of the manifest with this tag, made one by Spack's rule (`ensure_valid_tag`).
pub(super) fn manifest(mirror: &Url, tag: &str) -> Url {
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' };
    let mut tag: String = tag.chars().map(clean).collect();
    if tag.len() > LONGEST_TAG {
        // ASCII by now, so that every place is a boundary.
        tag.replace_range(LONGEST_TAG / 2..tag.len() - LONGEST_TAG / 2, "");
    }
    below(mirror, &format!("manifests/{tag}"))
}

/// A URL of the registry's interface, with the mirror's scheme: it tells how the registry is to be asked.
fn below(mirror: &Url, what: &str) -> Url {
    let (host, repository) = host_and_repository(mirror);
    let mut url = mirror.clone();
    // Fails for no name that was parsed as the host of a URL before.
    let _ = url.set_host(Some(&host));
    url.set_path(&format!("/v2/{repository}/{what}"));
    url
}

fn host_and_repository(url: &Url) -> (String, String) {
    let host = url.host_str().unwrap_or_default();
    let path = url.path().trim_matches('/').to_ascii_lowercase();
    let has_capitals = host.contains(|c: char| c.is_ascii_uppercase());
    let is_host = host.contains(['.', ':']) || url.port().is_some() || host == "localhost" || has_capitals;
    match (is_host, path.is_empty()) {
        (true, _) => (host.to_owned(), path),
        (false, true) => (DOCKER.to_owned(), format!("library/{host}")),
        (false, false) => (DOCKER.to_owned(), format!("{host}/{path}")),
    }
}
