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

/// A byte of a header may be one that has no effect: then everything is right in spite of it. One of a name in the directory
/// makes another name of it, which is skipped.
#[rstest]
fn a_changed_byte_anywhere_in_an_archive_of_the_runners_brings_in_nothing_wrong(
    #[values("zip-legacy", "zip-fastest", "zip-default", "zipzstd", "tarzstd")] form: &str,
) {
    let bytes = fs::read(fixture(&format!("runner/{form}.zip"))).unwrap();
    let mut noticed = 0;
    for part in 1..16 {
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 16 * part] ^= 0x10;
        let project = Project::new("v3/env-demo");
        project.write("cache.zip", damaged);
        let run = project.larder(&["unpack", "cache.zip"]);
        // Fails for a blob that is not what its name says.
        let blobs = project.blobs_in(CACHE).len();
        let is_told = run.code == Some(1) || run.stderr.contains("it is skipped");
        assert!(is_told || (run.code == Some(0) && blobs == 7), "{run}");
        noticed += usize::from(run.code == Some(1));
    }
    assert!(noticed >= 5, "{noticed}");
}
