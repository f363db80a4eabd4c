//! The name by which netrc files, Docker and GitLab call a server.

use url::Url;

/// `host`, or `host:port` where the port is not the usual one.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
