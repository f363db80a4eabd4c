//! Where bytes are.

use std::sync::Arc;

use url::{Position, Url};

use crate::types::{Access, PlainHttp, PublicUrl, without_user};

/// A URL, and what its mirror allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

    /// The same server and the same access, with another path.
    pub(super) fn with_path(&self, path: &str) -> Self {
        let mut at = self.clone();
        at.url.set_path(path);
        at
    }

    /// What connections are counted by: the server, or the bucket.
    pub(super) fn server(&self) -> String {
        without_user(&self.url)[..Position::BeforePath].to_owned()
    }

    /// Whether it is on a file system of this machine.
    pub(super) fn is_file(&self) -> bool {
        self.url.scheme() == "file"
    }
}
