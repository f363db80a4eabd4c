//! Errors on their way through the crate `object_store`.

use std::error::Error;
use std::fmt;

use object_store::client::HttpError;
use thiserror::Error;

use crate::transport::causes::{causes, find};

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
    /// The HTTP client's error. Without one it is an error of form: an answer that makes no sense, a token file that is not
    /// there.
    pub(in crate::transport) fn client(&self) -> Option<&reqwest::Error> {
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
