//! Why an object store did not do what it was asked.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use miette::Diagnostic;
use object_store::client::HttpError;
use thiserror::Error;

use super::refusal::Refusal;
use crate::transport::certificate::is_certificate_trouble;
use crate::types::PublicUrl;

/// A failed request to an object store, or none at all for want of a setting.
#[derive(Debug, Error, Diagnostic)]
pub enum ObjectError {
    /// The bucket does not exist.
    #[error("there is no bucket `{bucket}` at `{url}`")]
    #[diagnostic(help(
        "check its name, the account, and the endpoint (`AWS_ENDPOINT_URL`, `endpoint-url`); a bucket that is not public looks \
         the same without credentials. A missing bucket is not taken for a mirror without binaries"
    ))]
    NoBucket {
        /// What was asked for.
        url: PublicUrl,
        /// The bucket.
        bucket: String,
    },
    /// The store said no.
    #[error("`{url}` was refused: {refusal}")]
    #[diagnostic(help("{}", refusal.hint()))]
    Refused {
        /// What was asked for.
        url: PublicUrl,
        /// What the store said.
        refusal: Refusal,
    },
    /// The service that gives credentials said no.
    #[error("can't get credentials for `{url}`: {refusal}")]
    #[diagnostic(help("{}", refusal.hint()))]
    NoCredentials {
        /// What was asked for.
        url: PublicUrl,
        /// What the service said.
        refusal: Refusal,
    },
    /// No connection, or one that broke.
    #[error("can't reach the object store for `{url}`")]
    #[diagnostic(help(
        "is the endpoint right (`AWS_ENDPOINT_URL`, `AWS_REGION`, `endpoint-url`), its certificate authority known here \
         (`SSL_CERT_FILE`), and a proxy needed (`HTTPS_PROXY`)? A store that can't be reached is not taken for one without \
         binaries"
    ))]
    Unreachable {
        /// What was asked for.
        url: PublicUrl,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A store without TLS.
    #[error("the endpoint `{endpoint}` of `{url}` is not protected by TLS")]
    #[diagnostic(help(
        "anybody on the way could replace binaries and digests alike. Use `https://`; where you trust the network, list the \
         mirror in larder.yaml with `insecure: true`"
    ))]
    Insecure {
        /// What was asked for.
        url: PublicUrl,
        /// The endpoint.
        endpoint: String,
    },
    /// Settings or credentials that can't be used.
    #[error("can't use the object store of `{url}`: {reason}")]
    #[diagnostic(help("{hint}"))]
    Settings {
        /// What was asked for.
        url: PublicUrl,
        /// What is wrong.
        reason: String,
        /// The next step.
        hint: String,
    },
}

impl ObjectError {
    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } | Self::NoCredentials { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            // Without an error of the client it is one of form: an answer that makes no sense, a token file that is not there.
            Self::Unreachable { source, .. } => source.client().is_some_and(|error| !is_certificate_trouble(error)),
            _ => self.refusal().is_some_and(Refusal::is_transient),
        }
    }

    /// Whether the library can't use what the server answered.
    pub(super) fn is_nonsense(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if source.client().is_none())
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }
}

/// What a request without TLS is refused with.
#[derive(Debug, Error)]
#[error("`{0}` is not protected by TLS")]
pub(super) struct WithoutTls(pub String);

/// A request that came to nothing, and which server it was for: variables and profiles may have named it.
#[derive(Debug, Error)]
#[error("asking `{origin}`")]
pub(super) struct Asking {
    pub origin: String,
    pub source: HttpError,
}

/// An error of `object_store` without the layers that repeat what is below them: what the HTTP client said.
#[derive(Debug)]
pub struct Cause(pub(super) object_store::Error);

impl Cause {
    fn client(&self) -> Option<&reqwest::Error> {
        find(&self.0)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let innermost = || causes(&self.0).last().unwrap_or(&self.0);
        let error = self.client().map_or_else(innermost, |error| error as &dyn Error);
        match find::<Asking>(&self.0) {
            Some(Asking { origin, .. }) => write!(f, "`{origin}`: {error}"),
            None => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.client().and_then(Error::source)
    }
}

/// The first error of this type among the causes.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
