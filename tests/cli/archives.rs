//! Archives of caches: what `pack` writes, other programs read, and the other way round.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rstest::rstest;
use serde_json::Value;

use crate::context::{Entry, Project, in_cache, mirror_entry};
use crate::fixtures::{Mirror, walk};
use crate::hostile_archives::{Zip, ZipEntry};
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Signed;
const CACHE: &str = ".larder/shared";

/// Run another program, which must succeed.
pub fn run(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `.ci/run` installs it"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A project with a full cache whose entries have times of different days.
pub fn filled() -> (Project, Server) {
    let (project, server) = Project::with_server(MIRROR);
    project.prepare();
    project.finish();
    let mut paths = vec![project.path(CACHE)];
    walk(&project.path(CACHE), &mut |path| paths.push(path.to_owned()));
    paths.sort();
    for (day, path) in (1_u64..).zip(&paths) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_001 + day * 86_400);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }
    (project, server)
}

/// Another checkout of the same project, without any cache.
pub fn another(server: &Server) -> Project {
    let project = Project::new(MIRROR.environment());
    project.configure(&mirror_entry(&server.url(), MIRROR.is_signed()));
    project
}

/// The archive of a full cache.
fn packed() -> (Project, Server, PathBuf) {
    let (project, server) = filled();
    project.larder(&["pack", "-o", "cache.zip"]).succeeds();
    let archive = project.path("cache.zip");
    (project, server, archive)
}

/// The contents of all files of a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    walk(folder, &mut |path| {
        if path.is_file() {
            contents.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(path).unwrap());
        }
    });
    contents
}

fn assert_same_tree(a: &Project, b: &Project) {
    let without_sizes_of_folders = |project: &Project| -> BTreeMap<PathBuf, Entry> {
        let mut entries = project.entries(CACHE);
        entries.values_mut().filter(|entry| entry.kind == "folder").for_each(|entry| entry.len = 0);
        entries
    };
    assert_eq!(without_sizes_of_folders(a), without_sizes_of_folders(b));
    assert_eq!(contents(&a.path(CACHE)), contents(&b.path(CACHE)));
    assert!(a.entries(CACHE).len() > 10, "there was something to compare");
}

#[test]
fn what_was_packed_is_unpacked_as_the_same_tree_times_included() {
    let (project, server, archive) = packed();
    let other = another(&server);
    let report = other.larder(&["unpack", archive.to_str().unwrap(), "--json"]).report();
    assert_same_tree(&project, &other);
    let blobs = MIRROR.needed_blobs().len() as u64;
    assert_eq!(in_cache(&report, "shared", "added"), blobs);
    assert_eq!(report["archive"]["blobs"], blobs);
    assert_eq!(report["caches"][0]["changed"], true);
    // The next job needs nothing more.
    server.clear_log();
    other.prepare();
    assert_eq!(server.blob_requests(), [] as [&str; 0]);
}

/// The runner makes the archive anew where anything is younger than its own, which is as old as the job at most.
#[test]
fn in_a_job_the_runner_sees_what_was_unpacked_where_no_folder_was() {
    let (_project, server, archive) = packed();
    let other = another(&server);
    let before = SystemTime::now() - Duration::from_secs(1);
    other.larder_with(&["unpack", archive.to_str().unwrap()], &[("CI_JOB_ID", "1")]).succeeds();
    let time = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    assert!(time(other.path(CACHE)) > before);
    // Blobs are as old as they were: where records are lost, that is how long ago they were of use.
    assert!(time(other.cached(&MIRROR.needed_blobs()[0].digest)) < before);
}

/// Else each job would upload, and what is from the future never grows too old to keep.
#[test]
fn times_that_are_still_to_come_become_now() {
    let (project, server) = filled();
    walk(&project.path(CACHE), &mut |path| {
        let time = SystemTime::now() + Duration::from_secs(30 * 365 * 86_400);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    });
    run("sh", &project.root(), &["-c", "tar --format=pax -c .larder/shared | zstd -q > tar.zip"]);
    project.larder(&["pack", "-o", "cache.zip"]).succeeds();
    for archive in ["tar.zip", "cache.zip"] {
        let other = another(&server);
        other.larder(&["unpack", project.path(archive).to_str().unwrap()]).succeeds();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        for (path, entry) in other.entries(CACHE) {
            assert!(entry.modified <= i128::try_from(now).unwrap(), "{archive}: {}", path.display());
        }
    }
}

#[test]
fn info_zip_and_python_unpack_the_same_tree() {
    let (project, server, archive) = packed();
    let archive = archive.to_str().unwrap();
    let other = another(&server);
    run("unzip", &other.root(), &["-q", archive]);
    assert_same_tree(&project, &other);

    // Python's module sets neither times nor modes by itself; it reads all that is needed for them.
    let other = another(&server);
    let script = "
import os, struct, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    for info in archive.infolist():
        archive.extract(info)
    for info in archive.infolist():
        extra, fields = info.extra, {}
        while extra:
            kind, length = struct.unpack('<HH', extra[:4])
            fields[kind], extra = extra[4:4 + length], extra[4 + length:]
        flags, time = struct.unpack('<Bi', fields[0x5455][:5])
        version, length, user, group_length, group = struct.unpack('<BBIBI', fields[0x7875])
        assert (version, length, user, group_length, group) == (1, 4, os.getuid(), 4, os.getgid())
        if not info.filename.endswith('.json') and not info.is_dir():
            assert info.compress_type == zipfile.ZIP_STORED
        os.chmod(info.filename, info.external_attr >> 16 & 0o7777)
        os.utime(info.filename, (time, time))
";
    run("python3", &other.root(), &["-c", script, archive]);
    assert_same_tree(&project, &other);
}

/// Packs the folder `.larder` of the current folder into the archive of its second argument, with this compression.
const PYTHON_ZIP: &str = "
import sys, zipfile
from pathlib import Path
with zipfile.ZipFile(sys.argv[2], 'w', int(sys.argv[1])) as archive:
    for path in sorted(Path('.larder/shared').rglob('*')):
        archive.write(path)
";

#[rstest]
#[case::info_zip("zip -q -r {} .larder/shared")]
#[case::info_zip_stored("zip -q -0 -r {} .larder/shared")]
#[case::info_zip_from_a_pipe("zip -q -r - .larder/shared | cat > {}")]
#[case::tar_with_zstd("tar -c .larder/shared | zstd -q > {}")]
#[case::pax("tar --format=pax -c .larder/shared | zstd -q > {}")]
#[case::tar_with_dots("tar -c ./.larder/shared | zstd -q > {}")]
fn archives_of_other_programs_are_read(#[case] command: &str) {
    let (project, server) = filled();
    let archive = project.path("cache.zip");
    run("sh", &project.root(), &["-c", &command.replace("{}", "cache.zip")]);
    let other = another(&server);
    other.larder(&["unpack", archive.to_str().unwrap()]).succeeds();
    assert_same_tree(&project, &other);
}

#[test]
fn blobs_deflated_by_python_are_read_and_those_of_other_methods_are_refused() {
    let (project, server) = filled();
    run("python3", &project.root(), &["-c", PYTHON_ZIP, "8", "deflated.zip"]);
    let other = another(&server);
    other.larder(&["unpack", project.path("deflated.zip").to_str().unwrap()]).succeeds();
    assert_eq!(contents(&project.path(CACHE)), contents(&other.path(CACHE)));

    run("python3", &project.root(), &["-c", PYTHON_ZIP, "14", "lzma.zip"]);
    let other = another(&server);
    let archive = project.path("lzma.zip");
    other.larder(&["unpack", archive.to_str().unwrap()]).fails_saying(1, &["method 14", ".larder/shared"]);
}

#[test]
fn zip_entries_compressed_with_zstd_are_read() {
    // Python's zipfile and Info-ZIP know no method 93: the entry is put together here, as the runner's `zipzstd` does.
    let (project, server) = filled();
    let blob = &MIRROR.needed_blobs()[0];
    let name = format!(".larder/shared/blobs/sha256/{}/{}", &blob.digest[..2], blob.digest);
    let bytes = fs::read(project.path(&name)).unwrap();
    let archived = zstd::encode_all(&bytes[..], 3).unwrap();
    let archive = Zip::new().entry(ZipEntry::compressed(&name, 93, &bytes, archived)).finish();
    let other = another(&server);
    other.write("cache.zip", archive);
    other.larder(&["unpack", "cache.zip"]).succeeds();
    assert_eq!(other.blobs_in(CACHE), std::slice::from_ref(&blob.digest));
}

#[test]
fn the_same_caches_give_the_same_bytes() {
    let (project, _server, archive) = packed();
    let first = fs::read(&archive).unwrap();
    project.larder(&["pack", "shared", "-o", "again.zip"]).succeeds();
    assert_eq!(fs::read(project.path("again.zip")).unwrap(), first);
    // No leftover beside it.
    let names: Vec<_> = fs::read_dir(project.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("partial-")), "{names:?}");
    assert_eq!(fs::metadata(&archive).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn packing_touches_no_cache_and_neither_does_unpacking_what_is_there() {
    let (project, _server) = filled();
    let before = project.entries(CACHE);
    project.larder(&["pack", "-o", "cache.zip"]).succeeds();
    assert_eq!(project.entries(CACHE), before);
    let report = project.larder(&["unpack", "cache.zip", "--json"]).report();
    assert_eq!(report["caches"][0]["changed"], false);
    assert_eq!(in_cache(&report, "shared", "added"), 0);
    project.larder(&["unpack", "cache.zip", "--list"]).succeeds();
    assert_eq!(project.entries(CACHE), before);
}

#[test]
fn a_cache_with_some_of_the_blobs_gets_the_others_and_a_damaged_one_is_replaced() {
    let (project, _server, _archive) = packed();
    let blobs = MIRROR.needed_blobs();
    fs::remove_file(project.cached(&blobs[0].digest)).unwrap();
    fs::write(project.cached(&blobs[1].digest), "damaged").unwrap();
    let untouched = fs::metadata(project.cached(&blobs[2].digest)).unwrap().ino();
    let report = project.larder(&["unpack", "cache.zip", "--json"]).report();
    assert_eq!((in_cache(&report, "shared", "added"), in_cache(&report, "shared", "corrupt")), (2, 1));
    project.assert_cache_holds_exactly(&blobs);
    assert_eq!(fs::metadata(project.cached(&blobs[2].digest)).unwrap().ino(), untouched);
}

#[test]
fn a_dry_run_lists_the_archive_and_writes_nothing() {
    let (_project, server, archive) = packed();
    let other = another(&server);
    let before = other.entries(".");
    let run = other.larder(&["unpack", archive.to_str().unwrap(), "--dry-run"]).succeeds();
    for name in MIRROR.needed() {
        assert!(run.stdout.contains(name), "{run}");
    }
    run.says(&["would add"]);
    let report = other.larder(&["unpack", archive.to_str().unwrap(), "--dry-run", "--json"]).report();
    assert_eq!(report["caches"][0]["contents"].as_array().unwrap().len(), MIRROR.needed_blobs().len());
    assert_eq!(other.entries("."), before);
}

#[test]
fn records_keep_their_dates_and_join_those_that_are_there() {
    let (project, server, archive) = packed();
    let other = another(&server);
    other.larder(&["prepare", "--spec", "rtdata"]).succeeds();
    crate::context::backdate(&other, Duration::from_secs(86_400 * 3));
    let dates = |project: &Project| -> BTreeMap<String, String> {
        let records: Value =
            serde_json::from_slice(&fs::read(project.path(".larder/shared/larder.json")).unwrap()).unwrap();
        let blobs = records["blobs"].as_object().unwrap();
        blobs
            .iter()
            .map(|(digest, record)| (digest.clone(), record["last_used"].as_str().unwrap().to_owned()))
            .collect()
    };
    other.larder(&["unpack", archive.to_str().unwrap()]).succeeds();
    assert_eq!(dates(&other), dates(&project));
}

#[test]
fn several_caches_go_into_one_archive_and_one_of_them_can_be_chosen() {
    let (project, server) = Project::with_server(MIRROR);
    let caches = "caches:\n  - { name: branch, prefix: \"https://elsewhere\" }\n  - { name: shared }\n";
    project.configure(&format!("{}{caches}", mirror_entry(&server.url(), true)));
    project.prepare();
    crate::fixtures::copy_folder(&project.path(".larder/shared"), &project.path(".larder/branch"));
    project.larder(&["pack", "-o", "cache.zip"]).succeeds();
    let listing = run("unzip", &project.root(), &["-Z1", "cache.zip"]);
    assert!(listing.contains(".larder/branch/blobs/") && listing.contains(".larder/shared/blobs/"), "{listing}");

    let other = another(&server);
    other.configure(&format!("{}{caches}", mirror_entry(&server.url(), true)));
    let archive = project.path("cache.zip");
    let run = other.larder(&["unpack", archive.to_str().unwrap(), "--cache", "branch"]).succeeds();
    run.says(&["it is skipped: `.larder/shared`"]);
    assert!(other.path(".larder/branch/larder.json").exists() && !other.path(".larder/shared").exists());
}

#[test]
fn what_is_no_caches_is_left_out_of_archives_and_skipped_in_them() {
    let (project, server) = filled();
    project.write(".larder/shared/thesis.tex", "x");
    std::os::unix::fs::symlink("/etc", project.path(".larder/shared/link")).unwrap();
    project.larder(&["pack", "-o", "cache.zip"]).succeeds().says(&["thesis.tex", "left out of the archive"]);
    let listing = run("unzip", &project.root(), &["-Z1", "cache.zip"]);
    assert!(!listing.contains("thesis") && !listing.contains("link"), "{listing}");

    fs::remove_file(project.path(".larder/shared/link")).unwrap();
    project.write("other/file", "x");
    run("zip", &project.root(), &["-q", "-r", "mixed.zip", ".larder/shared", "other"]);
    let target = another(&server);
    let said = target.larder(&["unpack", project.path("mixed.zip").to_str().unwrap()]).succeeds();
    said.says(&["it is skipped:", "`.larder/shared/thesis.tex`", "`other`"]);
    target.assert_cache_holds_exactly(&MIRROR.needed_blobs());
    assert!(!target.path("other").exists());
}

#[test]
fn an_archive_for_other_folders_says_which_ones() {
    let (project, _server) = filled();
    run("zip", &project.root(), &["-q", "-r", "cache.zip", "spack.lock", "larder.yaml"]);
    let said = project.larder(&["unpack", "cache.zip"]);
    said.fails_saying(1, &["nothing for the configured caches", "`larder.yaml`, `spack.lock`", "`.larder/shared`"]);
}

#[test]
fn an_archive_is_not_overwritten_unless_it_is_asked_for() {
    let (project, _server, archive) = packed();
    let before = fs::read(&archive).unwrap();
    fs::write(&archive, "mine").unwrap();
    project.larder(&["pack", "-o", "cache.zip"]).fails_saying(2, &["`--force`"]);
    assert_eq!(fs::read(&archive).unwrap(), b"mine");
    project.larder(&["pack", "-o", "cache.zip", "--force"]).succeeds();
    assert_eq!(fs::read(&archive).unwrap(), before);
    let run = project.larder(&["pack", "-o", ".larder/shared/cache.zip"]);
    run.fails_saying(2, &["lies in the folder of cache `shared`"]);
}

#[test]
fn a_bad_blob_an_empty_cache_and_one_outside_the_project_are_not_packed() {
    let (project, server) = filled();
    let blob = &MIRROR.needed_blobs()[0];
    fs::write(project.cached(&blob.digest), "bad").unwrap();
    project
        .larder(&["pack", "-o", "cache.zip"])
        .fails_saying(1, &["holds a bad blob", &blob.digest, "verify --delete"]);
    assert!(!project.path("cache.zip").exists());

    let empty = another(&server);
    empty.larder(&["pack", "-o", "cache.zip"]).fails_saying(1, &["nothing to pack: cache `shared` is empty"]);
    let before = empty.entries(".");
    assert!(!before.contains_key(Path::new(".larder")), "{before:?}");

    let elsewhere = project.outside().join("volume");
    let caches = format!("caches: [{{ name: volume, path: \"{}\" }}]\n", elsewhere.display());
    project.configure(&format!("{}{caches}", mirror_entry(&server.url(), true)));
    project.larder(&["pack", "-o", "cache.zip"]).fails_saying(2, &["outside of the project folder"]);
    project.larder(&["pack", "none", "-o", "cache.zip"]).fails_saying(2, &["there is no cache `none`", "`volume`"]);
}
