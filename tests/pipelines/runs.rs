//! Pipelines that run, one after the other, with the caches that the ones before left.

use std::fs;

use crate::fixtures::{copy_folder, sha256};
use crate::project::Repository;
use crate::server::Server;
use crate::tools;

const INSTALL: &str = "
build:
  extends: .larder
  script:
    - test -f .larder/job/spack/mirrors.yaml
";

/// A cache of its own for the binaries of the mirror, as for those that belong to one branch.
const BRANCH_CACHE: &str = "caches:\n  - { name: branch, prefix: \"http://127.0.0.1:\", path: .larder/branch }\n";

#[test]
fn the_second_pipeline_downloads_metadata_only() {
    if !tools::can_run_pipelines() {
        return;
    }
    let repository = Repository::new("", INSTALL);
    repository.run().passes().says("6 fetched");
    let fetched = repository.mirror.blob_requests();
    assert!(!fetched.is_empty());
    let mut once = fetched.clone();
    once.dedup();
    assert_eq!(fetched, once, "the warm-up job fetches each blob, and no other job fetches it again");
    let saved = repository.saved("larder-shared", ".larder/shared");
    assert_eq!(saved.len(), fetched.len());

    repository.run().passes().says("6 reused, 0 fetched");
    assert_eq!(repository.mirror.blob_requests(), [""; 0]);
    assert!(repository.mirror.log().iter().any(|request| request.path.ends_with(".spec.manifest.json")));
    assert_eq!(repository.saved("larder-shared", ".larder/shared"), saved);
}

#[test]
fn a_job_with_its_own_before_script_refers_to_the_steps() {
    if !tools::can_run_pipelines() {
        return;
    }
    let jobs = "
whole:
  extends: .larder
  before_script:
    - echo before
    - !reference [.larder, before_script]
  script:
    - test -f .larder/job/spack/mirrors.yaml
steps:
  cache: !reference [.larder, cache]
  script:
    - !reference [.larder-install, script]
    - !reference [.larder-prepare, script]
    - test -f .larder/job/spack/mirrors.yaml
  after_script:
    - !reference [.larder-install, script]
    - !reference [.larder-finish, script]
    - echo 'finish is done'
";
    let repository = Repository::new("prepare_arguments: --spec app", jobs);
    repository
        .run()
        .passes()
        .says("whole       > before")
        .says("steps       > finish is done")
        .says("3 reused, 0 fetched");
}

#[test]
fn a_job_that_fails_still_saves_what_it_downloaded() {
    if !tools::can_run_pipelines() {
        return;
    }
    let jobs = "
build:
  extends: .larder-save
  script:
    - exit 7
";
    let repository = Repository::new("warm_job: .no-warm-up", jobs);
    repository.run().fails().says("6 fetched").says("larder finish");
    assert!(!repository.saved("larder-shared", ".larder/shared").is_empty());
    repository.run().fails().says("6 reused, 0 fetched");
    assert_eq!(repository.mirror.blob_requests(), [""; 0]);
}

#[test]
fn jobs_that_only_restore_leave_the_saved_cache_alone() {
    if !tools::can_run_pipelines() {
        return;
    }
    let repository = Repository::new("warm_job: .no-warm-up", INSTALL);
    repository.run().passes().says("6 fetched");
    assert!(!repository.cache("larder-shared").exists());
}

#[test]
fn each_branch_has_a_cache_and_can_start_from_the_default_branch_s() {
    if !tools::can_run_pipelines() {
        return;
    }
    let repository = Repository::new("", INSTALL);
    repository.configure(BRANCH_CACHE);
    repository.commit();
    repository.run().passes().says("6 fetched");
    let of_main = repository.saved("larder-branch-main", ".larder/branch");
    assert!(!of_main.is_empty());
    assert!(repository.saved("larder-shared", ".larder/shared").is_empty());

    repository.git(&["checkout", "-q", "-b", "Feature/One"]);
    // gitlab-ci-local ignores fallback_keys. GitLab would restore this key's archive under the branch's own.
    copy_folder(&repository.cache("larder-branch-main"), &repository.cache("larder-branch-feature-one"));
    repository.run().passes().says("6 reused, 0 fetched");
    assert_eq!(repository.mirror.blob_requests(), [""; 0]);

    repository.git(&["checkout", "-q", "-b", "Feature/Two"]);
    repository.run().passes().says("6 fetched");
    assert_eq!(repository.saved("larder-branch-feature-two", ".larder/branch"), of_main);
}

#[test]
fn the_program_is_downloaded_once_and_only_run_with_the_right_digest() {
    if !tools::can_run_pipelines() {
        return;
    }
    // A stand-in that tells apart the downloaded program and the one on the PATH.
    let downloads = tempfile::tempdir().unwrap();
    let program = format!("#!/bin/sh\necho downloaded larder\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_larder"));
    fs::write(downloads.path().join("larder"), &program).unwrap();
    let server = Server::start(downloads.path());
    let inputs = |digest: &str| format!("download_url: \"{}/larder\", download_sha256: \"{digest}\"", server.url());

    let repository = Repository::new(&inputs(&sha256(program.as_bytes())), "");
    repository.run().passes().says("downloaded larder").says("6 fetched");
    assert_eq!(server.count("/larder"), 1, "after_script takes what before_script downloaded");

    let repository = Repository::new(&inputs(&"0".repeat(64)), "");
    let pipeline = repository.run().fails().says("does not have the sha256").says(&sha256(program.as_bytes()));
    assert!(!pipeline.to_string().contains("downloaded larder"), "{pipeline}");
    assert_eq!(repository.mirror.blob_requests(), [""; 0]);
}

/// What GitLab's runner sends depends on its version and its store, unless the folder is not there.
#[test]
fn an_unchanged_cache_is_out_of_the_runner_s_sight_unless_the_input_says_never() {
    const ASIDE: &str = "it is out of the runner's sight";
    if !tools::can_run_pipelines() {
        return;
    }
    let repository = Repository::new("caches: shared", INSTALL);
    let first = repository.run().passes().says("6 fetched").to_string();
    assert!(!first.contains(ASIDE) && !first.contains("no matching files"), "{first}");
    let index = repository.cache("larder-shared").join(".larder/shared/larder.json");
    let saved: serde_json::Value = crate::fixtures::read_json(&index);
    assert_eq!(saved["saved_as"], "larder-shared", "the template tells the keys");
    let _ = repository.run().passes().says("6 reused, 0 fetched").says(ASIDE);

    let repository = Repository::new("caches: shared, set_aside: never", INSTALL);
    let _ = repository.run().passes().says("6 fetched");
    let second = repository.run().passes().says("6 reused, 0 fetched").to_string();
    assert!(!second.contains(ASIDE), "{second}");
}
