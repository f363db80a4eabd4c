//! Which credentials are for which server.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::types::PlainHttp;

fn variables(set: &[(&str, &str)]) -> Variables {
    Variables::new(set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn with_file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    let text = home.path().to_str().unwrap().to_owned();
    (home, text)
}

fn web(credentials: &Credentials, url: &str, access: Access) -> Option<String> {
    let at = Location { url: url.parse().unwrap(), plain_http: PlainHttp::LoopbackOnly, access: Arc::new(access) };
    credentials.for_web(&at).map(|found| match found.credential {
        Credential::Token(token) => token.expose().to_owned(),
        Credential::Pair(pair) => format!("{}:{}", pair.id, pair.secret.expose()),
    })
}

fn registry(credentials: &Credentials, url: &str) -> Option<String> {
    credentials.for_registry(&url.parse().unwrap(), &Access::default()).map(|found| match found.credential {
        Login::Pair(pair) => format!("{}:{}", pair.id, pair.secret.expose()),
        Login::Identity(token) => format!("identity {}", token.expose()),
    })
}

#[test]
fn the_entry_comes_before_the_url_and_the_url_before_netrc() {
    let (_home, path) = with_file(".netrc", "# mine\nmachine host login n password 'n' default login d password d\n");
    let credentials = Credentials::new(&variables(&[("HOME", &path)]));
    let pair = AccessPair { id: "p".to_owned(), secret: Secret::new("p") };
    let both = Access { token: Some(Secret::new("t")), pair: Some(pair.clone()), ..Access::default() };
    let only_pair = Access { pair: Some(pair), ..Access::default() };
    assert_eq!(web(&credentials, "https://u:x%40y@host/", both).unwrap(), "t");
    assert_eq!(web(&credentials, "https://u:x%40y@host/", only_pair).unwrap(), "p:p");
    assert_eq!(web(&credentials, "https://u:x%40y@host/", Access::default()).unwrap(), "u:x@y");
    assert_eq!(web(&credentials, "https://host:8443/", Access::default()).unwrap(), "n:'n'");
    assert_eq!(web(&credentials, "https://other/", Access::default()), None, "`default` is for nobody");
}

#[test]
fn netrc_may_be_elsewhere_name_a_port_and_be_broken() {
    let (home, _) = with_file("x", "machine host:81 login a password b machine host login c password d");
    let path = home.path().join("x");
    let at = |path: &Path| Credentials::new(&variables(&[("NETRC", path.to_str().unwrap()), ("HOME", "/nowhere")]));
    assert_eq!(web(&at(&path), "https://host:81/", Access::default()).unwrap(), "a:b");
    assert_eq!(web(&at(&path), "https://host/", Access::default()).unwrap(), "c:d");
    std::fs::write(&path, "machine host login a hunter2 b").unwrap();
    let credentials = at(&path);
    assert_eq!(web(&credentials, "https://host/", Access::default()), None);
    let error =
        credentials.denied(&"https://host/".parse().unwrap(), StatusCode::UNAUTHORIZED, &Access::default(), None);
    let TransportError::Denied { hint, .. } = error else { panic!("{error}") };
    assert!(hint.contains("can't be understood") && !hint.contains("hunter2"), "{hint}");
}

#[test]
fn gitlab_gives_its_jobs_credentials_for_its_own_registry_only() {
    let base = [("CI_REGISTRY", "registry.example.com:5050"), ("CI_JOB_TOKEN", "job")];
    let credentials = Credentials::new(&variables(&base));
    assert_eq!(registry(&credentials, "https://registry.example.com:5050/v2/").unwrap(), "gitlab-ci-token:job");
    assert_eq!(registry(&credentials, "https://registry.example.com/v2/"), None);
    assert_eq!(registry(&credentials, "https://other.example.com:5050/v2/"), None);
    let full = [&base[..], &[("CI_REGISTRY_USER", "u"), ("CI_REGISTRY_PASSWORD", "p")]].concat();
    assert_eq!(registry(&Credentials::new(&variables(&full)), "https://registry.example.com:5050/v2/").unwrap(), "u:p");
    let usual = [("CI_REGISTRY", "registry.example.com:443"), ("CI_JOB_TOKEN", "job")];
    assert!(registry(&Credentials::new(&variables(&usual)), "https://registry.example.com/v2/").is_some());
}

#[test]
fn what_docker_and_podman_left_is_found() {
    // `dTpw` is `u:p`.
    let auths = r#"{"auths": {"https://r.example/v1/": {"auth": "dTpw"}, "r.example:5000": {"auth": "eDp5"}}}"#;
    for (file, variable) in [(".docker/config.json", "HOME"), (".config/containers/auth.json", "HOME")] {
        let (_home, path) = with_file(file, auths);
        let credentials = Credentials::new(&variables(&[(variable, &path)]));
        assert_eq!(registry(&credentials, "https://r.example/v2/").unwrap(), "u:p", "{file}");
        assert_eq!(registry(&credentials, "http://r.example:5000/v2/").unwrap(), "x:y", "{file}");
        assert_eq!(registry(&credentials, "https://r.example:5001/v2/"), None, "{file}");
    }
    let inline = Credentials::new(&variables(&[("DOCKER_AUTH_CONFIG", auths)]));
    assert_eq!(registry(&inline, "https://r.example/v2/").unwrap(), "u:p");
    let identity = r#"{"auths": {"r.example": {"auth": "dTo=", "identitytoken": "i"}}}"#;
    let (_home, path) = with_file("config.json", identity);
    let credentials = Credentials::new(&variables(&[("DOCKER_CONFIG", &path)]));
    assert_eq!(registry(&credentials, "https://r.example/v2/").unwrap(), "identity i");
    let (_home, path) = with_file("config.json", "no json");
    assert_eq!(registry(&Credentials::new(&variables(&[("DOCKER_CONFIG", &path)])), "https://r.example/v2/"), None);
}

#[test]
fn nothing_secret_is_in_a_debug_text() {
    let set = [("CI_REGISTRY", "r"), ("CI_JOB_TOKEN", "hunter2"), ("DOCKER_AUTH_CONFIG", "hunter2")];
    let (_home, path) = with_file(".netrc", "machine host login n password hunter2");
    let credentials = Credentials::new(&variables(&[&set[..], &[("HOME", &path)]].concat()));
    assert!(web(&credentials, "https://host/", Access::default()).is_some());
    assert!(!format!("{credentials:?}").contains("hunter2"));
}
