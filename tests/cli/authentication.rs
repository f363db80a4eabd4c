//! Credentials of web mirrors: sent to the mirror's own server, to no other, and never printed.

use axum::http::header::AUTHORIZATION;
use rstest::rstest;

use crate::authority::Authority;
use crate::context::{NETWORK, Project, Run, names_with};
use crate::fixtures::Mirror;
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;

/// What no output may hold.
const SECRET: &str = "hunter2-hunter2";
const BEARER: &str = "Bearer hunter2-hunter2";
/// `me:hunter2-hunter2`.
const BASIC: &str = "Basic bWU6aHVudGVyMi1odW50ZXIy";

const PAIR: &str = "access-pair: { id: me, secret-variable: MIRROR_SECRET }";
const TOKEN: &str = "access-token-variable: MIRROR_SECRET";

fn configure(project: &Project, url: &str, keys: &str) {
    project.configure(&format!("{NETWORK}mirrors:\n- {{ name: demo, url: \"{url}\", signed: false, {keys} }}\n"));
}

fn protected(keys: &str, header: &str) -> (Project, Server) {
    let server = Server::start(&MIRROR.folder());
    server.require_authorization(header);
    let project = Project::new(MIRROR.environment());
    configure(&project, &server.url(), keys);
    (project, server)
}

/// `larder prepare -vv` with the secret in its variable; it is nowhere to be seen afterwards.
fn prepare(project: &Project) -> Run {
    let run = project.larder_with(&["prepare", "-vv"], &[("MIRROR_SECRET", SECRET)]);
    assert_is_nowhere(project, &run);
    run
}

/// A file that a run wrote. Only one that failed may not have come so far.
fn written(project: &Project, run: &Run, file: &str) -> String {
    let text = std::fs::read_to_string(project.path(file));
    assert!(text.is_ok() || run.code != Some(0), "there is no {file}\n{run}");
    text.unwrap_or_default()
}

fn assert_is_nowhere(project: &Project, run: &Run) {
    let basic = BASIC.trim_start_matches("Basic ");
    let mut texts = vec![("output", run.to_string())];
    for file in ["report.json", "state.json", "larder.env", "metrics.txt", "spack/mirrors.yaml"] {
        texts.push((file, written(project, run, &format!(".larder/job/{file}"))));
    }
    texts.push(("larder.json", written(project, run, ".larder/shared/larder.json")));
    for (place, text) in texts {
        assert!(!text.contains(SECRET) && !text.contains(basic), "the secret is in {place}:\n{text}");
    }
}

#[rstest]
#[case::token(TOKEN, BEARER)]
#[case::pair(PAIR, BASIC)]
#[case::token_before_pair(
    "access-pair: { id: x, secret-variable: OTHER }, access-token-variable: MIRROR_SECRET",
    BEARER
)]
fn the_entrys_credentials_open_the_mirror(#[case] keys: &str, #[case] header: &str) {
    let (project, server) = protected(keys, header);
    prepare(&project).succeeds();
    assert!(server.log().iter().all(|request| request.status != 401));
    assert_eq!(project.blobs_in(".larder/shared").len(), MIRROR.needed_blobs().len());
}

#[test]
fn a_mirror_of_spacks_configuration_is_opened_with_its_own_credentials() {
    let (project, server) = protected("", BASIC);
    project.configure(NETWORK);
    project.write(
        "spack.yaml",
        format!(
            "spack:\n  specs: [app, plotter]\n  mirrors:\n    demo:\n      url: {}\n      signed: false\n      \
             fetch: {{ access_pair: {{ id: me, secret_variable: MIRROR_SECRET }} }}\n",
            server.url()
        ),
    );
    prepare(&project).succeeds();
}

#[test]
fn a_known_mirror_named_on_the_command_line_keeps_its_credentials() {
    let (project, server) = protected(PAIR, BASIC);
    let arguments = ["prepare", "--mirror", &server.url(), "--unsigned"];
    project.larder_with(&arguments, &[("MIRROR_SECRET", SECRET)]).succeeds();
}

#[test]
fn user_name_and_password_in_the_url_open_the_mirror() {
    let (project, server) = protected("", BASIC);
    configure(&project, &server.url().replace("//", &format!("//me:{SECRET}@")), "");
    prepare(&project).succeeds();
}

#[test]
fn netrc_opens_the_mirror() {
    let (project, _server) = protected("", BASIC);
    let netrc = format!(
        "# mine\nmachine elsewhere.example\n  login x password y\nmachine 127.0.0.1 login me password {SECRET}\n"
    );
    std::fs::write(project.outside().join("home/.netrc"), &netrc).unwrap();
    prepare(&project).succeeds();

    std::fs::rename(project.outside().join("home/.netrc"), project.outside().join("elsewhere")).unwrap();
    prepare(&project).fails_saying(1, &["no credentials were sent"]);
    let netrc = project.outside().join("elsewhere");
    project.larder_with(&["prepare"], &[("NETRC", netrc.to_str().unwrap())]).succeeds();
}

#[test]
fn a_refusal_says_what_was_tried_and_what_is_missing() {
    let (project, server) = protected(TOKEN, "Bearer another");
    prepare(&project).fails_saying(1, &["401", "it does not accept the token of the mirror's entry", "expired"]);
    assert!(server.log().len() <= 64, "a refusal is not tried again");
    project
        .larder(&["prepare"])
        .fails_saying(1, &["no credentials were sent", "`MIRROR_SECRET`", "is not set here", "protected variables"]);

    configure(&project, &server.url(), "");
    prepare(&project).fails_saying(1, &["no credentials were sent", "access-token-variable"]);
    configure(&project, &server.url().replace("//", &format!("//me:{SECRET}@")), "");
    prepare(&project).fails_saying(1, &["it does not accept the user name and password in the URL"]);
    server.require_authorization(BEARER);
    server.fault("**", Times::Always, Fault::Status(403, vec![]));
    configure(&project, &server.url(), TOKEN);
    prepare(&project).fails_saying(1, &["403", "have the right to read"]);
}

#[test]
fn a_token_with_a_line_break_in_it_is_told_and_one_at_its_end_is_cut_off() {
    let (project, _server) = protected(TOKEN, BEARER);
    project.larder_with(&["prepare"], &[("MIRROR_SECRET", &format!("{SECRET}\n"))]).succeeds();
    let run = project.larder_with(&["prepare"], &[("MIRROR_SECRET", &format!("{SECRET}\n{SECRET}"))]);
    assert_is_nowhere(&project, &run);
    run.fails_saying(1, &["can't be sent", "line break"]);
}

/// Every way to give a credential, and the variables for it.
const WAYS: [&str; 4] = ["token", "pair", "url", "netrc"];

#[test]
fn a_credential_does_not_follow_a_redirect_to_another_port() {
    for way in WAYS {
        let elsewhere = Server::start(&MIRROR.folder());
        let server = Server::start(&MIRROR.folder());
        let header = if way == "token" { BEARER } else { BASIC };
        server.require_authorization(header);
        server.fault("/blobs/**", Times::Always, Fault::Redirect(format!("{}{{path}}", elsewhere.url())));
        let project = Project::new(MIRROR.environment());
        match way {
            "token" => configure(&project, &server.url(), TOKEN),
            "pair" => configure(&project, &server.url(), PAIR),
            "url" => configure(&project, &server.url().replace("//", &format!("//me:{SECRET}@")), ""),
            _ => {
                let port = server.url().rsplit_once(':').unwrap().1.to_owned();
                let netrc = format!("machine 127.0.0.1:{port} login me password {SECRET}\n");
                std::fs::write(project.outside().join("home/.netrc"), netrc).unwrap();
                configure(&project, &server.url(), "");
            }
        }
        prepare(&project).succeeds();
        assert_eq!(elsewhere.log().len(), MIRROR.needed_blobs().len());
        for request in elsewhere.log() {
            assert!(request.headers.get(AUTHORIZATION).is_none(), "{way}: {request:?}");
            assert!(request.headers.get("referer").is_none());
        }
        assert!(server.log().iter().all(|request| request.headers[AUTHORIZATION] == header), "{way}");
    }
}

#[test]
fn a_credential_follows_a_redirect_on_the_same_server() {
    let (project, server) = protected(TOKEN, BEARER);
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::First(1), Fault::Redirect(format!("{}{{path}}", server.url())));
    prepare(&project).succeeds();
}

#[test]
fn a_credential_does_not_come_back_over_another_server() {
    let elsewhere = Server::start(&MIRROR.folder());
    let server = Server::start(&MIRROR.folder());
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::First(1), Fault::Redirect(format!("{}{{path}}", elsewhere.url())));
    elsewhere.fault("**", Times::Always, Fault::Redirect(format!("{}{{path}}", server.url())));
    let project = Project::new(MIRROR.environment());
    configure(&project, &server.url(), TOKEN);
    prepare(&project).succeeds();
    let asked: Vec<bool> = server
        .log()
        .iter()
        .filter(|request| request.path == blob.path)
        .map(|request| request.headers.get(AUTHORIZATION).is_some())
        .collect();
    assert_eq!(asked, [true, false]);
}

#[test]
fn a_server_that_a_redirect_led_to_and_that_wants_credentials_gets_none() {
    let elsewhere = Server::start(&MIRROR.folder());
    elsewhere.require_authorization(BEARER);
    let (project, server) = protected(TOKEN, BEARER);
    server.fault("/blobs/**", Times::Always, Fault::Redirect(format!("{}{{path}}", elsewhere.url())));
    prepare(&project).fails_saying(1, &[&elsewhere.url(), "401", "are not sent to another"]);
    assert!(elsewhere.log().iter().all(|request| request.headers.get(AUTHORIZATION).is_none()));
}

#[test]
fn a_credential_is_not_sent_without_tls_unless_the_mirror_says_insecure() {
    // The proxy stands in for the network: it sees what goes out in the clear.
    let proxy = Server::start(&MIRROR.folder());
    let project = Project::new(MIRROR.environment());
    configure(&project, "http://mirror.invalid", TOKEN);
    let run = |project: &Project| {
        project.larder_with(&["prepare"], &[("MIRROR_SECRET", SECRET), ("http_proxy", &proxy.url())])
    };
    run(&project).fails_saying(2, &["not protected by TLS"]);
    assert_eq!(proxy.log().len(), 0);
    configure(&project, "http://mirror.invalid", &format!("{TOKEN}, insecure: true"));
    run(&project).succeeds();
    assert!(proxy.log().iter().all(|request| request.headers[AUTHORIZATION] == BEARER));
}

#[test]
fn a_credential_goes_over_tls_and_not_to_a_redirects_plain_target() {
    let authority = Authority::new();
    let server = Server::start_tls(&MIRROR.folder(), &authority);
    server.require_authorization(BEARER);
    let plain = Server::start(&MIRROR.folder());
    server.fault("/blobs/**", Times::Always, Fault::Redirect(format!("{}{{path}}", plain.url())));
    let project = Project::new(MIRROR.environment());
    configure(&project, &server.url(), TOKEN);
    let certificate = authority.write_certificate(project.outside()).to_str().unwrap().to_owned();
    let variables = [("MIRROR_SECRET", SECRET), ("SSL_CERT_FILE", certificate.as_str())];
    let report = project.larder_with(&["prepare", "--json"], &variables).report();
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    assert!(plain.log().iter().all(|request| request.headers.get(AUTHORIZATION).is_none()));
}

#[test]
fn a_password_in_a_url_that_is_refused_is_not_repeated() {
    let project = Project::new(MIRROR.environment());
    for url in [format!("oci://me:{SECRET}@host.example/x"), format!("ftp://me:{SECRET}@host.example/x")] {
        let run = project.larder(&["plan", "--mirror", &url]);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains(SECRET), "{run}");
        run.fails_saying(2, &["invalid value", "@host.example/x"]);
        configure(&project, &url, "");
        let run = project.larder(&["plan"]);
        assert_is_nowhere(&project, &run);
        run.exits_with(2);
    }
}
