//! Why bytes did not arrive.

#![expect(missing_docs, reason = "what a field of an error is, its message says")]

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::Diagnostic;
use reqwest::StatusCode;
use thiserror::Error;
use url::Url;

use super::causes::is_certificate_trouble;
use super::objects::error::Cause;
use super::objects::refusal::{Refusal, may_pass};
use crate::types::PublicUrl;
use crate::verified::{BlobError, Mismatch};

/// What comes of a request.
pub(super) type Result<T, E = TransportError> = std::result::Result<T, E>;

/// A failed request.
#[derive(Debug, Error, Diagnostic)]
pub enum TransportError {
    /// The HTTP client could not be set up.
    #[error("can't set up the HTTP client")]
    #[diagnostic(help(
        "check `SSL_CERT_FILE` and `SSL_CERT_DIR`, the certificate authorities of this system (Debian: `apt-get install \
         ca-certificates`), and the proxy variables"
    ))]
    Setup { source: reqwest::Error },
    /// No connection, or one that broke.
    #[error("can't get `{url}`")]
    #[diagnostic(help(
        "is the server up, its name right, its certificate authority known here (`SSL_CERT_FILE`), and a proxy needed \
         (`HTTPS_PROXY`)? A mirror that can't be reached is not taken for one without binaries"
    ))]
    Connection { url: PublicUrl, source: reqwest::Error },
    /// The server went silent.
    #[error("`{url}` sent nothing for {} s", idle.as_secs_f64())]
    #[diagnostic(help("`network: idle-timeout` in larder.yaml sets how long larder waits"))]
    Stalled { url: PublicUrl, idle: Duration },
    /// The server is too slow.
    #[error("`{url}` was not done after {} s", total.as_secs_f64())]
    #[diagnostic(help("`network: total-timeout` in larder.yaml sets how long one file may take"))]
    TooSlow { url: PublicUrl, total: Duration },
    /// An HTTP status that is neither success nor a clear "there is none".
    #[error("`{url}` answered {status}")]
    #[diagnostic(help("{}", hint_for(*status)))]
    Status { url: PublicUrl, status: StatusCode, retry_after: Option<Duration> },
    /// The server wants other credentials than it got, or any at all.
    #[error("`{url}` answered {status}: {tried}")]
    #[diagnostic(help("{hint}"))]
    Denied { url: PublicUrl, status: StatusCode, tried: String, hint: String },
    /// A token that can't be sent.
    #[error("the token for `{url}` holds characters that can't be sent")]
    #[diagnostic(help("is the variable's value the token alone, without a line break in it?"))]
    UnusableToken { url: PublicUrl },
    /// A registry whose way to log in can't be followed.
    #[error("can't log in to the registry at `{url}`: {reason}")]
    #[diagnostic(help("{hint}"))]
    Login { url: PublicUrl, reason: String, hint: &'static str },
    /// A list of tags that is none.
    #[error("`{url}` is no list of tags: {reason}")]
    #[diagnostic(help("is this the address of a container registry?"))]
    NotATagList { url: PublicUrl, reason: String },
    /// A registry that deletes nothing.
    #[error("`{url}` answered {status}: the registry does not delete images")]
    #[diagnostic(help(
        "Docker's registry deletes with `storage: {{ delete: {{ enabled: true }} }}` in its configuration only. In GitLab, a cleanup \
         policy (*Settings, Packages and registries*) or its container registry page removes tags"
    ))]
    NoDeletion { url: PublicUrl, status: StatusCode },
    /// Metadata promises a blob that the mirror does not have.
    #[error("`{url}` does not exist, although the mirror's metadata promises it")]
    #[diagnostic(help(
        "the mirror is incomplete, or was pruned just now: push the binary again, or remove its metadata"
    ))]
    BlobMissing { url: PublicUrl },
    /// The bytes are not those that the metadata promised.
    #[error("`{url}` is not what the mirror's metadata promises: {mismatch}")]
    #[diagnostic(help(
        "nothing of it was kept. If it happens again, the binary on the mirror is damaged or was replaced: push it again"
    ))]
    Mismatch { url: PublicUrl, mismatch: Mismatch },
    /// A body of another size than metadata or server announced.
    #[error("`{url}` announces {announced} bytes; {expected}")]
    #[diagnostic(help("{hint}"))]
    WrongSize { url: PublicUrl, announced: u64, expected: String, hint: &'static str },
    /// A file that was replaced while parts of it were fetched.
    #[error("`{url}` was replaced while it was downloaded")]
    #[diagnostic(help("try again: something was pushed to the mirror just now"))]
    Changed { url: PublicUrl },
    /// An answer with other bytes than those asked for.
    #[error("`{url}` sends another part of the file than was asked for")]
    #[diagnostic(help("the server, or a proxy on the way, does not understand `Range:` headers"))]
    WrongPart { url: PublicUrl },
    /// A document that does not end.
    #[error("`{url}` is longer than the {limit} bytes that metadata may have")]
    #[diagnostic(help("is this the URL of a Spack mirror?"))]
    DocumentTooLong { url: PublicUrl, limit: u64 },
    /// A redirect to a place where bytes can be changed on the way.
    #[error("`{url}` redirects to `{target}`, which is not protected by TLS")]
    #[diagnostic(help(
        "correct the server's redirect; where you trust the network, `insecure: true` in the mirror's entry in larder.yaml \
         allows it"
    ))]
    InsecureRedirect { url: PublicUrl, target: PublicUrl },
    /// Too many redirects, or one to nowhere.
    #[error("`{url}` redirects without end")]
    RedirectLoop { url: PublicUrl },
    /// A mirror on plain HTTP.
    #[error("`{url}` is not protected by TLS: anybody on the way could replace binaries and digests alike")]
    #[diagnostic(help(
        "use `https://` or `oci://`; where you trust the network, list the mirror in larder.yaml with `insecure: true`"
    ))]
    Insecure { url: PublicUrl },
    /// A file of a `file://` mirror can't be read.
    #[error("can't read `{}`", path.display())]
    #[diagnostic(help("is the mirror's file system mounted, and readable for this user?"))]
    Unreadable { path: PathBuf, source: io::Error },
    /// There is no such bucket.
    #[error("there is no bucket `{bucket}` at `{url}`")]
    #[diagnostic(help(
        "check its name, the account, and the endpoint (`AWS_ENDPOINT_URL`, `endpoint-url`); a bucket that is not public looks \
         the same without credentials. A missing bucket is not taken for a mirror without binaries"
    ))]
    NoBucket { url: PublicUrl, bucket: String },
    /// An object store said no.
    #[error("`{url}` was refused: {refusal}")]
    #[diagnostic(help("{}", refusal.hint()))]
    Refused { url: PublicUrl, refusal: Refusal },
    /// The service that gives credentials for an object store said no.
    #[error("can't get credentials for `{url}`: {refusal}")]
    #[diagnostic(help("{}", refusal.hint()))]
    NoCredentials { url: PublicUrl, refusal: Refusal },
    /// No connection to an object store, or one that broke.
    #[error("can't reach the object store for `{url}`")]
    #[diagnostic(help(
        "is the endpoint right (`AWS_ENDPOINT_URL`, `AWS_REGION`, `endpoint-url`), its certificate authority known here \
         (`SSL_CERT_FILE`), and a proxy needed (`HTTPS_PROXY`)? A store that can't be reached is not taken for one without \
         binaries"
    ))]
    Unreachable { url: PublicUrl, source: Cause },
    /// An object store without TLS.
    #[error("the endpoint `{endpoint}` of `{url}` is not protected by TLS")]
    #[diagnostic(help(
        "anybody on the way could replace binaries and digests alike. Use `https://`; where you trust the network, list the \
         mirror in larder.yaml with `insecure: true`"
    ))]
    InsecureEndpoint { url: PublicUrl, endpoint: String },
    /// Settings or credentials that can't be used.
    #[error("can't use the object store of `{url}`: {reason}")]
    #[diagnostic(help("{hint}"))]
    UnusableStore { url: PublicUrl, reason: String, hint: String },
    /// The bytes could not be kept here.
    #[error("can't keep what `{url}` sends in `{}`", staging.display())]
    #[diagnostic(help("{}", hint_for_disk(source)))]
    Disk { url: PublicUrl, staging: PathBuf, source: io::Error },
}

impl TransportError {
    /// A blob that was received, but not kept: its bytes are to blame, or the disk.
    pub(super) fn of_blob(error: BlobError, url: &Url, staging: &Path) -> Self {
        match error {
            BlobError::Mismatch(mismatch) => Self::Mismatch { url: url.into(), mismatch },
            BlobError::Io(source) => Self::Disk { url: url.into(), staging: staging.to_owned(), source },
        }
    }

    /// A registry whose way to log in can't be followed.
    pub(super) fn login(url: &Url, reason: impl Into<String>, hint: &'static str) -> Self {
        Self::Login { url: url.into(), reason: reason.into(), hint }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { source, .. } => !is_certificate_trouble(source),
            // A body can break on its way. Wrong bytes are another thing: a mirror that sends them is not asked again.
            Self::Stalled { .. } | Self::TooSlow { .. } => true,
            Self::Mismatch { mismatch, .. } => matches!(mismatch, Mismatch::TooShort { .. }),
            Self::Status { status, .. } => may_pass(*status),
            Self::Unreachable { source, .. } => source.client().is_some_and(|error| !is_certificate_trouble(error)),
            Self::Refused { refusal, .. } | Self::NoCredentials { refusal, .. } => refusal.is_transient(),
            _ => false,
        }
    }

    /// Whether the server can't be reached, is in trouble or refuses access. What it sent, and how, is another matter.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Connection { .. }
                | Self::Stalled { .. }
                | Self::TooSlow { .. }
                | Self::Status { .. }
                | Self::Denied { .. }
                | Self::Login { .. }
                | Self::NoBucket { .. }
                | Self::Refused { .. }
                | Self::NoCredentials { .. }
                | Self::Unreachable { .. }
                | Self::UnusableStore { .. }
                | Self::Unreadable { .. }
        )
    }

    /// Whether the server has too much to do and does not say when to come again: fewer connections may be the remedy.
    pub(super) fn is_overload(&self) -> bool {
        let is_busy = |status| matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        matches!(self, Self::Status { status, retry_after: None, .. } if is_busy(*status))
    }

    /// How long the server asked to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Refused { refusal, .. } | Self::NoCredentials { refusal, .. } => refusal.retry_after,
            _ => None,
        }
    }

    /// What an object store answered instead of what it was asked for.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

fn hint_for(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => {
            "the mirror redirects there, and that server refuses access; credentials are for the mirror's own server, and are \
             not sent to another"
        }
        407 => "the proxy asks for credentials: `HTTPS_PROXY` may hold them, as in `http://user:password@proxy:3128`",
        429 => "the mirror limits requests: try again later, or set `network: connections` lower in larder.yaml",
        500..=599 => "the mirror is in trouble: try again later, or ask who runs it",
        _ => "is this the URL of a Spack mirror?",
    }
}

fn hint_for_disk(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some room (`larder list` shows what the caches hold, `larder clean` empties them). Blobs \
             that are complete stay in the cache, so the next run goes on from there"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "may this user write there? Caches and the folder `.larder` belong into the project folder"
        }
        _ => "is the file system all right?",
    }
}
