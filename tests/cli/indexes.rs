//! The indexes of mirrors: downloaded once, checked like any blob, and handed to Spack before there is a lockfile.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::context::{NETWORK, Project, Run, backdate, in_cache, mirror_entry, total};
use crate::fixtures::{Mirror, copy_folder, read_json, sha256};
use crate::images::{Image, folder_of};
use crate::s3_server::{Readers, S3Server};
use crate::server::{Fault, Server, Times};

const V3_MANIFEST: &str = "v3/manifests/index/index.manifest.json";
const V2_HASH: &str = "build_cache/index.json.hash";
const V2_INDEX: &str = "build_cache/index.json";

/// A mirror whose index can change, and its server.
struct Served {
    folder: TempDir,
    server: Server,
}

/// The index of a mirror: the small document, the index, both by path, and its digest.
struct Index {
    document: &'static str,
    path: String,
    digest: String,
}

fn copy_of(mirror: Mirror) -> Served {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&mirror.folder(), folder.path());
    let served = Served { server: Server::start(folder.path()), folder };
    if !served.folder.path().join(V3_MANIFEST).is_file() && mirror.is_v3() {
        served.write_v3("first");
    }
    if !served.folder.path().join(V2_INDEX).is_file() && !mirror.is_v3() {
        served.write_v2("first");
    }
    served
}

/// Something that is an index to larder, which reads none.
fn content(mark: &str) -> Vec<u8> {
    format!(r#"{{"database":{{"version":"8","installs":{{}}}},"mark":"{mark}"}}"#).into_bytes()
}

impl Served {
    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn write_v3(&self, mark: &str) {
        let (bytes, digest) = (content(mark), sha256(&content(mark)));
        self.write(&format!("blobs/sha256/{}/{digest}", &digest[..2]), &bytes);
        let record = json!({"contentLength": bytes.len(), "mediaType": "application/vnd.spack.db.v8+json",
            "compression": "none", "checksumAlgorithm": "sha256", "checksum": digest});
        self.write(V3_MANIFEST, json!({"version": 3, "data": [record]}).to_string().as_bytes());
    }

    fn write_v2(&self, mark: &str) {
        self.write(V2_INDEX, &content(mark));
        self.write(V2_HASH, sha256(&content(mark)).as_bytes());
    }

    fn index(&self, mirror: Mirror) -> Index {
        if mirror.is_v3() {
            let manifest = read_json(&self.folder.path().join(V3_MANIFEST));
            let digest = manifest["data"][0]["checksum"].as_str().unwrap().to_owned();
            Index { document: V3_MANIFEST, path: format!("blobs/sha256/{}/{digest}", &digest[..2]), digest }
        } else {
            let digest = fs::read_to_string(self.folder.path().join(V2_HASH)).unwrap();
            Index { document: V2_HASH, path: V2_INDEX.to_owned(), digest }
        }
    }

    /// A project that has not concretized yet.
    fn project(&self, more: &str) -> Project {
        let project = Project::new("v3/env-demo");
        fs::remove_file(project.path("spack.lock")).unwrap();
        project.configure(&format!("{}{more}", mirror_entry(&self.server.url(), false)));
        project
    }

    fn count(&self, path: &str) -> usize {
        self.server.count(&format!("/{path}"))
    }
}

fn prepare_index(project: &Project) -> Value {
    project.larder(&["prepare", "--index", "--json"]).report()
}

fn scope(project: &Project) -> String {
    fs::read_to_string(project.path(".larder/job/spack/mirrors.yaml")).unwrap()
}

fn statuses(report: &Value) -> Vec<&str> {
    report["indexes"].as_array().unwrap().iter().map(|index| index["status"].as_str().unwrap()).collect()
}

#[rstest]
fn the_first_job_downloads_the_index_and_the_next_ones_only_its_small_document(
    #[values(Mirror::V3Signed, Mirror::V2Unsigned)] mirror: Mirror,
) {
    let served = copy_of(mirror);
    let index = served.index(mirror);
    let bytes = fs::metadata(served.folder.path().join(&index.path)).unwrap().len();
    let project = served.project("");
    let report = prepare_index(&project);
    assert_eq!(served.count(&index.path), 1);
    assert_eq!(statuses(&report), ["fetched"]);
    assert_eq!((&report["indexes"][0]["mirror"], &report["indexes"][0]["cache"]), (&"demo".into(), &"shared".into()));
    assert_eq!((total(&report, "bytes_fetched"), in_cache(&report, "shared", "added")), (bytes, 1));
    assert_eq!(project.blobs_in(".larder/shared"), std::slice::from_ref(&index.digest));
    project.finish();

    project.next_job();
    served.server.clear_log();
    let before = project.entries(".larder/shared");
    let report = prepare_index(&project);
    assert_eq!((served.count(&index.path), served.count(index.document)), (0, 1));
    assert_eq!((statuses(&report), total(&report, "bytes_reused")), (vec!["cached"], bytes));
    project.finish();
    assert_eq!(project.entries(".larder/shared"), before, "nothing to upload");

    // What Spack sees: as published, in a mirror with nothing else in it, and no other mirror beside it.
    let job_mirror = project.path(".larder/job/index/1");
    for path in [index.document, &index.path] {
        let (here, there) = (job_mirror.join(path), served.folder.path().join(path));
        assert_eq!(fs::read(here).unwrap(), fs::read(there).unwrap(), "{path}");
    }
    assert!(fs::read_link(job_mirror.join(&index.path)).unwrap().is_relative(), "the project folder may move");
    let text = scope(&project);
    assert!(text.contains("mirrors::") && text.contains("/.larder/job/index/1\n"), "{text}");
    assert!(!text.contains(&served.server.url()), "{text}");
}

#[test]
fn a_mirror_with_both_layouts_hands_over_both_as_spack_reads_both() {
    let served = copy_of(Mirror::V3Signed);
    served.write_v2("of the older layout");
    let project = served.project("");
    assert_eq!(statuses(&prepare_index(&project)), ["fetched", "fetched"]);
    for path in [V3_MANIFEST, V2_HASH, V2_INDEX] {
        assert!(project.path(".larder/job/index/1").join(path).is_file(), "{path}");
    }
}

#[rstest]
fn a_damaged_index_in_the_cache_is_fetched_again(#[values(Mirror::V3Signed, Mirror::V2Unsigned)] mirror: Mirror) {
    let served = copy_of(mirror);
    let index = served.index(mirror);
    let project = served.project("");
    prepare_index(&project);
    let cached = project.cached(&index.digest);
    let mut bytes = fs::read(&cached).unwrap();
    bytes[100] ^= 1;
    fs::write(&cached, bytes).unwrap();
    project.next_job();
    let report = prepare_index(&project);
    assert_eq!((statuses(&report), in_cache(&report, "shared", "corrupt")), (vec!["fetched"], 1));
    assert!(report["warnings"].to_string().contains("the index of mirror `demo`"), "{report:#}");
    assert_eq!(project.blobs_in(".larder/shared"), [index.digest]);
}

#[rstest]
#[case::by_age("")]
#[case::with_everything_kept("caches: [{ name: shared, keep: all }]\n")]
fn only_the_newest_index_of_a_mirror_is_kept(#[case] caches: &str) {
    let served = copy_of(Mirror::V3Signed);
    let project = served.project(caches);
    prepare_index(&project);
    project.finish();
    let first = served.index(Mirror::V3Signed).digest;
    assert_eq!(project.blobs_in(".larder/shared"), std::slice::from_ref(&first));

    served.write_v3("second");
    let second = served.index(Mirror::V3Signed).digest;
    project.next_job();
    assert_eq!(statuses(&prepare_index(&project)), ["fetched"]);
    let listed = project.larder(&["list"]).succeeds().stdout;
    assert!(listed.contains("(index)") && listed.contains("(older index)"), "{listed}");
    assert!(listed.contains(&served.server.url()), "{listed}");
    let finished = project.finish();
    assert_eq!(in_cache(&finished, "shared", "removed"), 1);
    assert_eq!(project.blobs_in(".larder/shared"), [second]);
    assert_ne!(project.blobs_in(".larder/shared"), [first]);
}

#[test]
fn an_index_stays_with_its_mirror_where_only_the_lockfile_is_kept() {
    let served = copy_of(Mirror::V3Signed);
    let caches = "caches: [{ name: shared, keep: lockfile }]\n";
    let project = served.project(caches);
    project.use_environment("v3/env-demo");
    prepare_index(&project);
    project.prepare();
    project.finish();
    project.next_job();
    let index = served.index(Mirror::V3Signed).digest;
    // No job folder: nothing says that this job uses it.
    project.finish();
    assert!(project.cached(&index).is_file());

    project.configure(&format!("{}{caches}", mirror_entry("https://other.example/x", false)));
    project.finish();
    assert!(!project.cached(&index).exists(), "it is of a mirror that no environment uses");
    assert!(project.cached(&Mirror::V3Signed.published("app").blobs[0].digest).is_file());
}

#[test]
fn the_next_prepare_replaces_the_indexes_by_the_binaries_and_reports_both() {
    let served = copy_of(Mirror::V3Signed);
    let project = served.project("caches: [{ name: shared, keep: { max-size: 1B } }]\n");
    prepare_index(&project);
    project.use_environment("v3/env-demo");
    let report = project.prepare();
    assert_eq!(statuses(&report), ["fetched"]);
    let index = served.index(Mirror::V3Signed);
    let index_bytes = fs::metadata(served.folder.path().join(&index.path)).unwrap().len();
    let binaries: u64 = Mirror::V3Signed.needed_blobs().iter().map(|blob| blob.bytes).sum();
    assert_eq!(total(&report, "bytes_fetched"), binaries + index_bytes);
    assert!(!project.path(".larder/job/index").exists());
    assert!(!scope(&project).contains("mirrors::"), "source mirrors go on working");
    project.finish();
    assert!(project.cached(&index.digest).is_file(), "this job used it, whatever `keep:` says");

    // The next job does without, and then nothing protects it.
    project.next_job();
    let report = project.prepare();
    assert!(report.get("indexes").is_none(), "{report:#}");
    project.finish();
    assert!(!project.cached(&index.digest).exists());
}

#[test]
fn an_index_that_no_job_used_for_long_goes_like_any_blob() {
    let served = copy_of(Mirror::V3Signed);
    let project = served.project("");
    prepare_index(&project);
    project.next_job();
    backdate(&project, Duration::from_secs(40 * 86_400));
    project.finish();
    assert_eq!(project.blobs_in(".larder/shared"), [""; 0]);
}

#[test]
fn a_mirror_without_an_index_is_told_once_and_left_to_spack() {
    let served = copy_of(Mirror::V3Signed);
    fs::remove_file(served.folder.path().join(V3_MANIFEST)).unwrap();
    let project = served.project("");
    let run = project.larder(&["prepare", "--index"]).succeeds().says(&[
        "mirror `demo` has no index",
        "spack buildcache update-index",
        "0 reused, 0 fetched (1 mirror has none)",
        "spack -C .larder/job/spack -e . concretize",
    ]);
    assert_eq!(run.stderr.matches("has no index").count(), 1, "{run}");
    assert!(scope(&project).contains(&served.server.url()), "{}", scope(&project));
    assert_eq!(served.server.blob_requests(), [""; 0]);
}

#[test]
fn credentials_do_not_go_into_the_scope() {
    let served = copy_of(Mirror::V3Signed);
    fs::remove_file(served.folder.path().join(V3_MANIFEST)).unwrap();
    let project = served.project("");
    let entry = format!("{{ name: demo, url: \"{}\", access-token-variable: TOKEN }}", served.server.url());
    project.configure(&format!("{NETWORK}mirrors: [{entry}]\n"));
    let variables = [("TOKEN", "hunter2-hunter2")];
    project.larder_with(&["prepare", "--index"], &variables).succeeds();
    let text = scope(&project);
    assert!(text.contains("mirrors:: {}") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_folder_that_is_not_there_is_told_and_spack_concretizes_without_it() {
    let served = copy_of(Mirror::V3Signed);
    let project = served.project("");
    let gone = project.outside().join("not-mounted");
    let both = format!(
        "{NETWORK}mirrors:\n- {{ name: site, url: {} }}\n- {{ name: demo, url: \"{}\" }}\n",
        gone.display(),
        served.server.url()
    );
    project.configure(&both);
    let report = prepare_index(&project);
    assert_eq!(statuses(&report), ["missing", "fetched"]);
    assert!(report["warnings"].to_string().contains("mirror `site` is not at"), "{report:#}");
    assert!(!scope(&project).contains("not-mounted"));
}

#[test]
fn a_mirror_that_does_not_answer_is_not_taken_for_one_without_an_index() {
    let served = copy_of(Mirror::V3Signed);
    let project = served.project("");
    served.server.fault("/v3/**", Times::Always, Fault::Status(503, vec![]));
    project.larder(&["prepare", "--index"]).fails_saying(1, &["can't ask mirror `demo` for its index", "503"]);
    served.server.heal();
    served.server.fault("/v3/**", Times::Always, Fault::Html);
    project.larder(&["prepare", "--index"]).fails_saying(1, &["is not Spack's metadata", "captive portal"]);
    served.server.heal();
    served.server.fault("/blobs/**", Times::Always, Fault::WrongByte);
    project.larder(&["prepare", "--index"]).fails_saying(1, &["can't fetch the index of mirror `demo`"]);
    assert_eq!(project.blobs_in(".larder/shared"), [""; 0]);
}

#[test]
fn an_index_that_does_not_go_with_its_hash_is_left_to_spack() {
    let served = copy_of(Mirror::V2Unsigned);
    served.write(V2_INDEX, &content("written a moment later"));
    let project = served.project("");
    let report = prepare_index(&project);
    assert_eq!(statuses(&report), ["missing"]);
    assert!(report["warnings"].to_string().contains("does not go with its `index.json.hash`"), "{report:#}");
    assert!(scope(&project).contains(&served.server.url()));
    assert_eq!(project.blobs_in(".larder/shared"), [""; 0]);
}

#[test]
fn a_manifest_of_a_huge_index_is_refused_before_a_byte_of_it_is_asked_for() {
    let served = copy_of(Mirror::V3Signed);
    let mut manifest = read_json(&served.folder.path().join(V3_MANIFEST));
    manifest["data"][0]["contentLength"] = (1u64 << 40).into();
    served.write(V3_MANIFEST, manifest.to_string().as_bytes());
    let project = served.project("");
    project.larder(&["prepare", "--index"]).fails_saying(1, &["an index of 1099511627776 bytes"]);
    assert_eq!(served.server.blob_requests(), [""; 0]);
}

#[test]
fn environments_with_other_mirrors_get_a_scope_of_their_own() {
    let [a, b] = [copy_of(Mirror::V3Signed), copy_of(Mirror::V2Unsigned)];
    let project = a.project("");
    for (name, served) in [("a", &a), ("b", &b)] {
        let mirrors = format!("  mirrors: {{ web: \"{}\" }}\n", served.server.url());
        project.write(&format!("envs/{name}/spack.yaml"), format!("spack:\n  specs: [app]\n{mirrors}"));
    }
    project.configure(&format!("{NETWORK}environments: [envs/a, envs/b]\n"));
    project.larder(&["prepare", "--index"]).succeeds().says(&[
        "spack -C .larder/job/spack -e envs/a concretize",
        "spack -C .larder/job/index/spack-2 -e envs/b concretize",
    ]);
    let other = fs::read_to_string(project.path(".larder/job/index/spack-2/mirrors.yaml")).unwrap();
    assert!(scope(&project).contains("/index/1\n") && !scope(&project).contains("/index/2\n"), "{}", scope(&project));
    assert!(other.contains("/index/2\n") && !other.contains("/index/1\n"), "{other}");
}

/// The index of a registry as Spack pushes it (`_oci_update_index`): a layer that is no archive.
fn registry_index(version: &str) -> Image {
    let index = format!(r#"{{"database":{{"version":"{version}","installs":{{}}}}}}"#).into_bytes();
    let describe =
        |blob: &[u8]| json!({"mediaType": "x", "digest": format!("sha256:{}", sha256(blob)), "size": blob.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe(b"{}"), "layers": [describe(&index)]});
    let (tag, manifest) = ("index.spack".to_owned(), manifest.to_string().into_bytes());
    Image { tag, manifest, blobs: vec![index, b"{}".to_vec()] }
}

#[rstest]
#[case::of_spack_1("8", V3_MANIFEST)]
#[case::of_spack_0("7", V2_HASH)]
fn the_index_of_a_registry_is_shown_in_the_layout_that_its_spack_reads(#[case] version: &str, #[case] document: &str) {
    let folder = folder_of(vec![registry_index(version)], "group/binaries");
    let server = Server::start(folder.path());
    let project = Project::new("v3/env-demo");
    let url = format!("{}/group/binaries", server.url().replacen("http", "oci+http", 1));
    project.configure(&format!("{NETWORK}mirrors: [{{ name: images, url: \"{url}\" }}]\n"));
    assert_eq!(statuses(&prepare_index(&project)), ["fetched"]);
    project.finish();
    project.next_job();
    server.clear_log();
    assert_eq!(statuses(&prepare_index(&project)), ["cached"]);
    assert_eq!(server.log().len(), 1, "one manifest: {:?}", server.log());
    let job_mirror = project.path(".larder/job/index/1");
    assert!(job_mirror.join(document).is_file(), "{document}");
    let index = String::from_utf8(registry_index(version).blobs.remove(0)).unwrap();
    let place = if document == V2_HASH {
        assert_eq!(fs::read_to_string(job_mirror.join(V2_HASH)).unwrap(), sha256(index.as_bytes()));
        V2_INDEX.to_owned()
    } else {
        let digest = read_json(&job_mirror.join(document))["data"][0]["checksum"].as_str().unwrap().to_owned();
        format!("blobs/sha256/{}/{digest}", &digest[..2])
    };
    assert_eq!(fs::read_to_string(job_mirror.join(place)).unwrap(), index);

    // An empty one has nothing that Spack could ask for without a tag.
    fs::remove_file(folder.path().join("v2/group/binaries/manifests/index.spack")).unwrap();
    assert_eq!(statuses(&prepare_index(&project)), ["missing"]);
    assert!(!scope(&project).contains("oci+http"), "{}", scope(&project));
}

#[test]
fn an_index_comes_out_of_an_object_store_and_goes_into_it_like_any_blob() {
    let store = S3Server::start(Readers::Known);
    let served = copy_of(Mirror::V3Signed);
    let job = || served.project("caches: [{ name: remote, url: s3://binaries/larder, keep: { max-age: 30d } }]\n");
    let run = |project: &Project, arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.envs(store.variables());
        Run::wait(command.spawn().unwrap(), arguments).report()
    };
    let first = job();
    assert_eq!(statuses(&run(&first, &["prepare", "--index", "--json"])), ["fetched"]);
    // With binaries in between: what was noted for the store is not forgotten.
    first.use_environment("v3/env-demo");
    run(&first, &["prepare", "--json"]);
    run(&first, &["finish", "--json"]);
    let index = served.index(Mirror::V3Signed);
    assert!(store.object(&format!("larder/{}", index.path)).is_file());

    served.server.clear_log();
    let report = run(&job(), &["prepare", "--index", "--json"]);
    assert_eq!((statuses(&report), served.count(&index.path)), (vec!["cached"], 0));
    assert_eq!(report["indexes"][0]["cache"], "remote");
}

#[test]
fn an_older_larder_reads_the_records_of_a_cache_with_an_index() {
    let served = copy_of(Mirror::V3Signed);
    let project = served.project("");
    prepare_index(&project);
    let records = read_json(Path::new(&project.path(".larder/shared/larder.json")));
    let record = &records["blobs"][served.index(Mirror::V3Signed).digest.as_str()];
    assert_eq!(record["requests"], json!([]), "the field that it knows is there");
    assert_eq!(record["indexes"][0]["document"], V3_MANIFEST);
    assert_eq!(record["indexes"][0]["standing"], "newest");
}
