//! Where bytes are.

use std::sync::Arc;

use url::Url;

use crate::types::{Access, PlainHttp, PublicUrl};

/// A URL, and what its mirror allows.
#[derive(Clone, Debug)]
pub struct Location {
    /// Where the bytes are.
    pub url: Url,
    /// Whether the connection may do without TLS.
    pub plain_http: PlainHttp,
    /// Credentials, for the server of this URL and no other.
    pub access: Arc<Access>,
}

impl Location {
    /// Its URL, for messages.
    pub(crate) fn public(&self) -> PublicUrl {
        PublicUrl::from(&self.url)
    }
}

/// A URL as it may be printed.
pub(crate) fn public(url: &Url) -> PublicUrl {
    url.into()
}
