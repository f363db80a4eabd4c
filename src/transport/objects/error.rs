//! Why an object store did not do what it was asked.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;

use super::client::{Asking, WithoutTls};
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
         the same to somebody unknown. A missing bucket is not taken for a mirror without binaries"
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
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } | Self::NoCredentials { refusal, .. } => refusal.is_transient(),
            Self::Unreachable { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { refusal, .. } | Self::NoCredentials { refusal, .. } => refusal.retry_after,
            _ => None,
        }
    }

    /// From what `object_store` says, which wraps ours and repeats it.
    pub(super) fn from_store(url: PublicUrl, error: object_store::Error, about: About) -> Self {
        if let Some(refusal) = find::<Refusal>(&error) {
            let refusal = refusal.clone();
            return match about {
                About::Store => Self::Refused { url, refusal },
                About::Credentials => Self::NoCredentials { url, refusal },
            };
        }
        if let Some(WithoutTls(endpoint)) = find(&error) {
            return Self::Insecure { url, endpoint: endpoint.clone() };
        }
        Self::Unreachable { url, source: Cause(error) }
    }
}

/// What a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// An object.
    Store,
    /// The credentials to ask for one.
    Credentials,
}

/// An error of `object_store` without the layers that repeat what is below them: what the HTTP client said.
#[derive(Debug)]
pub struct Cause(object_store::Error);

impl Cause {
    fn client(&self) -> Option<&reqwest::Error> {
        find(&self.0)
    }

    fn is_transient(&self) -> bool {
        // Without an error of the client it is one of form: an answer that makes no sense, a token file that is not there.
        self.client()
            .map_or_else(|| find::<super::client::NoAnswer>(&self.0).is_some(), |error| !is_certificate_trouble(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error: &dyn Error = match self.client() {
            Some(error) => error,
            None => innermost(&self.0),
        };
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
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn innermost<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}
