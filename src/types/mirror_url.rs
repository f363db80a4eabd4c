//! Where a Spack mirror lives.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

use super::normal_path::normalise;
use super::public_url::PublicUrl;
use super::{MirrorPath, Sha256Digest, registry_url};

/// The address of a mirror: `file://`, `https://` or `http://`, a repository of a registry (`oci://`, `oci+http://`), or a place
/// in an object store (`s3://BUCKET/PREFIX`, `gs://`, `az://`), without query or fragment.
///
/// Printing it never shows a password: an address may carry one, and messages end up in public job logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MirrorUrl(Url);

/// Whether `http://` without TLS is acceptable for a mirror.
///
/// On a plain connection metadata can be replaced on the way and binaries alike, and the digest comes from the
/// metadata; only a signature that Spack checks would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlainHttp {
    /// Only to this very machine (`localhost`, `127.0.0.0/8`, `::1`): the default.
    LoopbackOnly,
    /// Anywhere: the mirror says `insecure: true`.
    Anywhere,
}

impl PlainHttp {
    /// Whether a request to this web server may be made.
    pub(crate) fn allows(self, url: &Url) -> bool {
        url.scheme() == "https" || self == Self::Anywhere || is_loopback(url)
    }
}

/// A text that can't be the address of a mirror.
#[derive(Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field of an error is, its message says")]
pub enum InvalidMirrorUrl {
    /// Not a URL and not a path.
    #[error("`{text}` is not the URL of a mirror: {reason}")]
    Malformed { text: PublicUrl, reason: String },
    /// A scheme that larder can't read.
    #[error(
        "`{scheme}://` mirrors can't be read: expected `file://`, `https://`, `http://`, `oci://`, `s3://`, `gs://` or `az://` in `{text}`"
    )]
    Scheme { text: PublicUrl, scheme: String },
    /// A relative path where none is possible.
    #[error("`{text}` is neither a URL nor an absolute path")]
    Relative { text: PublicUrl },
}

impl MirrorUrl {
    /// Read a URL or, as Spack does, a path, which is taken relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, InvalidMirrorUrl> {
        if looks_like_path(text) {
            let path = normalise(&base.join(text));
            let url = Url::from_file_path(&path);
            return url.map(Self).map_err(|()| InvalidMirrorUrl::Relative { text: PublicUrl::of_text(text) });
        }
        let malformed =
            |reason: &str| InvalidMirrorUrl::Malformed { text: PublicUrl::of_text(text), reason: reason.to_owned() };
        let url = Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
        match url.scheme() {
            "file" if url.to_file_path().is_err() => return Err(malformed("its path is not absolute")),
            "file" | "http" | "https" => {}
            scheme if registry_url::is_registry(scheme) => registry_url::check(&url).map_err(malformed)?,
            scheme if is_object_store(scheme) => check_bucket(&url).map_err(malformed)?,
            scheme => {
                return Err(InvalidMirrorUrl::Scheme { text: PublicUrl::of_text(text), scheme: scheme.to_owned() });
            }
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(malformed("a mirror's URL has neither `?` nor `#`"));
        }
        Ok(Self(url))
    }

    /// The URL of a file of the mirror. Parts can't hold separators, so the result is always below the mirror. In a registry,
    /// that is only for blobs, which it has by their digest.
    pub fn join(&self, path: &MirrorPath) -> Url {
        if let Some(digest) = path.blob().filter(|_| self.is_registry()) {
            return registry_url::blob(&self.0, digest);
        }
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.parts());
        }
        url
    }

    /// Whether it is a repository of a registry.
    pub fn is_registry(&self) -> bool {
        registry_url::is_registry(self.0.scheme())
    }

    /// The URL of the manifest with this tag in a registry's repository. Characters that no tag may have become `_`, as for
    /// Spack.
    pub fn manifest(&self, tag: &str) -> Option<Url> {
        self.is_registry().then(|| registry_url::manifest(&self.0, tag))
    }

    /// The URL of the manifest with this digest in a registry's repository.
    pub fn manifest_with(&self, digest: Sha256Digest) -> Option<Url> {
        self.is_registry().then(|| registry_url::manifest_with(&self.0, digest))
    }

    /// The URL of the list of tags of a registry's repository.
    pub fn tags(&self) -> Option<Url> {
        self.is_registry().then(|| registry_url::tags(&self.0))
    }

    /// The folder of a `file://` mirror.
    pub fn to_path(&self) -> Option<PathBuf> {
        (self.0.scheme() == "file").then(|| self.0.to_file_path().ok()).flatten()
    }

    /// Whether bytes from here can be changed on the way, which `policy` does not allow.
    pub fn is_refused_by(&self, policy: PlainHttp) -> bool {
        matches!(self.0.scheme(), "http" | "oci+http") && !policy.allows(&self.0)
    }

    /// Whether it is a place in an object store.
    pub fn is_object_store(&self) -> bool {
        is_object_store(self.0.scheme())
    }
}

/// The schemes of object stores: the host is a bucket, and the endpoint is known from elsewhere.
pub(crate) fn is_object_store(scheme: &str) -> bool {
    matches!(scheme, "s3" | "gs" | "az")
}

/// A bucket, and nothing that belongs elsewhere. Its name becomes part of another URL, where `..` or a separator would lead
/// out of the place that the configuration names.
fn check_bucket(url: &Url) -> Result<(), &'static str> {
    let bucket = url.host_str().unwrap_or_default();
    if bucket.is_empty() {
        return Err("it names no bucket, as in `s3://bucket/prefix`");
    }
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'$');
    if !bucket.bytes().all(is_fine) || bucket.bytes().all(|byte| byte == b'.') {
        return Err("a bucket's name has letters, digits, `.`, `-` and `_` only");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials of an object store belong into environment variables, not into the URL");
    }
    if url.port().is_some() {
        return Err(
            "an object store's endpoint belongs into `endpoint-url`, or into a variable such as `AWS_ENDPOINT_URL`",
        );
    }
    Ok(())
}

/// Whether the host is this very machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // Of a scheme that the parser does not know, an address is a name like any other to it.
        Some(Host::Domain(name)) => {
            name == "localhost"
                || name.ends_with(".localhost")
                || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Spack takes everything without a scheme for a path.
fn looks_like_path(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return true };
    !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

impl FromStr for MirrorUrl {
    type Err = InvalidMirrorUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, Path::new(""))
    }
}

/// Without credentials: as it is shown, and as it is compared with the prefixes of `caches:`.
impl fmt::Display for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = PublicUrl::from(&self.0).to_string();
        f.write_str(text.strip_suffix('/').unwrap_or(&text))
    }
}

impl fmt::Debug for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MirrorUrl, InvalidMirrorUrl> {
        MirrorUrl::parse(text, Path::new("/project"))
    }

    #[test]
    fn a_path_is_a_file_mirror_relative_to_its_base() {
        assert_eq!(parse("../mirror/./x").unwrap().to_string(), "file:///mirror/x");
        assert_eq!(parse("/srv/mirror").unwrap().to_path().unwrap(), Path::new("/srv/mirror"));
        assert!(matches!("mirror".parse::<MirrorUrl>(), Err(InvalidMirrorUrl::Relative { .. })));
    }

    #[test]
    fn files_are_below_the_mirror_whatever_their_name() {
        let url = parse("https://host/mirror/").unwrap();
        let path = MirrorPath::new(["v3", "../../x", "..", "a b%2f"]);
        assert_eq!(url.join(&path).as_str(), "https://host/mirror/v3/.._.._x/_../a_b_2f");
    }

    #[test]
    fn a_password_is_never_printed() {
        let url = parse("https://user:secret@host/x").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://host/x https://host/x");
        assert!(!parse("s3x://user:secret@host/x").unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn a_registry_has_blobs_by_digest_and_manifests_by_tag() {
        let digest: Sha256Digest = "ab".repeat(32).parse().unwrap();
        for (mirror, repository) in [
            ("oci://host.example/Group/x", "oci://host.example/v2/group/x"),
            ("oci://host.example:5050/group/x/", "oci://host.example:5050/v2/group/x"),
            ("oci+http://127.0.0.1:5000/x", "oci+http://127.0.0.1:5000/v2/x"),
            ("oci://localhost/x", "oci://localhost/v2/x"),
            // What Docker does with a name that can't be a host's, and Spack after it.
            ("oci://user/x", "oci://index.docker.io/v2/user/x"),
            ("oci://x", "oci://index.docker.io/v2/library/x"),
        ] {
            let url = parse(mirror).unwrap();
            assert_eq!(url.to_string(), mirror.trim_end_matches('/'));
            let blob = url.join(&MirrorPath::of_blob(digest));
            assert_eq!(blob.as_str(), format!("{repository}/blobs/sha256:{digest}"));
            let manifest = url.manifest("a+b@1/x.spack").unwrap();
            assert_eq!(manifest.as_str(), format!("{repository}/manifests/a_b_1_x.spack"));
        }
        assert_eq!(parse("https://host/x").unwrap().manifest("x"), None);
        let long = "a".repeat(100) + &"b".repeat(100);
        let manifest = parse("oci://host.example/x").unwrap().manifest(&long).unwrap();
        assert!(manifest.as_str().ends_with(&format!("/{}{}", "a".repeat(64), "b".repeat(64))));
    }

    #[test]
    fn what_names_no_repository_is_refused() {
        for (text, reason) in [
            ("oci://host.example", "no repository"),
            ("oci://host.example/", "no repository"),
            ("oci://", "no registry"),
            ("oci:/x", "no registry"),
            ("oci://host.example/x:tag", "without tag"),
            ("oci://host.example/x@sha256:0", "without tag"),
            ("oci://host.example/a//b", "without tag"),
            ("oci://host.example/a/-b", "without tag"),
            ("oci://host.example/a%2e%2e/b", "without tag"),
            ("oci://user:secret@host.example/x", "access-pair"),
            ("oci+http://host.example/x?a", "neither `?` nor `#`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn an_object_store_is_a_bucket_and_a_prefix() {
        for text in ["s3://bucket/a/b", "gs://my_bucket", "az://container/x/"] {
            assert_eq!(parse(text).unwrap().to_string(), text.trim_end_matches('/'));
        }
        let path = MirrorPath::new(["v3", "../x", "a+b c"]);
        assert_eq!(parse("s3://Bucket/p/").unwrap().join(&path).as_str(), "s3://Bucket/p/v3/.._x/a+b_c");
        assert_eq!(parse("s3://bucket").unwrap().join(&path).as_str(), "s3://bucket/v3/.._x/a+b_c");
        for (text, reason) in [
            ("s3:///prefix", "no bucket"),
            ("s3:bucket", "no bucket"),
            ("s3://../x", "letters, digits"),
            ("s3://a%2fb/x", "letters, digits"),
            ("s3://key:secret@bucket/x", "not into the URL"),
            ("s3://bucket:9000/x", "endpoint-url"),
            ("s3://bucket/x?versionId=1", "neither `?` nor `#`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for local in [
            "http://127.0.0.1:8/x",
            "http://[::1]/",
            "http://localhost/",
            "https://host/",
            "oci+http://127.0.0.1:5000/x",
            "oci+http://[::1]:5000/x",
            "oci+http://localhost:5000/x",
            "oci://host.example/x",
        ] {
            assert!(!parse(local).unwrap().is_refused_by(PlainHttp::LoopbackOnly), "{local}");
        }
        let remote =
            ["http://host/", "http://10.0.0.1/", "http://localhost.evil.example/", "oci+http://host.example/x"];
        for remote in remote {
            assert!(parse(remote).unwrap().is_refused_by(PlainHttp::LoopbackOnly), "{remote}");
            assert!(!parse(remote).unwrap().is_refused_by(PlainHttp::Anywhere), "{remote}");
        }
    }
}
