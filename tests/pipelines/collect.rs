//! What a pipeline builds is in the next pipeline of its branch.

use std::fs;

use crate::fixtures::Mirror;
use crate::project::Repository;
use crate::server::{Fault, Times};
use crate::tools;

/// Installs as Spack would: what the local mirror lacks is built, and the install tree says so. It lies where
/// `gitlab-ci-local` lets things be until `after_script`.
const JOB: &str = r#"
build:
  extends: .larder-collect
  script:
    - mkdir -p .larder/opt/.spack-db .larder/opt/app/.spack
    - >-
      if ls .larder/job/mirror/v3/manifests/spec/app; then echo 'app is there'; touch .larder/opt/app/.spack/binary_distribution;
      else echo 'building app'; fi
    - echo "{\"database\":{\"installs\":{\"@hash@\":{\"installed\":true,\"path\":\"$CI_PROJECT_DIR/.larder/opt/app\"}}}}" > .larder/opt/.spack-db/index.json
test:
  stage: deploy
  extends: .larder-built
  script:
    - ls .larder/job/mirror/v3/manifests/spec/app && echo 'app is here as well'
"#;

/// A stand-in for Spack that pushes what real Spack once pushed of `app`.
const SPACK: &str = r#"#!/bin/sh
for argument in "$@"; do
  case $argument in file://*) target=${argument#file://} ;; esac
done
cd '@mirror@'
cp -r blobs "$target/" && cp --parents '@metadata@' "$target/"
"#;

#[test]
fn what_one_pipeline_builds_the_next_one_and_later_jobs_install() {
    if !tools::can_run_pipelines() {
        return;
    }
    let app = Mirror::V3Unsigned.published("app");
    let inputs = "collect_arguments: --spack ./spack --installed .larder/opt";
    let repository = Repository::new(inputs, &JOB.replace("@hash@", &app.hash));
    let program = repository.path("spack");
    let script = SPACK.replace("@mirror@", Mirror::V3Unsigned.folder().to_str().unwrap());
    fs::write(&program, script.replace("@metadata@", &app.metadata[1..])).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = fs::read_to_string(repository.path("larder.yaml")).unwrap();
    let entry = "  - { path: .larder/built, collect: true }\n";
    fs::write(repository.path("larder.yaml"), config + entry).unwrap();
    repository.commit();
    let missing = || repository.mirror.fault(&app.metadata, Times::Always, Fault::Status(404, Vec::new()));

    missing();
    let pipeline = repository.run().passes().says("> building app").says("app is here as well");
    let _ = pipeline.says("pushing 1 spec (app@3.1.4/").says("1 spec of these: built here before, from mirror `built`");
    let saved = repository.saved("larder-built-main", ".larder/built");
    assert_eq!(saved.len(), app.blobs.len(), "{saved:?}");

    missing();
    let pipeline = repository.run().passes().says("> app is there").says("this job built nothing that `built` lacks");
    assert!(!pipeline.to_string().contains("> building app"), "{pipeline}");
    assert_eq!(repository.saved("larder-built-main", ".larder/built"), saved);
}
