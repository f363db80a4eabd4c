//! `larder.yaml`, and the mirrors that Spack's own configuration names.

use rstest::rstest;

use crate::context::{NETWORK, Project, names_with};
use crate::fixtures::Mirror;
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;

#[rstest]
#[case::a_misspelt_key("mirrorrs: []\n", &["mirrorrs", "mirrors"])]
#[case::a_misspelt_key_of_a_mirror("mirrors: [{ name: x, url: /x, singed: true }]\n", &["singed", "signed"])]
#[case::a_misspelt_key_of_the_network("network: { retry: 3 }\n", &["retry", "retries"])]
#[case::a_wrong_type("environments: 7\n", &["environments"])]
#[case::an_unknown_scheme("mirrors: [gopher://host/x]\n", &["gopher"])]
#[case::a_size_without_sense("caches: [{ name: a, keep: { max-size: much } }]\n", &["much"])]
#[case::an_age_without_a_unit("caches: [{ name: a, keep: { max-age: 30 } }]\n", &["30"])]
#[case::two_caches_of_one_name("caches: [{ name: a, path: x }, { name: a, path: y }]\n", &["a"])]
#[case::an_unset_variable("mirrors: [\"/x/${LARDER_TEST_UNSET}\"]\n", &["LARDER_TEST_UNSET"])]
#[case::not_yaml("mirrors: [\n", &["larder.yaml"])]
fn a_mistake_is_shown_with_its_line_and_ends_with_two(#[case] yaml: &str, #[case] said: &[&str]) {
    let project = Project::new("v3/env-demo");
    project.configure(&format!("# a comment\n{yaml}"));
    let run = project.larder(&["plan"]).fails_saying(2, said).says(&["larder.yaml"]);
    assert!(!run.stderr.contains("Caused by:\n  0:"), "{run}");
}

#[test]
fn the_file_may_have_another_name_and_must_exist_where_it_is_named() {
    let (project, server) = Project::with_server(MIRROR);
    std::fs::rename(project.path("larder.yaml"), project.path("ci.yaml")).unwrap();
    project.larder(&["plan", "--config", "ci.yaml"]).succeeds();
    assert!(!server.log().is_empty());
    project.larder(&["plan", "--config", "none.yaml"]).fails_saying(2, &["none.yaml"]);
}

#[test]
fn paths_are_relative_to_the_file() {
    let (project, server) = Project::with_server(MIRROR);
    crate::fixtures::copy_folder(&crate::fixtures::fixture("v3/env-demo"), &project.path("sub"));
    crate::fixtures::copy_folder(&MIRROR.folder(), &project.path("sub/mirror"));
    let yaml = "environments: [.]\nmirrors: [{ name: here, url: mirror, signed: false }]\n";
    project.write("sub/larder.yaml", yaml);
    let report = project.larder(&["prepare", "--json", "--config", "sub/larder.yaml"]).report();
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    assert!(project.path("sub/.larder/shared/larder.json").is_file());
    assert!(!project.path(".larder").exists());
    assert_eq!(server.log().len(), 0);
}

#[test]
fn variables_are_expanded_with_their_defaults() {
    let (project, server) = Project::with_server(MIRROR);
    let mirror = "mirrors: [{ name: x, url: \"${URL}/${BRANCH:-}\", signed: false }]\n";
    project.configure(&format!("{NETWORK}{mirror}"));
    project.larder_with(&["plan"], &[("URL", &server.url())]).succeeds();
    assert_eq!(server.count(&MIRROR.published("app").metadata), 1);
}

#[test]
fn the_first_prefix_that_matches_the_mirror_chooses_the_cache() {
    let project = Project::new("v3/env-demo");
    let (branch, shared) = (Server::start(&MIRROR.folder()), Server::start(&MIRROR.folder()));
    branch.fault("/**/*lib*", crate::server::Times::Always, crate::server::Fault::Status(404, vec![]));
    let (branch_url, shared_url) = (branch.url(), shared.url());
    project.configure(&format!(
        "{NETWORK}mirrors:\n  - {{ name: pr, url: \"{branch_url}\", signed: false }}\n  - {{ name: main, url: \"{shared_url}\", signed: false }}\n\
         caches:\n  - {{ name: branch, prefix: \"{branch_url}*\", path: .larder/branch }}\n  - {{ name: shared }}\n"
    ));
    project.prepare();
    let digests = |names: &[&str]| {
        let mut digests: Vec<_> =
            names.iter().flat_map(|name| MIRROR.published(name).blobs).map(|b| b.digest).collect();
        digests.sort();
        digests
    };
    assert_eq!(project.blobs_in(".larder/branch"), digests(&["app", "plotter", "rtdata"]));
    assert_eq!(project.blobs_in(".larder/shared"), digests(&["libbase", "libmid"]));
}

#[test]
fn a_blob_is_stored_once_and_found_in_any_cache() {
    let (project, server) = Project::with_server(MIRROR);
    let url = server.url();
    let caches = |first: &str| {
        format!(
            "{NETWORK}mirrors: [{{ name: x, url: \"{url}\", signed: false }}]\n\
             caches:\n  - {{ name: branch, prefix: \"{first}\" }}\n  - {{ name: shared }}\n"
        )
    };
    project.configure(&caches(&url));
    project.prepare();
    assert_eq!(project.blobs_in(".larder/branch").len(), MIRROR.needed_blobs().len());
    // The mirror's cache is another one now, and the bytes are where they were.
    project.configure(&caches("https://elsewhere.example/"));
    server.clear_log();
    project.prepare();
    assert_eq!(server.blob_requests(), [] as [&str; 0]);
    assert_eq!(project.blobs_in(".larder/shared"), [] as [&str; 0]);
}

#[test]
fn a_command_may_be_about_one_cache_only() {
    let (project, server) = Project::with_server(MIRROR);
    let url = server.url();
    project.configure(&format!(
        "{NETWORK}mirrors: [{{ name: x, url: \"{url}\", signed: false }}]\n\
         caches:\n  - {{ name: branch, prefix: \"{url}\" }}\n  - {{ name: shared }}\n"
    ));
    project.prepare();
    let report = project.larder(&["list", "--json", "--cache", "shared"]).report();
    assert_eq!(report["caches"].as_array().unwrap().len(), 1);
    project.larder(&["clean", "--cache", "shared"]).succeeds();
    assert_eq!(project.blobs_in(".larder/branch").len(), MIRROR.needed_blobs().len());
    project.larder(&["list", "--cache", "brunch"]).fails_saying(2, &["brunch", "branch"]);
}

/// `spack.yaml` with this after its specs; there is no `larder.yaml`.
fn project_with_spack_yaml(sections: &str) -> Project {
    let project = Project::new("v3/env-demo");
    project.write("spack.yaml", format!("spack:\n  specs: [app, plotter]\n  view: false\n{sections}"));
    project
}

fn fetched(project: &Project, variables: &[(&str, &str)]) -> Vec<String> {
    names_with(&project.larder_with(&["plan", "--json"], variables).report(), "fetch")
}

#[rstest]
#[case::a_text("here: \"{url}\"")]
#[case::a_map("here: {{ url: \"{url}\", signed: false }}")]
#[case::a_fetch_map("here: {{ fetch: {{ url: \"{url}\" }}, push: {{ url: /nowhere }} }}")]
#[case::with_a_variable("here: \"$MIRROR_URL\"")]
fn every_form_of_a_mirrors_entry_of_the_environment_is_read(#[case] entry: &str) {
    let server = Server::start(&Mirror::V3Signed.folder());
    let entry = entry.replace("{{", "{").replace("}}", "}").replace("{url}", &server.url());
    let project = project_with_spack_yaml(&format!("  mirrors:\n    {entry}\n"));
    assert_eq!(fetched(&project, &[("MIRROR_URL", &server.url())]), MIRROR.needed());
}

#[test]
fn source_mirrors_are_not_asked() {
    let server = Server::start(&Mirror::V3Signed.folder());
    let entry = format!("  mirrors:\n    src: {{ url: \"{}\", source: true, binary: false }}\n", server.url());
    let project = project_with_spack_yaml(&entry);
    project.larder(&["plan"]).succeeds().says(&["there is no mirror of binaries", "names none"]);
    assert_eq!(server.log().len(), 0);
}

#[test]
fn mirrors_come_from_includes_and_the_users_scope_in_spacks_order() {
    let (included, users) = (Server::start(&Mirror::V3Signed.folder()), Server::start(&Mirror::V3Signed.folder()));
    included.fault("/**/*libmid*", crate::server::Times::Always, crate::server::Fault::Status(404, vec![]));
    let project =
        project_with_spack_yaml("  include:\n  - { path: .larder/job/spack, optional: true }\n  - site.yaml\n");
    project.write("site.yaml", format!("mirrors:\n  inc: \"{}\"\n", included.url()));
    let scope = project.outside().join("home/config");
    std::fs::create_dir_all(&scope).unwrap();
    std::fs::write(scope.join("mirrors.yaml"), format!("mirrors:\n  usr: \"{}\"\n", users.url())).unwrap();
    let variables = [("SPACK_USER_CONFIG_PATH", scope.to_str().unwrap())];
    let report = project.larder_with(&["prepare", "--json"], &variables).report();
    let from = |name: &str| {
        let specs = report["specs"].as_array().unwrap();
        specs.iter().find(|spec| spec["name"] == name).unwrap()["mirror"].clone()
    };
    assert_eq!((from("app"), from("libmid")), ("inc".into(), "usr".into()));
    // The second time, the job mirror is in the first include: it is never taken for a source.
    let report = project.larder_with(&["prepare", "--json"], &variables).report();
    assert!(report["specs"].as_array().unwrap().iter().all(|spec| spec["mirror"] != "larder"), "{report:#}");
    assert_eq!(names_with(&report, "cached"), MIRROR.needed());
}

#[test]
fn two_colons_end_the_search() {
    let (own, users) = (Server::start(&Mirror::V3Signed.folder()), Server::start(&Mirror::V3Signed.folder()));
    let project = project_with_spack_yaml(&format!("  mirrors::\n    own: \"{}\"\n", own.url()));
    let scope = project.outside().join("home/.spack");
    std::fs::create_dir_all(&scope).unwrap();
    std::fs::write(scope.join("mirrors.yaml"), format!("mirrors:\n  usr: \"{}\"\n", users.url())).unwrap();
    own.fault("/**", crate::server::Times::Always, crate::server::Fault::Status(404, vec![]));
    let scope = scope.to_str().unwrap();
    assert_eq!(fetched(&project, &[("SPACK_USER_CONFIG_PATH", scope)]), [] as [&str; 0]);
    assert!(!own.log().is_empty());
    assert_eq!(users.log().len(), 0);
}

#[test]
fn a_mirror_on_the_command_line_replaces_all_others() {
    let (project, server) = Project::with_server(MIRROR);
    let other = Server::start(&Mirror::V3Signed.folder());
    project.larder(&["plan", "--mirror", &other.url()]).succeeds();
    assert_eq!(server.log().len(), 0);
    assert!(!other.log().is_empty());
}
