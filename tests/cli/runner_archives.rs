//! Archives that the runner's own code wrote, in every form that it has. How they came about: `tests/fixtures/runner`.

use std::collections::BTreeMap;
use std::fs;
use std::time::UNIX_EPOCH;

use rstest::rstest;

use crate::context::{Project, in_cache};
use crate::fixtures::{fixture, walk};

const CACHE: &str = ".larder/shared";

/// Path, kind, time and size of each entry, as in `tree.txt`.
fn tree_of(project: &Project) -> String {
    let root = project.path(CACHE);
    let mut lines = BTreeMap::new();
    let mut note = |path: &std::path::Path| {
        let meta = fs::metadata(path).unwrap();
        let name = match path.strip_prefix(&root).unwrap().to_str().unwrap() {
            "" => ".".to_owned(),
            name => name.to_owned(),
        };
        let (kind, bytes) = if meta.is_dir() { ("d", 0) } else { ("f", meta.len()) };
        let time = meta.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        lines.insert(name.clone(), format!("{name} {kind} {} {bytes}\n", time.as_secs()));
    };
    note(&root);
    walk(&root, &mut note);
    lines.into_values().collect()
}

#[rstest]
fn each_form_of_the_runners_archive_gives_the_tree_that_it_archived(
    #[values("zip-legacy", "zip-fastest", "zip-default", "zipzstd", "tarzstd")] form: &str,
) {
    let project = Project::new("v3/env-demo");
    let archive = fixture(&format!("runner/{form}.zip"));
    let report = project.larder(&["unpack", archive.to_str().unwrap(), "--json"]).report();
    assert_eq!(in_cache(&report, "shared", "added"), 7);
    assert_eq!(tree_of(&project), fs::read_to_string(fixture("runner/tree.txt")).unwrap());
    // The records came with their dates, and with what each blob is for.
    assert!(fs::read_to_string(project.path(".larder/shared/larder.json")).unwrap().contains("2023-11-15T00:00:00Z"));
    let listed = project.larder(&["list"]).succeeds();
    assert!(listed.stdout.contains("libbase (spec file)"), "{listed}");
    project.larder(&["verify"]).succeeds();
}

#[rstest]
fn a_changed_byte_anywhere_in_a_blob_of_the_runners_is_noticed(
    #[values("zip-legacy", "zip-fastest", "zip-default", "zipzstd", "tarzstd")] form: &str,
) {
    let bytes = fs::read(fixture(&format!("runner/{form}.zip"))).unwrap();
    // In the middle of the archive there is data, whatever the form.
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 0x10;
    let project = Project::new("v3/env-demo");
    project.write("cache.zip", damaged);
    project.larder(&["unpack", "cache.zip"]).exits_with(1);
    assert!(!project.path(CACHE).exists());
}
