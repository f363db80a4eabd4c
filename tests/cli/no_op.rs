//! A run that changes nothing touches nothing: that is how the runner decides whether to upload gigabytes again.

use std::fs;
use std::time::Duration;

use rstest::rstest;

use crate::context::{Project, mirror_entry};
use crate::fixtures::Mirror;

#[rstest]
#[case::kept_thirty_days("")]
#[case::kept_by_lockfile("caches: [{ name: shared, path: .larder/shared, keep: lockfile }]\n")]
#[case::kept_by_age("caches: [{ name: shared, path: .larder/shared, keep: { max-age: 8d, max-size: 1GiB } }]\n")]
#[case::kept_for_ever("caches: [{ name: shared, path: .larder/shared, keep: all }]\n")]
fn prepare_and_finish_on_a_complete_cache_touch_no_entry(#[case] caches: &str) {
    let (project, server) = Project::with_server(Mirror::V3Signed);
    project.configure(&format!("{}{caches}", mirror_entry(&server.url(), true)));
    project.prepare();
    project.finish();

    project.next_job();
    let before = project.entries(".larder/shared");
    let report = project.prepare();
    assert_eq!(report["caches"][0]["changed"], false, "{report:#}");
    assert_eq!(project.entries(".larder/shared"), before);
    let report = project.finish();
    assert_eq!(report["caches"][0]["changed"], false, "{report:#}");
    assert_eq!(project.entries(".larder/shared"), before);
    assert!(before.len() > 10, "there was something to touch");
}

#[rstest]
#[case::plan(&["plan"])]
#[case::warm(&["warm"])]
#[case::verify(&["verify"])]
#[case::list(&["list"])]
#[case::finish_twice(&["finish"])]
#[case::export(&["export", "elsewhere", "--build-deps", "missing"])]
#[case::pack(&["pack", "shared", "-o", "cache.zip"])]
#[case::warm_push(&["warm", "--push"])]
#[case::clean_pretended(&["clean", "--dry-run"])]
fn neither_does_any_other_command_that_has_nothing_to_do(#[case] arguments: &[&str]) {
    let (project, _server) = Project::with_server(Mirror::V2Unsigned);
    project.prepare();
    project.finish();
    project.restore_times(".larder/shared", Duration::from_secs(600));
    let before = project.entries(".larder/shared");
    project.larder(arguments).succeeds();
    assert_eq!(project.entries(".larder/shared"), before);
}

#[test]
fn plan_writes_nothing_at_all() {
    let (project, server) = Project::with_server(Mirror::V3Unsigned);
    let before = project.entries(".");
    project.larder(&["plan"]).succeeds();
    assert_eq!(project.entries("."), before);
    assert_eq!(server.blob_requests(), [] as [&str; 0]);
}

#[test]
fn a_cache_folder_holds_neither_links_nor_locks_nor_leftovers() {
    let (project, _server) = Project::with_server(Mirror::V3Unsigned);
    project.prepare();
    project.finish();
    for (path, entry) in project.entries(".larder/shared") {
        let name = path.to_string_lossy().into_owned();
        let expected = match entry.kind {
            "file" => name == "larder.json" || name.starts_with("blobs/sha256/"),
            "folder" => name == "." || name.starts_with("blobs"),
            _ => false,
        };
        assert!(expected, "{name} is a {}", entry.kind);
    }
}

#[test]
fn dates_of_use_are_refreshed_once_a_quarter_of_the_age_has_passed() {
    let (project, _server) = Project::with_server(Mirror::V3Unsigned);
    project.prepare();
    project.finish();
    let records = project.path(".larder/shared/larder.json");
    let hours = |hours: u64| crate::context::backdate(&project, Duration::from_secs(hours * 3600));
    // A quarter of 30 days is 7.5 days.
    hours(7 * 24);
    let young = fs::read(&records).unwrap();
    project.prepare();
    project.finish();
    assert_eq!(fs::read(&records).unwrap(), young, "seven days: nothing to write");
    hours(24);
    let old = fs::read(&records).unwrap();
    project.prepare();
    project.finish();
    assert_ne!(fs::read(&records).unwrap(), old, "eight days: the dates are refreshed");
}
