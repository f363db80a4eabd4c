//! `finish` drops what the policy says, never what this job used, and never in a folder that larder did not make.

use std::fs;
use std::time::Duration;

use crate::context::{Project, backdate, in_cache, mirror_entry};
use crate::fixtures::{Blob, Mirror};

const MIRROR: Mirror = Mirror::V3Unsigned;

fn blobs_of(names: &[&str]) -> Vec<Blob> {
    names.iter().flat_map(|name| MIRROR.published(name).blobs).collect()
}

/// A project whose cache holds the whole demo environment, and whose configuration keeps it so.
fn filled(keep: &str) -> (Project, crate::server::Server) {
    let (project, server) = Project::with_server(MIRROR);
    let caches = format!("caches: [{{ name: shared, path: .larder/shared, keep: {keep} }}]\n");
    project.configure(&format!("{}{caches}", mirror_entry(&server.url(), false)));
    project.prepare();
    project.finish();
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
    (project, server)
}

fn job_for(project: &Project, spec: &str) -> serde_json::Value {
    project.larder(&["prepare", "--spec", spec]).succeeds();
    project.finish()
}

#[test]
fn what_was_not_used_for_longer_than_the_age_goes() {
    let (project, _server) = filled("{ max-age: 10d }");
    backdate(&project, Duration::from_secs(11 * 86_400));
    let report = job_for(&project, "plotter");
    project.assert_cache_holds_exactly(&blobs_of(&["plotter", "libbase", "rtdata"]));
    let removed = blobs_of(&["app", "libmid"]);
    assert_eq!(in_cache(&report, "shared", "removed"), removed.len() as u64);
    assert_eq!(in_cache(&report, "shared", "removed_bytes"), removed.iter().map(|blob| blob.bytes).sum::<u64>());
}

#[test]
fn what_is_younger_than_the_age_stays() {
    let (project, _server) = filled("{ max-age: 10d }");
    backdate(&project, Duration::from_secs(9 * 86_400));
    job_for(&project, "plotter");
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
}

#[test]
fn without_a_policy_thirty_days_count() {
    let (project, server) = Project::with_server(MIRROR);
    project.prepare();
    project.finish();
    backdate(&project, Duration::from_secs(31 * 86_400));
    job_for(&project, "plotter");
    project.assert_cache_holds_exactly(&blobs_of(&["plotter", "libbase", "rtdata"]));
    drop(server);
}

#[test]
fn above_the_size_the_least_recently_used_goes_first_and_what_the_job_used_stays() {
    let (project, _server) = filled("{ max-size: 250kB }");
    let used: u64 = blobs_of(&["plotter", "libbase", "rtdata"]).iter().map(|blob| blob.bytes).sum();
    assert!(used < 250_000, "the test's own numbers");
    backdate(&project, Duration::from_secs(20 * 86_400));
    let report = job_for(&project, "plotter");
    assert!(in_cache(&report, "shared", "bytes") <= 250_000, "{report:#}");
    let kept = project.blobs_in(".larder/shared");
    for blob in blobs_of(&["plotter", "libbase", "rtdata"]) {
        assert!(kept.contains(&blob.digest), "{blob:?} was used");
    }
}

#[test]
fn a_bound_smaller_than_what_the_job_used_removes_only_the_rest() {
    let (project, _server) = filled("{ max-size: 1kB }");
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
    job_for(&project, "plotter");
    project.assert_cache_holds_exactly(&blobs_of(&["plotter", "libbase", "rtdata"]));
}

#[test]
fn the_union_of_the_configured_environments_is_kept_whichever_one_the_job_was_for() {
    let (project, server) = filled("lockfile");
    for (environment, folder) in [("a", "v3/env-demo"), ("b", "v3/env-splice")] {
        crate::fixtures::copy_folder(&crate::fixtures::fixture(folder), &project.path(environment));
    }
    let caches = "caches: [{ name: shared, path: .larder/shared, keep: lockfile }]\n";
    let mirror = mirror_entry(&server.url(), false);
    project.configure(&format!("{mirror}{caches}environments: [a, b]\n"));
    project.larder(&["prepare", "-e", "b"]).succeeds();
    project.finish();
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());

    project.configure(&format!("{mirror}{caches}environments: [b]\n"));
    project.larder(&["prepare"]).succeeds();
    project.finish();
    let kept = project.blobs_in(".larder/shared");
    assert!(kept.contains(&MIRROR.published("plotter").blobs[0].digest), "the spliced spec's binary is needed");
    assert!(!kept.contains(&MIRROR.published("app").blobs[0].digest), "no configured environment needs app");
}

#[test]
fn a_cache_that_keeps_all_keeps_all() {
    let (project, _server) = filled("all");
    backdate(&project, Duration::from_secs(5000 * 86_400));
    job_for(&project, "plotter");
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
}

#[test]
fn a_folder_that_larder_did_not_make_is_left_alone() {
    let project = Project::new("v3/env-demo");
    project.configure("caches: [{ name: mine, path: photos, keep: { max-age: 0s } }]\n");
    let digest = &MIRROR.published("app").blobs[0].digest;
    project.write(&format!("photos/blobs/sha256/{}/{digest}", &digest[..2]), "not larder's");
    project.write("photos/summer.jpg", "sun");
    let before = project.entries("photos");
    project.larder(&["finish"]).succeeds();
    assert_eq!(project.entries("photos"), before);
    project.larder(&["clean"]).fails_saying(1, &["photos", "larder did not make it"]);
    assert_eq!(project.entries("photos"), before);
}

#[test]
fn foreign_files_in_a_cache_survive_finish_and_clean() {
    let (project, _server) = filled("{ max-age: 1s }");
    let foreign = project.write(".larder/shared/notes.txt", "mine");
    backdate(&project, Duration::from_secs(86_400));
    job_for(&project, "plotter");
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    project.larder(&["clean"]).succeeds();
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    assert_eq!(project.blobs_in(".larder/shared"), [] as [&str; 0]);
}

#[test]
fn clean_empties_a_cache_whatever_its_records_say() {
    let (project, _server) = filled("{ max-age: 1s }");
    project.write(".larder/shared/larder.json", r#"{"version": 99}"#);
    project.larder(&["list"]).fails_saying(1, &["larder.json", "99"]);
    project.larder(&["clean"]).succeeds();
    assert!(!project.path(".larder/shared").exists());
}

#[test]
fn clean_leaves_no_empty_folder_and_no_folder_of_somebody_else_is_taken_for_records() {
    let (project, _server) = filled("{ max-age: 1s }");
    fs::remove_dir_all(project.path(".larder/shared")).unwrap();
    let notes = project.write(".larder/shared/larder.json/notes.txt", "mine");
    fs::create_dir_all(project.path(".larder/shared/blobs/sha256")).unwrap();
    project.larder(&["clean"]).succeeds();
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    assert!(!project.path(".larder/shared/blobs").exists());
}

#[test]
fn finish_without_prepare_or_without_any_cache_is_no_error() {
    let project = Project::new("v3/env-demo");
    project.larder(&["finish"]).succeeds();
    assert!(!project.path(".larder/shared").exists(), "there is nothing to make a cache for");

    let (project, _server) = filled("{ max-age: 30d }");
    project.next_job();
    let before = project.entries(".larder/shared");
    project.larder(&["finish"]).succeeds();
    assert_eq!(project.entries(".larder/shared"), before);
}

#[test]
fn finish_twice_is_as_good_as_once() {
    let (project, _server) = filled("{ max-age: 10d }");
    backdate(&project, Duration::from_secs(11 * 86_400));
    job_for(&project, "plotter");
    let before = project.entries(".larder/shared");
    let report = project.finish();
    assert_eq!(in_cache(&report, "shared", "removed"), 0);
    assert_eq!(project.entries(".larder/shared"), before);
}
