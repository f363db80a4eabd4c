//! TLS with an authority of one's own, HTTP/2, and redirects that would give TLS up.

use axum::http::Version;
use std::fs;

use crate::authority::Authority;
use crate::context::{Project, mirror_entry, names_with};
use crate::fixtures::Mirror;
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;

struct Secure {
    project: Project,
    server: Server,
    certificate: String,
}

fn secure() -> Secure {
    let authority = Authority::new();
    let server = Server::start_tls(&MIRROR.folder(), &authority);
    let project = Project::new("v3/env-demo");
    project.configure(&mirror_entry(&server.url(), false));
    let certificate = authority.write_certificate(project.outside()).to_str().unwrap().to_owned();
    Secure { project, server, certificate }
}

#[test]
fn an_authority_in_ssl_cert_file_is_trusted_and_http2_is_spoken() {
    let Secure { project, server, certificate } = secure();
    let report = project.larder_with(&["prepare", "--json"], &[("SSL_CERT_FILE", &certificate)]).report();
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    // Blobs have a connection each, which is what HTTP/2 is there to avoid.
    let expected = |path: &str| if path.contains("/blobs/") { Version::HTTP_11 } else { Version::HTTP_2 };
    assert!(server.log().iter().all(|request| request.version == expected(&request.path)), "{:#?}", server.log());
}

#[test]
fn an_authority_that_nobody_vouched_for_is_refused_at_once() {
    let Secure { project, server, .. } = secure();
    let other = Authority::new().write_certificate(project.outside());
    let run = project.larder_with(&["prepare"], &[("SSL_CERT_FILE", other.to_str().unwrap())]);
    run.fails_saying(1, &[&server.url(), "certificate", "SSL_CERT_FILE"]);
    assert_eq!(server.log().len(), 0);
}

#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let Secure { project, server, certificate } = secure();
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::Always, Fault::Redirect("http://mirror.invalid{path}".to_owned()));
    let run = project.larder_with(&["prepare"], &[("SSL_CERT_FILE", &certificate)]);
    run.fails_saying(1, &[&blob.path, "http://mirror.invalid", "not protected by TLS", "insecure: true"]);
    assert!(!project.cached(&blob.digest).exists());
}

#[test]
fn a_redirect_is_followed_and_its_bytes_are_checked_like_any() {
    let (project, server) = Project::with_server(MIRROR);
    let elsewhere = Server::start(&MIRROR.folder());
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::Always, Fault::Redirect(format!("{}{{path}}", elsewhere.url())));
    project.prepare();
    assert_eq!(elsewhere.blob_requests(), [blob.path.as_str()]);
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());

    fs::remove_file(project.cached(&blob.digest)).unwrap();
    elsewhere.fault(&blob.path, Times::Always, Fault::WrongByte);
    project.larder(&["prepare"]).fails_saying(1, &["sha256"]);
}

#[test]
fn redirects_in_a_circle_end() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::Always, Fault::Redirect(format!("{}{{path}}", server.url())));
    project.larder(&["prepare"]).fails_saying(1, &[&blob.path, "redirects without end"]);
    assert!(server.count(&blob.path) <= 3 * 12, "asked {} times", server.count(&blob.path));
}

#[test]
fn plain_http_to_another_machine_is_refused_unless_the_mirror_says_insecure() {
    let project = Project::new("v3/env-demo");
    project.configure(&mirror_entry("http://mirror.invalid/x", false));
    let run = project.larder(&["prepare"]);
    run.fails_saying(2, &["http://mirror.invalid/x", "not protected by TLS", "insecure: true"]);

    let network = "network: { retries: 0, connect-timeout: 2s }\n";
    let mirror = "mirrors: [{ name: x, url: \"http://mirror.invalid/x\", insecure: true }]\n";
    project.configure(&format!("{network}{mirror}"));
    project.larder(&["prepare"]).fails_saying(1, &["can't get"]);
}

#[test]
fn a_proxy_from_the_environment_is_used() {
    let (project, proxy) = Project::with_server(MIRROR);
    // A request through a plain proxy carries the whole URL; the test server looks at its path only.
    let mirror = "mirrors: [{ name: x, url: \"http://mirror.invalid\", insecure: true, signed: false }]\n";
    project.configure(&format!("{}{mirror}", crate::context::NETWORK));
    let report = project.larder_with(&["prepare", "--json"], &[("http_proxy", &proxy.url())]).report();
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    assert_eq!(proxy.log()[0].headers["host"], "mirror.invalid");
}
