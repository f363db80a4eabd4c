//! Mirrors in container registries: Debian's own, with and without a password, and stand-ins that hand out tokens.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::header::AUTHORIZATION;
use serde_json::Value;

use crate::context::{NETWORK, Project, Run, names_with, total};
use crate::fixtures::{Mirror, read_json, sha256};
use crate::images::{DockerRegistry, folder_of, images, images_with_a_large_one, registry_folder, tag};
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;
const REPOSITORY: &str = "group/binaries";

/// What no output may hold: the password, and the tokens that it is exchanged for.
const SECRET: &str = "hunter2-hunter2";
/// `me:hunter2-hunter2`.
const BASIC: &str = "Basic bWU6aHVudGVyMi1odW50ZXIy";
const PAIR: &str = "access-pair: { id: me, secret-variable: REGISTRY_SECRET }";

fn project(url: &str, keys: &str) -> Project {
    let project = Project::new(MIRROR.environment());
    configure(&project, url, keys);
    project
}

fn configure(project: &Project, url: &str, keys: &str) {
    project.configure(&format!("{NETWORK}mirrors:\n- {{ name: images, url: \"{url}\", {keys} }}\n"));
}

/// `larder prepare -vv` with these variables; no secret is printed or written down.
fn prepare(project: &Project, variables: &[(&str, &str)]) -> Run {
    let run = project.larder_with(&["prepare", "-vv"], variables);
    let mut said = run.to_string();
    for file in [".larder/job/report.json", ".larder/job/state.json", ".larder/shared/larder.json"] {
        let text = fs::read_to_string(project.path(file));
        assert!(text.is_ok() || run.code != Some(0), "a run that succeeds writes {file}\n{run}");
        said += &text.unwrap_or_default();
    }
    for secret in [SECRET, BASIC.trim_start_matches("Basic "), "opaque-"] {
        assert!(!said.contains(secret), "`{secret}` is printed:\n{said}");
    }
    run
}

fn blobs_of_images() -> Vec<String> {
    let mut digests: Vec<String> =
        images(MIRROR).iter().flat_map(|image| image.blobs[1..].iter().map(|blob| sha256(blob))).collect();
    digests.sort();
    digests.dedup();
    digests
}

#[test]
fn a_registry_is_a_mirror_like_any_other() {
    let Some(registry) = DockerRegistry::start(false) else { return };
    registry.push(REPOSITORY, &images(MIRROR), None);
    let project = project(&registry.url(REPOSITORY), "");
    let report = project.prepare();
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    let fetched = report["specs"].as_array().unwrap().iter().filter(|spec| spec["status"] == "fetched");
    assert!(fetched.into_iter().all(|spec| spec["mirror"] == "images"), "{report:#}");
    assert_eq!(project.blobs_in(".larder/shared"), blobs_of_images());
    assert_eq!(report["warnings"], Value::Array(vec![]), "no signature is missed");

    // What Spack sees: a v3 mirror without signatures, whose blobs are those of the registry.
    let published = MIRROR.published("app");
    let manifest = read_json(&project.path(".larder/job/mirror").join(&published.metadata[1..]));
    assert_eq!(manifest["data"][0]["checksum"], published.blobs[0].digest.as_str());
    for record in manifest["data"].as_array().unwrap() {
        let digest = record["checksum"].as_str().unwrap();
        let blob =
            fs::read(project.path(&format!(".larder/job/mirror/blobs/sha256/{}/{digest}", &digest[..2]))).unwrap();
        assert_eq!((sha256(&blob).as_str(), Some(blob.len() as u64)), (digest, record["contentLength"].as_u64()));
    }
    let scope = fs::read_to_string(project.path(".larder/job/spack/mirrors.yaml")).unwrap();
    assert!(scope.contains("signed: false"), "{scope}");

    project.next_job();
    let before = project.entries(".larder/shared");
    let report = project.prepare();
    assert_eq!((names_with(&report, "cached"), total(&report, "bytes_fetched")), (to_owned(MIRROR.needed()), 0));
    assert_eq!(total(&report, "requests"), MIRROR.needed().len() as u64, "one manifest for each spec");
    assert_eq!(project.entries(".larder/shared"), before);

    drop(registry);
    project.larder(&["prepare"]).fails_saying(1, &["can't ask mirror `images`"]);
}

fn to_owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_a_registry_lacks_is_to_be_built_and_an_empty_one_is_doubted() {
    let Some(registry) = DockerRegistry::start(false) else { return };
    let most: Vec<_> = images(MIRROR).into_iter().filter(|image| !image.tag.starts_with("app-")).collect();
    registry.push(REPOSITORY, &most, None);
    let project = project(&registry.url(REPOSITORY), "");
    let report = project.prepare();
    assert!(names_with(&report, "build").contains(&"app".to_owned()), "{report:#}");
    assert!(names_with(&report, "fetched").contains(&"libbase".to_owned()));

    configure(&project, &registry.url("group/another"), "");
    project.larder(&["prepare"]).succeeds().says(&["no mirror has any of", "is the URL right"]);
}

#[test]
fn a_registry_of_spacks_configuration_is_used_beside_a_signed_mirror() {
    let Some(registry) = DockerRegistry::start(false) else { return };
    let some: Vec<_> = images(MIRROR).into_iter().filter(|image| image.tag.starts_with("app-")).collect();
    registry.push(REPOSITORY, &some, None);
    let server = Server::start(&Mirror::V3Signed.folder());
    let project = project("", "");
    project.configure(NETWORK);
    project.write(
        "spack.yaml",
        format!(
            "spack:\n  specs: [app, plotter]\n  mirrors:\n    images: {}\n    web: {}\n",
            registry.url(REPOSITORY),
            server.url()
        ),
    );
    let report = project.prepare();
    let from = |mirror: &str| -> Vec<&str> {
        let specs = report["specs"].as_array().unwrap();
        specs.iter().filter(|spec| spec["mirror"] == mirror).map(|spec| spec["name"].as_str().unwrap()).collect()
    };
    assert_eq!((from("images"), from("web")), (vec!["app"], vec!["libbase", "libmid", "plotter", "rtdata"]));
    // Signatures are demanded where there are any, and only there.
    let scope = fs::read_to_string(project.path(".larder/job/spack/mirrors.yaml")).unwrap();
    assert!(scope.contains("signed: true") && scope.contains("signed: false"), "{scope}");
    assert!(project.path(".larder/job/mirror-unsigned").join(&MIRROR.published("app").metadata[1..]).exists());
}

#[test]
fn a_password_is_found_wherever_it_usually_is() {
    let Some(registry) = DockerRegistry::start(true) else { return };
    registry.push(REPOSITORY, &images(MIRROR), Some(("me", SECRET)));
    let (url, host) = (registry.url(REPOSITORY), registry.host());
    prepare(&project(&url, PAIR), &[("REGISTRY_SECRET", SECRET)]).succeeds();

    let gitlab = [("CI_REGISTRY", host), ("CI_JOB_TOKEN", SECRET)];
    prepare(&project(&url, ""), &gitlab).succeeds();
    let deploy =
        [("CI_REGISTRY", host), ("CI_REGISTRY_USER", "me"), ("CI_REGISTRY_PASSWORD", SECRET), ("CI_JOB_TOKEN", "x")];
    prepare(&project(&url, ""), &deploy).succeeds();
    let other = [("CI_REGISTRY", "registry.example.com"), ("CI_JOB_TOKEN", SECRET)];
    prepare(&project(&url, ""), &other).fails_saying(1, &["401", "no credentials were sent"]);

    let auth = BASIC.trim_start_matches("Basic ");
    let docker = format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{auth}\"}}}}}}");
    let logged_in = project(&url, "");
    fs::create_dir(logged_in.outside().join("home/.docker")).unwrap();
    fs::write(logged_in.outside().join("home/.docker/config.json"), &docker).unwrap();
    prepare(&logged_in, &[]).succeeds();
    prepare(&project(&url, ""), &[("DOCKER_AUTH_CONFIG", &docker)]).succeeds();

    // A credential helper is a program on the PATH.
    let assisted = project(&url, "");
    let script = assisted.outside().join("script");
    // It reads what it is asked for, as all do: one that ended before larder had written it would be a broken pipe.
    fs::write(&script, format!("#!/bin/sh\nread -r host\necho '{{\"Username\": \"me\", \"Secret\": \"{SECRET}\"}}'\n"))
        .unwrap();
    // Made executable by another process: one that this process has open for writing can't be run, and whatever another test
    // starts at this moment has it open as well.
    let helper = assisted.outside().join("docker-credential-test");
    assert!(Command::new("install").args(["-m", "755"]).args([&script, &helper]).status().unwrap().success());
    let path = format!("{}:{}", assisted.outside().display(), std::env::var("PATH").unwrap());
    let config = format!("{{\"credHelpers\": {{\"{host}\": \"test\"}}}}");
    prepare(&assisted, &[("PATH", &path), ("DOCKER_AUTH_CONFIG", &config)]).succeeds();
}

#[test]
fn a_wrong_password_is_told_with_the_place_where_it_was_found() {
    let Some(registry) = DockerRegistry::start(true) else { return };
    let project = project(&registry.url(REPOSITORY), PAIR);
    prepare(&project, &[("REGISTRY_SECRET", "wrong")])
        .fails_saying(1, &["401", "it does not accept the access pair of the mirror's entry"]);
    prepare(&project, &[]).fails_saying(1, &["no credentials were sent", "`REGISTRY_SECRET`", "is not set here"]);
    let run = prepare(&project, &[("CI_REGISTRY", registry.host()), ("CI_JOB_TOKEN", "wrong")]);
    run.fails_saying(1, &["it does not accept `CI_JOB_TOKEN`"]);
}

/// A registry that wants tokens, and the server that hands them out, on another port.
struct TokenRegistry {
    images: tempfile::TempDir,
    answers: tempfile::TempDir,
    registry: Server,
    tokens: Server,
    /// Accepted at this moment.
    valid: Arc<Mutex<String>>,
}

impl TokenRegistry {
    fn start() -> Self {
        Self::of(registry_folder(MIRROR, REPOSITORY))
    }

    fn of(folder: tempfile::TempDir) -> Self {
        let token_folder = tempfile::tempdir().unwrap();
        fs::write(token_folder.path().join("token"), r#"{"token": "opaque-1", "expires_in": 300}"#).unwrap();
        let (registry, tokens) = (Server::start(folder.path()), Server::start(token_folder.path()));
        tokens.require_authorization(BASIC);
        let valid = Arc::new(Mutex::new("Bearer opaque-1".to_owned()));
        let this = Self { images: folder, answers: token_folder, registry, tokens, valid };
        this.guard(&format!("{}/token", this.tokens.url()), |_| ());
        this
    }

    /// Want a token from `realm`; `before` is told of each request with the right one before it is answered.
    fn guard(&self, realm: &str, before: impl Fn(usize) + Send + Sync + 'static) {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"images\",scope=\"repository:{REPOSITORY}:pull\"");
        let (valid, count) = (Arc::clone(&self.valid), AtomicUsize::new(0));
        self.registry.guard(move |header| {
            if header == Some(&valid.lock().unwrap()) {
                before(count.fetch_add(1, Ordering::SeqCst));
            }
            let refused = header != Some(&valid.lock().unwrap());
            refused.then(|| Fault::Status(401, vec![("www-authenticate", challenge.clone())]))
        });
    }

    fn project(&self) -> Project {
        let url = self.registry.url().replace("http://", "oci+http://");
        project(&format!("{url}/{REPOSITORY}"), PAIR)
    }

    fn hand_out(&self, answer: &str) {
        fs::write(self.answers.path().join("token"), answer).unwrap();
    }
}

const VARIABLES: [(&str, &str); 1] = [("REGISTRY_SECRET", SECRET)];

#[test]
fn a_token_is_asked_for_once_and_opens_the_repository() {
    let setup = TokenRegistry::start();
    prepare(&setup.project(), &VARIABLES).succeeds();
    let [asked] = &setup.tokens.log()[..] else { panic!("{:#?}", setup.tokens.log()) };
    assert_eq!(asked.headers[AUTHORIZATION], BASIC);
    // The password went to the token server only, and the first request found out that a token is wanted.
    let sent: Vec<_> = setup.registry.log().iter().map(|request| request.headers.get(AUTHORIZATION).cloned()).collect();
    assert_eq!(sent[0], None);
    assert!(sent[1..].iter().all(|header| header.as_ref().unwrap() == "Bearer opaque-1"), "{sent:?}");
    let expected = MIRROR.needed().len() + blobs_of_images().len() + 1;
    assert_eq!(sent.len(), expected);
}

#[test]
fn a_registry_without_login_hands_out_tokens_to_anybody() {
    let setup = TokenRegistry::start();
    setup.tokens.guard(|header| header.map(|_| Fault::Status(400, vec![])));
    setup.hand_out(r#"{"access_token": "opaque-1"}"#);
    let url = setup.registry.url().replace("http://", "oci+http://");
    prepare(&project(&format!("{url}/{REPOSITORY}"), ""), &[]).succeeds();
}

#[test]
fn a_token_that_expires_on_the_way_is_renewed() {
    let setup = TokenRegistry::start();
    let (valid, folder) = (Arc::clone(&setup.valid), setup.answers.path().to_owned());
    setup.guard(&format!("{}/token", setup.tokens.url()), move |number| {
        if number == 6 {
            *valid.lock().unwrap() = "Bearer opaque-2".to_owned();
            fs::write(folder.join("token"), r#"{"token": "opaque-2"}"#).unwrap();
        }
    });
    prepare(&setup.project(), &VARIABLES).succeeds();
    assert_eq!(setup.tokens.log().len(), 2, "one renewal for all requests");
}

#[test]
fn a_token_that_does_not_open_the_repository_ends_the_run() {
    let setup = TokenRegistry::start();
    setup.hand_out(r#"{"token": "opaque-2"}"#);
    prepare(&setup.project(), &VARIABLES).fails_saying(1, &["401", "does not accept the access pair"]);
    assert!(setup.tokens.log().len() <= 2 * MIRROR.needed().len(), "{}", setup.tokens.log().len());

    setup.hand_out("<html>");
    prepare(&setup.project(), &VARIABLES).fails_saying(1, &["can't log in", "holds no token"]);
}

#[test]
fn a_password_that_the_token_server_refuses_is_told() {
    let setup = TokenRegistry::start();
    setup.tokens.require_authorization("Basic another");
    let run = prepare(&setup.project(), &VARIABLES);
    run.fails_saying(1, &[&setup.tokens.url(), "401", "does not accept the access pair of the mirror's entry"]);
}

#[test]
fn an_identity_token_is_exchanged() {
    let setup = TokenRegistry::start();
    setup.tokens.guard(|_| None);
    let (url, host) = (setup.registry.url(), setup.registry.url().replace("http://", ""));
    let docker = format!("{{\"auths\": {{\"{host}\": {{\"identitytoken\": \"{SECRET}\"}}}}}}");
    let project = project(&format!("{}/{REPOSITORY}", url.replace("http://", "oci+http://")), "");
    prepare(&project, &[("DOCKER_AUTH_CONFIG", &docker)]).succeeds();
    let [asked] = &setup.tokens.log()[..] else { panic!("{:#?}", setup.tokens.log()) };
    assert_eq!((asked.method.as_str(), asked.headers.get(AUTHORIZATION)), ("POST", None));
}

#[test]
fn a_registry_that_limits_requests_is_asked_again() {
    let setup = TokenRegistry::start();
    let slow = || Fault::Status(429, vec![("retry-after", "0".to_owned())]);
    setup.registry.fault("**", Times::First(1), slow());
    setup.tokens.fault("**", Times::First(1), slow());
    prepare(&setup.project(), &VARIABLES).succeeds();
    setup.registry.fault("**", Times::Always, slow());
    prepare(&setup.project(), &VARIABLES).fails_saying(1, &["429", "limits requests", "network: connections"]);
}

#[test]
fn blobs_come_from_an_object_store_that_never_sees_the_token() {
    let setup = TokenRegistry::start();
    let store = Server::start(setup.images.path());
    setup.registry.fault("**/blobs/**", Times::Always, Fault::Redirect(format!("{}{{path}}", store.url())));
    prepare(&setup.project(), &VARIABLES).succeeds();
    assert_eq!(store.log().len(), blobs_of_images().len());
    assert!(store.log().iter().all(|request| request.headers.get(AUTHORIZATION).is_none()));
}

#[test]
fn a_server_that_a_redirect_led_to_can_not_have_the_password() {
    let setup = TokenRegistry::start();
    let thief = Server::start(setup.images.path());
    let realm = format!("Bearer realm=\"{}/token\",service=\"x\"", thief.url());
    thief.guard(move |_| Some(Fault::Status(401, vec![("www-authenticate", realm.clone())])));
    setup.registry.fault("**", Times::Always, Fault::Redirect(format!("{}{{path}}", thief.url())));
    setup.registry.guard(|_| None);
    prepare(&setup.project(), &VARIABLES).fails_saying(1, &["401", "are not sent to another"]);
    assert!(!thief.log().is_empty());
    assert!(
        thief.count("/token") == 0 && thief.log().iter().all(|request| request.headers.get(AUTHORIZATION).is_none())
    );
}

#[test]
fn a_token_server_without_tls_is_not_sent_a_password() {
    let setup = TokenRegistry::start();
    setup.guard("http://tokens.invalid/token", |_| ());
    let proxy = Server::start(setup.answers.path());
    let variables = [VARIABLES[0], ("http_proxy", &proxy.url()), ("no_proxy", "127.0.0.1")];
    prepare(&setup.project(), &variables).fails_saying(1, &["can't log in", "tokens.invalid", "not protected by TLS"]);
    assert_eq!(proxy.log().len(), 0);
}

#[test]
fn a_registry_without_tls_is_refused_unless_it_is_here_or_insecure() {
    let project = project("oci+http://registry.invalid/x", "");
    project.larder(&["prepare"]).fails_saying(2, &["oci+http://registry.invalid/x", "not protected by TLS"]);
    project.configure("network: { retries: 0 }\nmirrors: [{ url: oci+http://registry.invalid/x, insecure: true }]\n");
    project.larder(&["prepare"]).fails_saying(1, &["can't get", "http://registry.invalid/v2/x/manifests/"]);
}

#[test]
fn a_configuration_that_describes_another_spec_is_refused() {
    let folder = registry_folder(MIRROR, REPOSITORY);
    let manifest = |name| folder.path().join("v2").join(REPOSITORY).join("manifests").join(tag(MIRROR, name));
    fs::copy(manifest("rtdata"), manifest("libbase")).unwrap();
    let server = Server::start(folder.path());
    let url = server.url().replace("http://", "oci+http://");
    let project = project(&format!("{url}/{REPOSITORY}"), "");
    let hash = MIRROR.published("rtdata").hash;
    project.larder(&["prepare"]).fails_saying(1, &["libbase", "describes", &hash]);
    assert!(!project.path(".larder/job/mirror").exists());
}

#[test]
fn a_manifest_that_is_not_what_the_registry_says_is_refused() {
    let folder = registry_folder(MIRROR, REPOSITORY);
    let server = Server::start(folder.path());
    let url = server.url().replace("http://", "oci+http://");
    let project = project(&format!("{url}/{REPOSITORY}"), "");
    let digest = ("docker-content-digest", format!("sha256:{}", "0".repeat(64)));
    server.fault("**/manifests/**", Times::Always, Fault::Status(200, vec![digest]));
    project.larder(&["prepare"]).fails_saying(1, &["its sha256 is", "manifests/"]);
    server.heal();
    server.fault("**/manifests/**", Times::Always, Fault::TooLong(16 << 20));
    project.larder(&["prepare"]).fails_saying(1, &["is longer than"]);
    server.heal();
    server.fault("**/blobs/**", Times::Always, Fault::WrongByte);
    project.larder(&["prepare"]).fails_saying(1, &["its sha256 is", "blobs/sha256:"]);
    assert_eq!(project.blobs_in(".larder/shared"), [""; 0]);
}

#[test]
fn a_plan_shows_the_registry() {
    let folder = registry_folder(MIRROR, REPOSITORY);
    let server = Server::start(folder.path());
    let url = server.url().replace("http://", "oci+http://");
    let project = project(&format!("{url}/{REPOSITORY}"), "");
    let plan: Value = project.larder(&["plan", "--json"]).report();
    assert_eq!(names_with(&plan, "fetch"), MIRROR.needed());
    assert_eq!(plan["specs"][0]["mirror"], "images");
    assert_eq!(server.log().len(), MIRROR.needed().len());
}

#[test]
fn an_export_of_what_a_registry_has_needs_it_no_more() {
    let folder = registry_folder(MIRROR, REPOSITORY);
    let server = Server::start(folder.path());
    let url = server.url().replace("http://", "oci+http://");
    let project = project(&format!("{url}/{REPOSITORY}"), "");
    project.larder(&["export", "../out"]).succeeds();
    let log = server.log();
    let asked = !log.is_empty() && log.iter().all(|request| request.path.starts_with("/v2/"));
    assert!(asked, "only a registry's interface is asked: {:#?}", server.log());
    server.stop();
    let scope = fs::read_to_string(project.outside().join("out/spack/mirrors.yaml")).unwrap();
    assert!(scope.contains("signed: false"), "{scope}");
    let child = project.command(&["prepare", "--json"]).current_dir(project.outside().join("out")).spawn().unwrap();
    assert_eq!(names_with(&Run::wait(child, &["prepare"]).report(), "fetched"), MIRROR.needed());
}

#[test]
fn a_large_binary_comes_in_parts_each_with_a_token_that_is_valid() {
    let (images, digest) = images_with_a_large_one(MIRROR, 48 << 20);
    let setup = TokenRegistry::of(folder_of(images, REPOSITORY));
    let (valid, folder) = (Arc::clone(&setup.valid), setup.answers.path().to_owned());
    setup.guard(&format!("{}/token", setup.tokens.url()), move |number| {
        if number == 8 {
            *valid.lock().unwrap() = "Bearer opaque-2".to_owned();
            fs::write(folder.join("token"), r#"{"token": "opaque-2"}"#).unwrap();
        }
    });
    let project = setup.project();
    prepare(&project, &VARIABLES).succeeds();
    assert_eq!(sha256(&fs::read(project.cached(&digest)).unwrap()), digest);
    let log = setup.registry.log();
    let parts = log.iter().filter(|request| request.path.ends_with(&digest) && request.status == 206);
    assert!(parts.clone().count() > 3, "{log:#?}");
    assert_eq!(parts.map(|request| request.bytes).sum::<u64>(), 48 << 20, "each byte once");
    assert_eq!(setup.tokens.log().len(), 2);
}

#[test]
fn a_large_binary_comes_whole_from_debians_registry() {
    let Some(registry) = DockerRegistry::start(true) else { return };
    let (images, digest) = images_with_a_large_one(MIRROR, 48 << 20);
    registry.push(REPOSITORY, &images, Some(("me", SECRET)));
    let project = project(&registry.url(REPOSITORY), PAIR);
    let run = prepare(&project, &[("REGISTRY_SECRET", SECRET)]).succeeds();
    assert_eq!(sha256(&fs::read(project.cached(&digest)).unwrap()), digest);
    assert!(run.stderr.matches("206 Partial Content").count() > 3, "{run}");
}
