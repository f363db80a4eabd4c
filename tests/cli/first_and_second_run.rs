//! The main job: fetch once, check afterwards, repair exactly what is damaged.

use std::fs;
use std::path::Path;

use rstest::rstest;

use crate::context::{Project, in_cache, mirror_entry, names_with, total};
use crate::fixtures::{Mirror, walk};

#[rstest]
fn the_first_run_downloads_each_needed_binary_once_and_the_second_only_metadata(
    #[values(Mirror::V3Signed, Mirror::V3Unsigned, Mirror::V2Signed, Mirror::V2Unsigned)] mirror: Mirror,
) {
    let (project, server) = Project::with_server(mirror);
    let needed: u64 = mirror.needed_blobs().iter().map(|blob| blob.bytes).sum();

    let report = project.prepare();
    assert_eq!(server.blob_requests(), mirror.needed_paths());
    assert_eq!(names_with(&report, "fetched"), mirror.needed());
    assert_eq!(total(&report, "bytes_fetched"), needed);
    assert_eq!(total(&report, "bytes_reused"), 0);
    assert_eq!(in_cache(&report, "shared", "added"), mirror.needed_blobs().len() as u64);
    project.assert_cache_holds_exactly(&mirror.needed_blobs());
    project.finish();

    project.next_job();
    server.clear_log();
    let report = project.prepare();
    assert_eq!(server.blob_requests(), [] as [&str; 0], "the second run must not download a blob");
    for name in mirror.needed() {
        assert_eq!(server.count(&mirror.published(name).metadata), 1, "the metadata of {name} is asked for afresh");
    }
    assert_eq!(names_with(&report, "cached"), mirror.needed());
    assert_eq!(total(&report, "bytes_reused"), needed);
    assert_eq!(total(&report, "bytes_fetched"), 0);
    let served: u64 = server.log().iter().filter(|request| request.status == 200).map(|request| request.bytes).sum();
    assert_eq!(total(&report, "metadata_bytes"), served);
    assert_eq!(total(&report, "requests"), server.log().len() as u64);
}

#[rstest]
fn a_flipped_byte_makes_exactly_that_blob_be_fetched_again(
    #[values(Mirror::V3Signed, Mirror::V3Unsigned, Mirror::V2Signed, Mirror::V2Unsigned)] mirror: Mirror,
) {
    let (project, server) = Project::with_server(mirror);
    project.prepare();
    let damaged = &mirror.published("libmid").blobs[0];
    let path = project.cached(&damaged.digest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 0x40;
    fs::write(&path, bytes).unwrap();

    project.next_job();
    server.clear_log();
    let report = project.prepare();
    assert_eq!(server.blob_requests(), [damaged.path.as_str()]);
    assert_eq!(names_with(&report, "fetched"), ["libmid"]);
    assert_eq!(in_cache(&report, "shared", "corrupt"), 1);
    project.assert_cache_holds_exactly(&mirror.needed_blobs());
}

#[rstest]
fn the_job_mirror_repeats_what_was_published_byte_for_byte_beside_links_to_checked_blobs(
    #[values(Mirror::V3Signed, Mirror::V3Unsigned, Mirror::V2Signed, Mirror::V2Unsigned)] mirror: Mirror,
) {
    let (project, _server) = Project::with_server(mirror);
    project.prepare();
    let job_mirror = project.path(".larder/job/mirror");
    for name in mirror.needed() {
        let published = mirror.published(name);
        let original = fs::read(mirror.folder().join(&published.metadata[1..])).unwrap();
        assert_eq!(fs::read(job_mirror.join(&published.metadata[1..])).unwrap(), original, "{name}");
        for blob in published.blobs {
            let link = job_mirror.join(&blob.path[1..]);
            let target = fs::read_link(&link).unwrap_or_else(|error| panic!("{}: {error}", link.display()));
            assert!(target.is_relative(), "{} is not relative: the project folder may move", target.display());
            assert_eq!(fs::canonicalize(&link).unwrap(), fs::canonicalize(project.cached(&blob.digest)).unwrap());
        }
    }
    let mut stray = Vec::new();
    walk(&job_mirror, &mut |path| {
        if path.to_string_lossy().contains("codegen") {
            stray.push(path.to_owned());
        }
    });
    assert_eq!(stray, [] as [&Path; 0], "codegen is not needed, so Spack must not see it");
}

#[rstest]
fn the_index_of_the_job_mirror_lists_exactly_its_entries(
    #[values(Mirror::V3Signed, Mirror::V3Unsigned, Mirror::V2Signed, Mirror::V2Unsigned)] mirror: Mirror,
) {
    let (project, _server) = Project::with_server(mirror);
    project.prepare();
    let job_mirror = project.path(".larder/job/mirror");
    let index = if mirror.is_v3() {
        assert!(job_mirror.join("v3/layout.json").is_file());
        let manifest = crate::fixtures::read_json(&job_mirror.join("v3/manifests/index/index.manifest.json"));
        let digest = manifest["data"][0]["checksum"].as_str().unwrap();
        job_mirror.join(format!("blobs/sha256/{}/{digest}", &digest[..2]))
    } else {
        job_mirror.join("build_cache/index.json")
    };
    let index = crate::fixtures::read_json(&index);
    let installs = index["database"]["installs"].as_object().unwrap();
    let listed = installs.iter().filter(|(_, entry)| entry["in_buildcache"] == true);
    let mut listed: Vec<&str> = listed.map(|(hash, _)| hash.as_str()).collect();
    let mut expected: Vec<String> = mirror.needed().iter().map(|name| mirror.published(name).hash).collect();
    listed.sort_unstable();
    expected.sort();
    assert_eq!(listed, expected);
}

#[rstest]
fn spack_is_told_of_the_job_mirror_and_whether_it_is_signed(
    #[values(Mirror::V3Signed, Mirror::V3Unsigned, Mirror::V2Signed, Mirror::V2Unsigned)] mirror: Mirror,
) {
    let (project, _server) = Project::with_server(mirror);
    let run = project.larder(&["prepare"]).succeeds();
    let line = run.stderr.lines().find(|line| line.contains(".larder/job/spack"));
    assert!(line.is_some(), "prepare says how to use the job mirror\n{run}");
    let text = fs::read_to_string(project.path(".larder/job/spack/mirrors.yaml")).unwrap();
    let yaml: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let (_, mirrors) = yaml.as_mapping().unwrap().iter().next().unwrap();
    assert_eq!(mirrors.as_mapping().unwrap().len(), 1, "{text}");
    for (name, entry) in mirrors.as_mapping().unwrap() {
        assert_eq!(entry["signed"].as_bool(), Some(mirror.is_signed()), "{name:?}\n{text}");
    }
    assert!(text.contains("larder/job/mirror"), "{text}");
}

#[test]
fn a_file_mirror_does_the_same_without_a_server() {
    let project = Project::new("v3/env-demo");
    let mirror = Mirror::V3Unsigned;
    let url = format!("file://{}", mirror.folder().display());
    let report = project.larder(&["prepare", "--json", "--unsigned", "--mirror", &url]).report();
    assert_eq!(names_with(&report, "fetched"), mirror.needed());
    project.assert_cache_holds_exactly(&mirror.needed_blobs());
    let report = project.larder(&["prepare", "--json", "--unsigned", "--mirror", &url]).report();
    assert_eq!(names_with(&report, "cached"), mirror.needed());
}

#[test]
fn a_binary_that_the_mirror_replaced_is_fetched_anew_without_any_refresh_of_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    crate::fixtures::copy_folder(&Mirror::V2Unsigned.folder(), folder.path());
    let server = crate::server::Server::start(folder.path());
    let project = Project::new("v2/env-demo");
    project.configure(&mirror_entry(&server.url(), false));
    project.prepare();

    let rebuilt = Mirror::V2Unsigned.published("rtdata");
    let (old, bytes) = (&rebuilt.blobs[0].digest, b"rebuilt");
    let metadata = folder.path().join(&rebuilt.metadata[1..]);
    let text = fs::read_to_string(&metadata).unwrap().replace(old, &crate::fixtures::sha256(bytes));
    fs::write(&metadata, text).unwrap();
    fs::write(folder.path().join(&rebuilt.blobs[0].path[1..]), bytes).unwrap();

    server.clear_log();
    project.prepare();
    assert_eq!(server.blob_requests(), [rebuilt.blobs[0].path.as_str()]);
    assert_eq!(fs::read(project.path(".larder/job/mirror").join(&rebuilt.blobs[0].path[1..])).unwrap(), bytes);
}

#[test]
fn the_user_agent_says_who_asks() {
    let (project, server) = Project::with_server(Mirror::V3Unsigned);
    project.prepare();
    for request in server.log() {
        assert_eq!(request.method, "GET");
        assert_eq!(request.headers["user-agent"], concat!("larder/", env!("CARGO_PKG_VERSION")));
    }
    assert!(!server.log().is_empty());
}

#[test]
fn warm_fills_the_cache_and_verify_list_and_clean_tell_of_it() {
    let (project, server) = Project::with_server(Mirror::V3Unsigned);
    let blobs = Mirror::V3Unsigned.needed_blobs();
    let report = project.larder(&["warm", "--json"]).report();
    assert_eq!(total(&report, "bytes_fetched"), blobs.iter().map(|blob| blob.bytes).sum::<u64>());
    assert_eq!(server.blob_requests().len(), blobs.len());
    let server_url = server.stop();

    let report = project.larder(&["verify", "--json"]).report();
    assert_eq!(in_cache(&report, "shared", "blobs"), blobs.len() as u64);
    assert_eq!(in_cache(&report, "shared", "corrupt"), 0);
    let report = project.larder(&["list", "--json"]).report();
    let text = report.to_string();
    for name in Mirror::V3Unsigned.needed() {
        assert!(text.contains(&format!("\"{name}\"")), "list names {name}");
    }
    assert!(text.contains(&server_url), "list says where a blob came from");

    project.larder(&["clean"]).succeeds();
    assert_eq!(project.blobs_in(".larder/shared"), [] as [&str; 0]);
}
