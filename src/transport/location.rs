//! Where bytes are, and how that may be printed.

use std::sync::Arc;

use url::Url;

use crate::types::{Access, PlainHttp};

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

/// A URL as it may be printed.
pub(crate) fn public(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    // What a redirect appends is often a signature that grants access.
    if url.query().is_some() {
        url.set_query(Some("…"));
    }
    String::from(url).replace("?%E2%80%A6", "?…")
}
