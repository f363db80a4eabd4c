//! A cache folder that somebody damaged, or prepared as a trap: nothing in it is believed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rstest::rstest;

use crate::context::{Project, in_cache, names_with};
use crate::fixtures::{Mirror, mirror_with_manifest};
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;

fn filled() -> (Project, Server) {
    let (project, server) = Project::with_server(MIRROR);
    project.prepare();
    project.finish();
    project.next_job();
    server.clear_log();
    (project, server)
}

#[test]
fn metadata_with_a_false_size_gets_no_good_blob_removed() {
    let (project, _server) = filled();
    let before = project.blobs_in(".larder/shared");
    let (folder, _) = mirror_with_manifest(|text| text.replace("\"contentLength\":94043", "\"contentLength\":94042"));
    let url = folder.path().to_str().unwrap();
    let run = project.larder(&["prepare", "--unsigned", "--mirror", url]).fails_saying(1, &["94042"]);
    assert!(!run.stderr.contains("bad blob"), "{run}");
    assert_eq!(project.blobs_in(".larder/shared"), before);
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn empty(path: &Path) {
    fs::write(path, "").unwrap();
}

fn lengthen(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(0);
    fs::write(path, bytes).unwrap();
}

fn link_elsewhere(path: &Path) {
    let elsewhere = path.with_extension("elsewhere");
    fs::rename(path, &elsewhere).unwrap();
    symlink(&elsewhere, path).unwrap();
    // The bytes behind the link are right: it is the link that is not to be followed.
    assert!(path.is_file());
}

#[rstest]
#[case::a_flipped_bit(flip)]
#[case::half_of_it(truncate)]
#[case::nothing_in_it(empty)]
#[case::a_byte_more(lengthen)]
#[case::a_link_to_the_right_bytes(link_elsewhere)]
fn a_damaged_blob_is_named_and_fetched_again(#[case] damage: fn(&Path)) {
    let (project, server) = filled();
    let blob = &MIRROR.published("app").blobs[0];
    damage(&project.cached(&blob.digest));

    let run = project.larder(&["prepare"]).succeeds();
    assert!(run.stderr.contains(&blob.digest[..8]), "the bad blob is named\n{run}");
    assert_eq!(server.blob_requests(), [blob.path.as_str()]);
    let path = project.cached(&blob.digest);
    assert!(!path.is_symlink());
    assert_eq!(crate::fixtures::sha256(&fs::read(path).unwrap()), blob.digest);
}

#[test]
fn verify_names_every_bad_blob_and_fails() {
    let (project, _server) = filled();
    let bad = [&MIRROR.published("app").blobs[0], &MIRROR.published("rtdata").blobs[0]];
    for blob in bad {
        flip(&project.cached(&blob.digest));
    }
    let run = project.larder(&["verify"]).exits_with(1);
    for blob in bad {
        assert!(format!("{}{}", run.stdout, run.stderr).contains(&blob.digest[..8]), "{run}");
    }
    let run = project.larder(&["verify", "--json"]).exits_with(1);
    let report = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(in_cache(&report, "shared", "corrupt"), 2);
}

#[test]
fn a_blob_that_is_not_needed_is_not_read() {
    let (project, server) = filled();
    let unneeded = &MIRROR.published("app").blobs[0];
    flip(&project.cached(&unneeded.digest));
    let report = project.larder(&["prepare", "--json", "--spec", "plotter"]).report();
    assert_eq!(names_with(&report, "cached"), ["libbase", "plotter", "rtdata"]);
    assert_eq!(in_cache(&report, "shared", "corrupt"), 0);
    assert_eq!(server.blob_requests(), [] as [&str; 0]);
}

#[test]
fn a_blob_that_was_never_recorded_is_good_enough_if_its_bytes_are() {
    let (project, server) = Project::with_server(MIRROR);
    for blob in MIRROR.needed_blobs() {
        let path = project.cached(&blob.digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(MIRROR.folder().join(&blob.path[1..]), path).unwrap();
    }
    let report = project.prepare();
    assert_eq!(names_with(&report, "cached"), MIRROR.needed());
    assert_eq!(server.blob_requests(), [] as [&str; 0]);
}

#[rstest]
#[case::not_json("{ this is no JSON")]
#[case::empty("")]
#[case::another_shape("[1, 2, 3]")]
fn broken_records_cost_the_records_and_not_the_blobs(#[case] records: &str) {
    let (project, server) = filled();
    project.write(".larder/shared/larder.json", records);
    let report = project.prepare();
    assert_eq!(names_with(&report, "cached"), MIRROR.needed());
    assert_eq!(server.blob_requests(), [] as [&str; 0]);
    project.finish();
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
}

/// A project in which a folder of the cache is a link to an empty folder outside.
fn trapped(at: &str) -> (Project, Server, PathBuf) {
    let (project, server) = Project::with_server(MIRROR);
    let outside = project.outside().join("outside");
    fs::create_dir(&outside).unwrap();
    let link = project.path(at);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(&outside, &link).unwrap();
    (project, server, outside)
}

#[test]
fn a_cache_folder_that_is_a_link_is_refused() {
    let (project, _server, outside) = trapped(".larder/shared");
    project.larder(&["prepare"]).fails_saying(1, &[".larder/shared", "symbolic link"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[rstest]
fn a_link_in_the_place_of_a_folder_in_the_cache_gives_way_to_a_folder(
    #[values(".larder/shared/blobs", ".larder/shared/blobs/sha256")] trap: &str,
) {
    let (project, _server, outside) = trapped(trap);
    project.prepare();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{trap} was followed");
    assert!(!project.path(trap).is_symlink());
    project.assert_cache_holds_exactly(&MIRROR.needed_blobs());
}

#[test]
fn a_shard_folder_that_is_a_link_is_not_followed_when_blobs_are_removed() {
    let (project, _server) = filled();
    let outside = project.outside().join("outside");
    let blob = &MIRROR.published("app").blobs[0];
    let shard = project.cached(&blob.digest).parent().unwrap().to_owned();
    fs::rename(&shard, &outside).unwrap();
    symlink(&outside, &shard).unwrap();
    let shown = format!("blobs/sha256/{}", &blob.digest[..2]);
    project.larder(&["clean"]).succeeds().says(&["holds what larder did not put there", &shown]);
    assert!(outside.join(&blob.digest).is_file(), "a file outside the cache was removed");
    for other in MIRROR.needed_blobs().iter().filter(|other| other.digest[..2] != blob.digest[..2]) {
        assert!(!project.cached(&other.digest).exists(), "{} was not removed", other.path);
    }
}

#[test]
fn a_file_where_the_cache_folder_should_be_is_said_and_kept() {
    let (project, _server) = Project::with_server(MIRROR);
    let path = project.write(".larder/shared", "somebody's file");
    project.larder(&["prepare"]).fails_saying(1, &[".larder/shared"]);
    assert_eq!(fs::read_to_string(path).unwrap(), "somebody's file");
}
