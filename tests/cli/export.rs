//! A folder for a site without a network: it holds what it says, works wherever it lies, and is made without harm.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rstest::rstest;
use serde_json::Value;

use crate::context::{NETWORK, Project, Run, names_with, total};
use crate::fixtures::{Mirror, copy_folder, published_in, read_json, sha256, walk};
use crate::server::{Fault, Server, Times};

const ALL: [Mirror; 4] = [Mirror::V3Signed, Mirror::V3Unsigned, Mirror::V2Signed, Mirror::V2Unsigned];

/// What a plain `spack install` wants: build dependencies too.
fn exported(mirror: Mirror) -> Vec<&'static str> {
    let mut names = mirror.needed().to_vec();
    names.push("codegen");
    names.sort_unstable();
    names
}

/// `larder export`, which must succeed; its report.
fn export(project: &Project, arguments: &[&str]) -> Value {
    project.larder(&[&["export", "../out", "--json"], arguments].concat()).report()
}

fn out(project: &Project) -> PathBuf {
    project.outside().join("out")
}

/// Run larder in an export, with nothing else of the machine.
fn larder_in(project: &Project, folder: &Path, arguments: &[&str]) -> Run {
    let child = project.command(arguments).current_dir(folder).spawn().unwrap();
    Run::wait(child, arguments)
}

/// Every file with its bytes, as a path in the folder. Fails for anything that is no regular file of its own.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    walk(folder, &mut |path| {
        assert!(!path.is_symlink(), "{} is a link", path.display());
        if path.is_file() {
            assert_eq!(fs::metadata(path).unwrap().nlink(), 1, "{} is a hard link", path.display());
            files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(path).unwrap());
        }
    });
    files
}

/// The mirror in an export holds these packages as the other mirror published them.
fn assert_published_as_in(mirror: Mirror, folder: &Path, names: &[&str]) {
    for name in names {
        let (original, copy) = (mirror.published(name), published_in(folder, name));
        let bytes = |root: &Path, path: &str| fs::read(root.join(&path[1..])).unwrap();
        let document = |root: &Path| bytes(root, &original.metadata);
        assert_eq!(document(&mirror.folder()), document(folder), "{name}: metadata is not byte for byte");
        assert_eq!(original.blobs, copy.blobs, "{name}");
        for blob in copy.blobs {
            assert_eq!(sha256(&bytes(folder, &blob.path)), blob.digest, "{name}");
        }
    }
}

/// The specs that the index of a mirror says it has.
fn indexed(folder: &Path) -> Vec<String> {
    let index = if folder.join("v3").exists() {
        let manifest = read_json(&folder.join("v3/manifests/index/index.manifest.json"));
        let digest = manifest["data"][0]["checksum"].as_str().unwrap().to_owned();
        read_json(&folder.join(format!("blobs/sha256/{}/{digest}", &digest[..2])))
    } else {
        read_json(&folder.join("build_cache/index.json"))
    };
    let installs = index["database"]["installs"].as_object().unwrap();
    let published = installs.values().filter(|entry| entry["in_buildcache"] == true);
    let mut names: Vec<_> = published.map(|entry| entry["spec"]["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_export_is_all_that_larder_needs_wherever_it_is_carried_with_the_server_gone() {
    for mirror in ALL {
        let (project, server) = Project::with_server(mirror);
        let report = export(&project, &["--require-all"]);
        assert_eq!(names_with(&report, "fetched"), exported(mirror), "{mirror:?}");
        server.stop();
        fs::remove_dir_all(project.root()).unwrap();
        fs::create_dir(project.root()).unwrap();
        let moved = project.outside().join("carried to/the other site");
        fs::create_dir_all(moved.parent().unwrap()).unwrap();
        fs::rename(out(&project), &moved).unwrap();

        assert_published_as_in(mirror, &moved.join("mirror"), &exported(mirror));
        assert_eq!(indexed(&moved.join("mirror")), exported(mirror));
        let signed = format!("signed: {}", mirror.is_signed());
        for file in ["larder.yaml", "spack/mirrors.yaml"] {
            let text = fs::read_to_string(moved.join(file)).unwrap();
            assert!(text.contains(&signed) && !text.contains(project.outside().to_str().unwrap()), "{text}");
        }
        let prepared = larder_in(&project, &moved, &["prepare", "--json", "--require-all"]).report();
        assert_eq!(names_with(&prepared, "fetched"), exported(mirror), "{mirror:?}");
        assert_eq!(prepared["warnings"], Value::Array(vec![]), "{mirror:?}");
    }
}

#[test]
fn environments_are_copied_byte_for_byte_and_everything_is_a_file_of_its_own() {
    let (project, _server) = Project::with_server(Mirror::V3Signed);
    project.write("other/spack.yaml", fs::read(project.path("spack.yaml")).unwrap());
    project.write("other/spack.lock", fs::read(project.path("spack.lock")).unwrap());
    project.write("more/other/spack.lock", fs::read(project.path("spack.lock")).unwrap());
    let report = export(&project, &["-e", ".", "-e", "other", "-e", "more/other/spack.lock"]);
    assert_eq!(report["export"]["environments"], serde_json::json!(["project", "other", "other-2"]));
    assert!(report["warnings"][0].as_str().unwrap().contains("no `spack.yaml` beside"), "{report:#}");
    let files = files(&out(&project));
    for (copy, original) in [
        ("project/spack.yaml", "spack.yaml"),
        ("project/spack.lock", "spack.lock"),
        ("other/spack.lock", "other/spack.lock"),
        ("other-2/spack.lock", "more/other/spack.lock"),
    ] {
        let copied = &files[&Path::new("environments").join(copy)];
        assert_eq!(*copied, fs::read(project.path(original)).unwrap(), "{copy}");
    }
    assert!(!files.keys().any(|path| path.starts_with(".larder-partial")), "nothing unfinished is left");
    larder_in(&project, &out(&project), &["plan", "--require-all"]).succeeds();
}

#[test]
fn the_keys_of_a_mirror_travel_with_it_whole() {
    let (project, _server) = Project::with_server(Mirror::V3Signed);
    let report = export(&project, &[]);
    let fingerprint = "937F2EBC11DEF221996D1B275B991DD117D848D9";
    assert_eq!(report["export"]["keys"], serde_json::json!([fingerprint]));
    let copy = out(&project).join("mirror");
    let keys = |root: &Path| -> Vec<Vec<u8>> {
        let folder = root.join("v3/manifests/key");
        let blob = |file: &str| {
            let manifest = read_json(&folder.join(file));
            let digest = manifest["data"][0]["checksum"].as_str().unwrap().to_owned();
            let bytes = fs::read(root.join(format!("blobs/sha256/{}/{digest}", &digest[..2]))).unwrap();
            assert_eq!(sha256(&bytes), digest);
            assert_eq!(manifest["data"][0]["contentLength"], bytes.len());
            bytes
        };
        vec![blob(&format!("{fingerprint}.key.manifest.json")), blob("keys.manifest.json")]
    };
    assert_eq!(keys(&copy), keys(&Mirror::V3Signed.folder()));
    assert!(fs::read_to_string(out(&project).join("README.txt")).unwrap().contains(fingerprint));

    let (project, _server) = Project::with_server(Mirror::V2Signed);
    export(&project, &[]);
    let (ours, theirs) =
        (out(&project).join("mirror/build_cache/_pgp"), Mirror::V2Signed.folder().join("build_cache/_pgp"));
    assert_eq!(files(&ours), files(&theirs));
}

#[test]
fn a_mirror_without_keys_is_no_error_and_one_with_wrong_keys_is_named() {
    let (project, server) = Project::with_server(Mirror::V3Signed);
    server.fault("/v3/manifests/key/**", Times::Always, Fault::Status(404, vec![]));
    let report = export(&project, &[]);
    assert_eq!(report["export"]["keys"], serde_json::json!([]));
    assert_eq!(report["warnings"], serde_json::json!([]));
    assert!(fs::read_to_string(out(&project).join("README.txt")).unwrap().contains("spack gpg trust"));

    server.heal();
    server.fault("/blobs/sha256/43/*", Times::Always, Fault::WrongByte);
    let report = export(&project, &[]);
    assert_eq!(report["export"]["keys"], serde_json::json!([]));
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("937F2EBC") && warning.contains("sha256"), "{warning}");

    server.heal();
    server.fault("/v3/manifests/key/**", Times::Always, Fault::Status(500, vec![]));
    project.larder(&["export", "../out"]).fails_saying(1, &["its public keys", "500"]);
}

/// A mirror with half of the specs, and one with the other half, of another kind.
fn mixed(layouts: &[(Mirror, &str)]) -> (Project, Vec<Server>) {
    let project = Project::new(layouts[0].0.environment());
    let mut yaml = format!("{NETWORK}mirrors:\n");
    let mut servers = Vec::new();
    for (mirror, lacks) in layouts {
        let server = Server::start(&mirror.folder());
        server.fault(lacks, Times::Always, Fault::Status(404, vec![]));
        let (name, url, signed) = (servers.len(), server.url(), mirror.is_signed());
        writeln!(yaml, "  - {{ name: m{name}, url: \"{url}\", signed: {signed} }}").unwrap();
        servers.push(server);
    }
    project.configure(&yaml);
    (project, servers)
}

#[test]
fn specs_with_and_without_signatures_get_mirrors_of_their_own() {
    for (signed, unsigned) in [(Mirror::V3Signed, Mirror::V3Unsigned), (Mirror::V2Signed, Mirror::V2Unsigned)] {
        let (project, servers) = mixed(&[(signed, "/**/*libmid*"), (unsigned, "/none")]);
        export(&project, &["--require-all"]);
        drop(servers);
        let folder = out(&project);
        let others: Vec<_> = exported(signed).into_iter().filter(|name| *name != "libmid").collect();
        assert_published_as_in(signed, &folder.join("mirror"), &others);
        assert_published_as_in(unsigned, &folder.join("mirror-unsigned"), &["libmid"]);
        assert_eq!(indexed(&folder.join("mirror-unsigned")), ["libmid"]);
        larder_in(&project, &folder, &["prepare", "--require-all"]).succeeds();
        let scope = fs::read_to_string(folder.join("spack/mirrors.yaml")).unwrap();
        assert!(scope.find("signed: true") < scope.find("signed: false"), "{scope}");
    }
}

#[test]
fn one_mirror_can_have_both_layouts() {
    let project = Project::new("v3/env-demo");
    let both = project.outside().join("both");
    copy_folder(&Mirror::V3Signed.folder(), &both);
    copy_folder(&Mirror::V2Signed.folder(), &both);
    let server = Server::start(&both);
    project.write("old/spack.lock", fs::read(crate::fixtures::fixture("v2/env-demo/spack.lock")).unwrap());
    project
        .configure(&format!("{NETWORK}environments: [., old]\nmirrors: [{{ name: m, url: \"{}\" }}]\n", server.url()));
    let report = export(&project, &["--require-all"]);
    server.stop();
    let keys = report["export"]["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "{report:#}");
    for file in ["mirror/v3/manifests/key/keys.manifest.json", "mirror/build_cache/_pgp/index.json"] {
        assert!(out(&project).join(file).is_file(), "{file}");
    }
    larder_in(&project, &out(&project), &["prepare", "--require-all"]).succeeds();
}

#[test]
fn a_second_export_fetches_and_changes_nothing_even_with_empty_caches() {
    for mirror in ALL {
        let (project, server) = Project::with_server(mirror);
        export(&project, &[]);
        let before = project.entries("../out");
        project.larder(&["clean"]).succeeds();
        server.clear_log();
        let report = export(&project, &[]);
        let binaries: Vec<_> = mirror.needed_paths();
        assert!(!server.log().iter().any(|request| binaries.contains(&request.path)), "{mirror:?}");
        assert_eq!(total(&report, "bytes_fetched"), 0);
        assert_eq!(
            (&report["export"]["added"], names_with(&report, "cached")),
            (&0.into(), exported(mirror).iter().map(ToString::to_string).collect())
        );
        assert_eq!(total(&report, "bytes_reused"), report["export"]["bytes"].as_u64().unwrap());
        let mut after = project.entries("../out");
        // The folder for unfinished files comes and goes.
        after.insert(PathBuf::from("."), before[Path::new(".")].clone());
        assert_eq!(after, before, "{mirror:?}");
    }
}

#[test]
fn a_second_export_adds_specs_and_environments_and_mends_what_is_broken() {
    let mirror = Mirror::V3Signed;
    let (project, _server) = Project::with_server(mirror);
    let report = export(&project, &["--spec", "app", "--build-deps", "none"]);
    let folder = out(&project);
    assert_eq!(indexed(&folder.join("mirror")), ["app", "libbase", "libmid"]);
    assert_eq!(report["export"]["blobs"], 6);
    let blob = folder.join("mirror").join(&mirror.published("libmid").blobs[0].path[1..]);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[10] ^= 1;
    fs::write(&blob, bytes).unwrap();

    project.write("other/spack.yaml", fs::read(project.path("spack.yaml")).unwrap());
    project.write("other/spack.lock", fs::read(project.path("spack.lock")).unwrap());
    let report = export(&project, &["-e", "other", "--spec", "libmid", "--spec", "rtdata", "--build-deps", "none"]);
    assert!(report["warnings"][0].as_str().unwrap().contains("bad copy of libmid"), "{report:#}");
    assert_eq!(indexed(&folder.join("mirror")), ["app", "libbase", "libmid", "rtdata"]);
    assert_published_as_in(mirror, &folder.join("mirror"), &["app", "libbase", "libmid", "rtdata"]);
    assert_eq!(report["export"]["environments"], serde_json::json!(["project", "other"]));
    let blobs = files(&folder.join("mirror/blobs")).len();
    // Binary and spec of each, the index, the key and the index of keys: an index that was replaced is gone.
    assert_eq!(blobs, 4 * 2 + 3);
}

#[test]
fn a_folder_of_somebody_else_is_refused_untouched_and_nobody_is_asked() {
    let (project, server) = Project::with_server(Mirror::V3Unsigned);
    fs::create_dir(out(&project)).unwrap();
    fs::write(out(&project).join("thesis.tex"), "x").unwrap();
    project.larder(&["export", "../out"]).fails_saying(2, &["larder-export.json", "hint", "not there yet"]);
    assert_eq!(files(&out(&project)).len(), 1);
    project.larder(&["export", "."]).fails_saying(2, &["larder did not export them"]);
    project.larder(&["export", "../out/thesis.tex"]).fails_saying(2, &["is not a folder"]);
    project.larder(&["export", ".larder/shared/x"]).fails_saying(2, &["which larder keeps itself"]);
    project.larder(&["export", ".larder/job/x"]).fails_saying(2, &["which larder keeps itself"]);
    assert_eq!(server.log().len(), 0);
}

#[test]
fn a_link_in_an_earlier_export_leads_nothing_out_of_it() {
    let (project, _server) = Project::with_server(Mirror::V3Unsigned);
    export(&project, &[]);
    let elsewhere = project.outside().join("elsewhere");
    fs::rename(out(&project).join("mirror"), &elsewhere).unwrap();
    fs::remove_dir_all(elsewhere.join("blobs")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, out(&project).join("mirror")).unwrap();
    project.larder(&["export", "../out"]).fails_saying(1, &["symbolic link"]);
    assert!(!elsewhere.join("blobs").exists());
}

#[test]
fn killed_at_every_request_in_turn_it_promises_nothing_that_is_not_there() {
    let mirror = Mirror::V3Signed;
    for answered in (0..21).step_by(3) {
        let (project, server) = Project::with_server(mirror);
        // Something is there already, so that a half-made update is seen too.
        export(&project, &["--spec", "rtdata", "--build-deps", "none"]);
        project.larder(&["clean"]).succeeds();
        server.clear_log();
        server.stall_after(answered);
        let mut child = project.command(&["export", "../out"]).spawn().unwrap();
        while server.log().len() <= answered {
            assert!(child.try_wait().unwrap().is_none(), "an export makes more than {answered} requests");
            std::thread::yield_now();
        }
        server.wait_until_stalled();
        child.kill().unwrap();
        child.wait().unwrap();
        let promised = indexed(&out(&project).join("mirror"));
        assert!(promised.contains(&"rtdata".to_owned()), "{promised:?}");
        for name in promised {
            assert_published_as_in(mirror, &out(&project).join("mirror"), &[&name]);
        }
        server.heal();
        export(&project, &["--require-all"]);
        assert_published_as_in(mirror, &out(&project).join("mirror"), &exported(mirror));
        assert!(!out(&project).join(".larder-partial").exists());
    }
}

#[rstest]
#[case::without_larder_yaml("larder.yaml")]
#[case::without_a_mark_but_with_unfinished_files("larder-export.json")]
fn an_export_that_was_killed_before_its_end_is_finished_by_the_next_run(#[case] missing: &str) {
    let (project, _server) = Project::with_server(Mirror::V2Signed);
    if missing == "larder-export.json" {
        fs::create_dir_all(out(&project).join(".larder-partial")).unwrap();
        fs::write(out(&project).join(".larder-partial/partial-x"), "x").unwrap();
    } else {
        export(&project, &[]);
        fs::remove_file(out(&project).join(missing)).unwrap();
    }
    export(&project, &[]);
    larder_in(&project, &out(&project), &["prepare", "--require-all"]).succeeds();
}

#[test]
fn what_no_mirror_has_is_named_and_require_all_fails_with_3() {
    let (project, _server) = Project::with_server(Mirror::V3Unsigned);
    project.use_environment("v3/env-partial");
    let run = project.larder(&["export", "../out", "--require-all"]).exits_with(3);
    let run = run.says(&["Spack has to build", "unbuilt@0.1", "holds 12 blobs", "README.txt"]);
    assert!(run.stdout.is_empty(), "{run}");
    let readme = fs::read_to_string(out(&project).join("README.txt")).unwrap();
    assert!(readme.contains("    unbuilt@0.1/"), "{readme}");
}

#[test]
fn what_does_not_travel_is_said_and_secrets_are_not_printed() {
    let (project, _server) = Project::with_server(Mirror::V3Unsigned);
    let yaml = "spack:\n  specs: [app, plotter]\n  view: false\n  include: [../site.yaml]\n  mirrors:\n    \
                private: { url: 's3://x', access_pair: [me, hunter2] }\n    other: https://me:hunter2@host/x\n";
    project.write("spack.yaml", yaml);
    let run = project.larder(&["export", "../out"]).succeeds();
    let run = run.says(&["has `include:`", "credentials of mirror `private`", "credentials of mirror `other`"]);
    assert!(!run.stderr.contains("hunter2"), "{run}");
}

#[test]
fn an_export_can_be_exported_again_by_the_other_site() {
    let (project, server) = Project::with_server(Mirror::V3Signed);
    export(&project, &[]);
    server.stop();
    larder_in(&project, &out(&project), &["export", "../again", "--require-all"]).succeeds();
    let (first, second) = (out(&project), project.outside().join("again"));
    assert_eq!(files(&first.join("mirror")), files(&second.join("mirror")));
    assert_eq!(files(&first.join("environments")), files(&second.join("environments")));
}
