//! Mirrors in object stores: who may read them, and what a refusal is taken for.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use s3s::S3ErrorCode;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::context::{NETWORK, Project, Run, mirror_entry, names_with};
use crate::fixtures::Mirror;
use crate::s3_server::{KEY_ID, Readers, S3Server, SECRET};

const MIRROR: Mirror = Mirror::V3Unsigned;
const URL: &str = "s3://binaries/team/mirror";

fn project(url: &str) -> Project {
    let project = Project::new("v3/env-demo");
    project.configure(&mirror_entry(url, false));
    project
}

fn signed() -> (Project, S3Server) {
    (project(URL), S3Server::with_mirror(Readers::Known, &MIRROR.folder(), "team/mirror"))
}

/// Run with the server's variables, some of them changed; an empty value takes one away.
fn run(project: &Project, server: &S3Server, changes: &[(&str, &str)]) -> Run {
    let mut variables = server.variables();
    variables.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let changes = changes.iter().filter(|(_, value)| !value.is_empty());
    variables.extend(changes.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    larder(project, &["prepare", "--json"], &variables)
}

fn larder(project: &Project, arguments: &[&str], variables: &[(String, String)]) -> Run {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    project.larder_with(arguments, &variables)
}

fn assert_fetched(report: &Value) {
    assert_eq!(names_with(report, "fetched"), MIRROR.needed());
}

#[test]
fn a_signed_mirror_is_read_and_its_secret_is_printed_nowhere() {
    let (project, server) = signed();
    let mut variables = server.variables();
    variables.push(("LARDER_LOG".to_owned(), "trace".to_owned()));
    let run = larder(&project, &["prepare", "--json", "-vvv"], &variables).succeeds();
    let report = fs::read_to_string(project.path(".larder/job/report.json")).unwrap();
    for text in [&run.stdout, &run.stderr, &report] {
        assert!(!text.contains(SECRET) && !text.contains("Signature="), "{run}");
    }
    assert!(!run.stdout.contains(KEY_ID) && !report.contains(KEY_ID));
    assert_fetched(&run.report());
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
}

#[test]
fn both_layouts_are_read_from_the_root_of_a_bucket() {
    for mirror in [Mirror::V3Signed, Mirror::V2Unsigned] {
        let server = S3Server::with_mirror(Readers::Known, &mirror.folder(), "");
        let project = Project::new(mirror.environment());
        project.configure(&mirror_entry("s3://binaries", mirror.is_signed()));
        assert_eq!(names_with(&run(&project, &server, &[]).report(), "fetched"), mirror.needed());
    }
}

#[test]
fn wrong_credentials_are_errors_that_say_which() {
    let (project, server) = signed();
    let wrong = run(&project, &server, &[("AWS_SECRET_ACCESS_KEY", "wrong-and-not-to-be-printed")]);
    assert!(!wrong.stderr.contains("wrong-and-not-to-be-printed"), "{wrong}");
    wrong.fails_saying(1, &["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY", "s3://binaries/team/mirror/v3/"]);
    let unknown = run(&project, &server, &[("AWS_ACCESS_KEY_ID", "SOMEBODYELSE")]);
    unknown.fails_saying(1, &["InvalidAccessKeyId", "does not know this access key"]);
    let half = run(&project, &server, &[("AWS_SECRET_ACCESS_KEY", "")]);
    half.fails_saying(1, &["one half of an access key", "AWS_SECRET_ACCESS_KEY"]);
    server.refuse(S3ErrorCode::ExpiredToken, |_, _| true);
    run(&project, &server, &[]).fails_saying(1, &["ExpiredToken", "temporary credentials have expired"]);
    assert!(project.blobs_in(".larder/shared").is_empty());
}

#[test]
fn a_wrong_clock_is_told_from_a_wrong_secret_and_not_tried_again() {
    let (project, server) = signed();
    server.refuse(S3ErrorCode::RequestTimeTooSkewed, |_, _| true);
    run(&project, &server, &[]).fails_saying(1, &["RequestTimeTooSkewed", "the clock of this machine is wrong"]);
    let asked = server.log();
    let mut once = asked.clone();
    once.sort();
    once.dedup();
    assert!(!asked.is_empty() && asked.len() == once.len(), "{asked:?}");
}

#[test]
fn a_missing_bucket_is_not_a_mirror_without_binaries() {
    let (_, server) = signed();
    let project = project("s3://other/team/mirror");
    run(&project, &server, &[]).fails_saying(1, &["there is no bucket `other`", "AWS_ENDPOINT_URL"]);
}

#[test]
fn a_key_that_is_denied_is_a_key_that_is_not_there() {
    let (project, server) = signed();
    let app = MIRROR.published("app").metadata;
    let denied = format!("team/mirror{app}");
    // So does Amazon answer for a missing key where the reader may not list the bucket.
    server.refuse(S3ErrorCode::AccessDenied, move |_, key| key == denied || key.contains("/build_cache/"));
    let report = run(&project, &server, &[]).report();
    assert_eq!(names_with(&report, "build"), ["app"]);
}

#[test]
fn a_store_in_trouble_is_asked_again() {
    let (project, server) = signed();
    let seen = Mutex::new(std::collections::HashSet::new());
    server.refuse(S3ErrorCode::SlowDown, move |_, key| seen.lock().unwrap().insert(key.to_owned()));
    assert_fetched(&run(&project, &server, &[]).report());
    server.refuse(S3ErrorCode::InternalError, |_, _| true);
    run(&project, &server, &[]).fails_saying(1, &["InternalError", "the store is in trouble"]);
}

#[test]
fn a_public_bucket_is_read_without_credentials_and_without_waiting_for_any() {
    let server = S3Server::with_mirror(Readers::Anybody, &MIRROR.folder(), "team/mirror");
    let project = project(URL);
    let endpoint = server.endpoint();
    let began = Instant::now();
    let report = project.larder_with(&["prepare", "--json"], &[("AWS_ENDPOINT_URL", &endpoint)]).report();
    assert_fetched(&report);
    // The library's own default asks a metadata service that is not there, ten times.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_key_counts_for_nothing_where_signatures_are_switched_off() {
    let (project, server) = signed();
    let run = run(&project, &server, &[("AWS_SKIP_SIGNATURE", "true")]);
    // A private bucket denies everything, which is what a public one says of what it lacks: the log tells.
    run.says(&["denies", "without credentials"]).succeeds();
}

#[test]
fn an_endpoint_without_tls_is_refused_unless_the_mirror_says_insecure() {
    let (project, server) = signed();
    let elsewhere = run(&project, &server, &[("AWS_ENDPOINT_URL", "http://s3.invalid")]);
    elsewhere.fails_saying(1, &["http://s3.invalid", "not protected by TLS", "insecure: true"]);
    let mirror = format!("mirrors: [{{ name: x, url: \"{URL}\", insecure: true }}]\n");
    project.configure(&format!("network: {{ retries: 0, connect-timeout: 2s }}\n{mirror}"));
    let elsewhere = run(&project, &server, &[("AWS_ENDPOINT_URL", "http://s3.invalid")]);
    elsewhere.fails_saying(1, &["can't reach the object store"]);
}

#[test]
fn a_profile_gives_key_and_endpoint() {
    let (project, server) = signed();
    let home = project.outside().join("home/.aws");
    fs::create_dir(&home).unwrap();
    fs::write(
        home.join("credentials"),
        format!("[team]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"),
    )
    .unwrap();
    fs::write(home.join("config"), format!("[profile team]\nendpoint_url = {}\n", server.endpoint())).unwrap();
    assert_fetched(&project.larder_with(&["prepare", "--json"], &[("AWS_PROFILE", "team")]).report());
    let run = project.larder_with(&["prepare"], &[("AWS_PROFILE", "other")]);
    run.fails_saying(1, &["there is no AWS profile `other`", ".aws/credentials"]);
}

#[test]
fn a_corrupt_object_is_refused_like_any_other() {
    let (project, server) = signed();
    let blob = &MIRROR.published("app").blobs[0];
    let object = server.object(&format!("team/mirror{}", blob.path));
    let mut bytes = fs::read(&object).unwrap();
    bytes[10] ^= 1;
    fs::write(&object, bytes).unwrap();
    run(&project, &server, &[]).fails_saying(1, &["sha256", &blob.digest]);
    assert!(!project.cached(&blob.digest).exists());
}

/// A server of another make, as far as reading goes: what follows the bucket is a file of the mirror.
struct StandIn {
    _runtime: Runtime,
    endpoint: String,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl StandIn {
    fn start(
        missing: &'static str,
        answer: impl Fn(&str, &HeaderMap) -> Option<Response> + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let root: PathBuf = MIRROR.folder();
        let serve = move |request: Request| {
            // Google's keys arrive with every separator encoded.
            let path = url::form_urlencoded::parse(format!("path={}", request.uri().path()).as_bytes())
                .next()
                .map(|(_, path)| path.into_owned())
                .unwrap();
            let headers = request.headers().clone();
            let response = answer(&path, &headers).unwrap_or_else(|| {
                let file = path.splitn(3, '/').nth(2).map(|key| root.join(key)).and_then(|file| fs::read(file).ok());
                let dates = [(header::ETAG, "\"x\""), (header::LAST_MODIFIED, "Tue, 01 Jul 2025 00:00:00 GMT")];
                file.map_or_else(
                    || (StatusCode::NOT_FOUND, format!("<Error><Code>{missing}</Code></Error>")).into_response(),
                    |bytes| (dates, bytes).into_response(),
                )
            });
            log.lock().unwrap().push((path, headers));
            std::future::ready(response)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(serve)).await });
        Self { _runtime: runtime, endpoint, seen }
    }

    fn authorizations(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let text = |headers: &HeaderMap| headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let mut found: Vec<_> = seen.iter().filter_map(|(_, headers)| text(headers)).collect();
        found.sort();
        found.dedup();
        found
    }
}

#[test]
fn a_mirror_in_googles_store_is_read_with_a_token_and_with_a_service_account() {
    let server = StandIn::start("NoSuchKey", |_, _| None);
    let project = project("gs://binaries");
    let account = format!(
        r#"{{"type": "service_account", "private_key": "", "private_key_id": "", "client_email": "",
            "disable_oauth": true, "gcs_base_url": "{}"}}"#,
        server.endpoint
    );
    let file = project.write("account.json", account);
    let file = ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap());
    let report = project.larder_with(&["prepare", "--json"], &[file]).report();
    assert_fetched(&report);
    assert!(server.seen.lock().unwrap()[0].0.starts_with("/binaries/v3/manifests/spec/"));
    let broken = project.write("broken.json", "{\"private_key\": hunter2");
    let run = project.larder_with(&["prepare"], &[("GOOGLE_APPLICATION_CREDENTIALS", broken.to_str().unwrap())]);
    assert!(!run.stderr.contains("hunter2"), "{run}");
    run.fails_saying(1, &["broken.json", "is not JSON"]);
}

#[test]
fn a_mirror_in_azures_store_is_read_with_a_key() {
    let server = StandIn::start("BlobNotFound", |_, _| None);
    let project = project("az://binaries");
    let key = "a2V5LW9mLWF6dXJl";
    let variables = [(
        "AZURE_STORAGE_CONNECTION_STRING",
        format!("AccountName=team;AccountKey={key};BlobEndpoint={}", server.endpoint),
    )];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let run = project.larder_with(&["prepare", "--json"], &variables);
    assert!(!run.stderr.contains(key) && !run.stdout.contains(key), "{run}");
    assert_fetched(&run.report());
    let authorizations = server.authorizations();
    assert!(!authorizations.is_empty() && authorizations.iter().all(|value| value.starts_with("SharedKey team:")));
    project.larder(&["prepare"]).fails_saying(1, &["storage account", "AZURE_STORAGE_ACCOUNT"]);
}

#[test]
fn a_token_of_gitlab_is_exchanged_for_credentials_and_a_refusal_is_no_missing_key() {
    let (project, server) = signed();
    let fresh = "2099-01-01T00:00:00Z";
    let exchange = StandIn::start("NoSuchKey", move |_, _| {
        let key = format!(
            "<AccessKeyId>{KEY_ID}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{fresh}</Expiration>"
        );
        let result = format!(
            "<AssumeRoleWithWebIdentityResult><Credentials>{key}</Credentials></AssumeRoleWithWebIdentityResult>"
        );
        Some(format!("<AssumeRoleWithWebIdentityResponse>{result}</AssumeRoleWithWebIdentityResponse>").into_response())
    });
    let token = project.write("web_identity_token", "header.payload.signature");
    let identity = |endpoint: &str| {
        let variables = [
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/larder"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("AWS_ENDPOINT_URL_STS", endpoint),
        ];
        run(&project, &server, &variables)
    };
    assert_fetched(&identity(&exchange.endpoint).report());
    assert_eq!(exchange.seen.lock().unwrap().len(), 1, "credentials are kept until they expire");

    let refusing = StandIn::start("NoSuchKey", |_, _| {
        let error = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
        Some((StatusCode::FORBIDDEN, error).into_response())
    });
    let refused = identity(&refusing.endpoint);
    assert!(!refused.stderr.contains("header.payload"), "{refused}");
    refused.fails_saying(1, &["can't get credentials", "AccessDenied"]);
}

#[test]
fn a_bucket_in_another_region_is_asked_there() {
    let (project, server) = signed();
    let region = |headers: &HeaderMap| {
        let text = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        text.contains("/eu-central-1/s3/")
    };
    let store = StandIn::start("NoSuchKey", move |_, headers| {
        let elsewhere = [("x-amz-bucket-region", "eu-central-1")];
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code></Error>";
        (!region(headers)).then(|| (StatusCode::BAD_REQUEST, elsewhere, body).into_response())
    });
    project.configure(&mirror_entry("s3://binaries", false));
    assert_fetched(&run(&project, &server, &[("AWS_ENDPOINT_URL", &store.endpoint)]).report());
}

/// What a metadata service answers with: keys of the server's.
fn temporary_key() -> String {
    format!(
        r#"{{"Code": "Success", "AccessKeyId": "{KEY_ID}", "SecretAccessKey": "{SECRET}", "Token": "t",
            "Expiration": "2099-01-01T00:00:00Z"}}"#
    )
}

const NO_KEY: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];

#[test]
fn a_pods_identity_is_asked_for_with_the_token_of_the_pod() {
    let (project, server) = signed();
    let agent = StandIn::start("NoSuchKey", |_, headers| {
        let is_the_pod = headers.get("authorization").is_some_and(|value| value == "token-of-the-pod");
        Some(if is_the_pod { temporary_key().into_response() } else { StatusCode::UNAUTHORIZED.into_response() })
    });
    let address = format!("{}/v1/credentials", agent.endpoint);
    let identity = |token: &str| {
        let token = project.write("token", token);
        let place = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        ];
        run(&project, &server, &[NO_KEY, place].concat())
    };
    assert_fetched(&identity("token-of-the-pod").report());
    identity("another").fails_saying(1, &["can't get credentials"]);
}

#[test]
fn an_instances_role_opens_a_bucket_of_amazons() {
    let server = S3Server::with_mirror(Readers::Known, &MIRROR.folder(), "develop");
    let instance = StandIn::start("NoSuchKey", |path, headers| {
        let has_token = headers.get("x-aws-ec2-metadata-token").is_some_and(|value| value == "of-the-session");
        Some(match path {
            "/latest/api/token" => "of-the-session".into_response(),
            "/latest/meta-data/iam/security-credentials/" if has_token => "ci-role".into_response(),
            "/latest/meta-data/iam/security-credentials/ci-role" if has_token => temporary_key().into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        })
    });
    let project = project("s3://binaries/develop");
    let keys = "signed: false, insecure: true, endpoint-url: 'http://s3.eu-central-1.amazonaws.com'";
    project.configure(&format!("{NETWORK}mirrors: [{{ url: 's3://binaries/develop', {keys} }}]\n"));
    // A proxy stands for Amazon; the metadata service is never asked through one.
    let proxy = server.endpoint();
    let variables = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.endpoint.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_REGION", "eu-central-1"),
        ("http_proxy", &proxy),
        ("no_proxy", ""),
    ];
    let report = project.larder_with(&["prepare", "--json"], &variables).report();
    assert_fetched(&report);
    assert_eq!(instance.seen.lock().unwrap().len(), 3, "the role is asked for once");
}

#[test]
fn azures_identities_are_exchanged_for_a_token() {
    let server = StandIn::start("BlobNotFound", |_, _| None);
    let project = project("az://binaries");
    let sign_in = StandIn::start("BlobNotFound", |path, _| {
        let token = if path.ends_with("/oauth2/v2.0/token") { "of-the-workload" } else { "of-the-machine" };
        let expires = r#""expires_in": 3600, "expires_on": "4070908800""#;
        let token = format!(r#"{{"token_type": "Bearer", "access_token": "{token}", {expires}, "resource": "x"}}"#);
        Some(([(header::CONTENT_TYPE, "application/json")], token).into_response())
    });
    let store = [("AZURE_STORAGE_ACCOUNT", "team"), ("AZURE_STORAGE_ENDPOINT", server.endpoint.as_str())];
    let token = project.write("federated", "header.payload.signature");
    let workload = [
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_FEDERATED_TOKEN_FILE", token.to_str().unwrap()),
        ("AZURE_AUTHORITY_HOST", &sign_in.endpoint),
    ];
    let run = project.larder_with(&["prepare", "--json"], &[&store[..], &workload[..]].concat());
    assert!(!run.stderr.contains("header.payload"), "{run}");
    assert_fetched(&run.report());
    assert_eq!(server.authorizations(), ["Bearer of-the-workload"]);

    project.next_job();
    fs::remove_dir_all(project.path(".larder")).unwrap();
    let address = format!("{}/MSI/token", sign_in.endpoint);
    let machine = [("IDENTITY_ENDPOINT", address.as_str()), ("IDENTITY_HEADER", "secret")];
    // What a metadata service tells is for no proxy.
    let proxy = [("http_proxy", server.endpoint.as_str()), ("no_proxy", "")];
    let run = project.larder_with(&["prepare", "--json"], &[&store[..], &machine[..], &proxy[..]].concat());
    assert_fetched(&run.report());
    assert_eq!(server.authorizations(), ["Bearer of-the-machine", "Bearer of-the-workload"]);
}
