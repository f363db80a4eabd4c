//! Repositories that commit no lockfile and name no mirror, as most do, with real Spack: what one pipeline built, the next one
//! installs.

use std::fs;

use crate::project::{Pipeline, Repository};
use crate::spack::Spack;
use crate::tools;

/// The install tree lies in the environment: each job has an empty one, and larder reads where it is.
const ENVIRONMENT: &str = "spack:
  specs: [app, plotter]
  view: false
  config:
    install_tree:
      root: $env/.larder/opt
";

/// A mirror that collects, and no other.
const COLLECTS: &str = "mirrors:
  - { name: built, path: .larder/built, collect: true }
";

/// What Spack says of each package that it builds.
const BUILDING: &str = "Executing phase";

/// All that a plain `spack install` installs: what `app` and `plotter` need to run, and what `app` needs to be built.
const PACKAGES: [&str; 6] = ["app", "codegen", "libbase", "libmid", "plotter", "rtdata"];

fn repository(spack: &Spack, inputs: &str, jobs: &str) -> Repository {
    let repository = Repository::new(inputs, jobs);
    fs::remove_file(repository.path("spack.lock")).unwrap();
    repository.write("spack.yaml", ENVIRONMENT);
    repository.write("larder.yaml", COLLECTS);
    repository.program("spack", &spack.script(&repository.path("../calls")));
    repository.commit();
    repository
}

#[track_caller]
fn builds(pipeline: &Pipeline, packages: &[&str]) {
    let log = pipeline.to_string();
    let mut built: Vec<_> = log.lines().filter(|line| line.contains(BUILDING)).collect();
    built.sort_unstable();
    built.dedup();
    assert_eq!(built.len(), packages.len(), "{built:?}\n{log}");
    for package in packages {
        assert!(log.contains(&format!("{package}: {BUILDING}")), "{package} is not built:\n{log}");
    }
}

#[test]
fn the_warm_up_job_makes_the_lockfile_and_the_second_pipeline_builds_nothing() {
    if !tools::can_run_pipelines() {
        return;
    }
    let jobs = "
build:
  extends: .larder-collect
  script:
    - spack -C .larder/job/spack -e . install
depfile:
  stage: deploy
  extends: .larder-built
  script:
    - spack -e . env depfile --make-prefix made -o Makefile
    - make -j2 SPACK=\"spack -C $PWD/.larder/job/spack\"
";
    for spack in Spack::all() {
        let inputs = "concretize: true, caches: built, reports: false, prepare_arguments: --build-deps all";
        let repository = repository(&spack, inputs, jobs);
        let first = repository.run().passes().says("it has no lockfile yet");
        builds(&first, &PACKAGES);
        assert!(!first.to_string().contains("no matching files"), "{first}");

        let second = repository.run().passes().says("from binary cache");
        builds(&second, &[]);
        let calls = fs::read_to_string(repository.path("../calls")).unwrap();
        let concretized: Vec<_> = calls.lines().filter(|call| call.contains("concretize")).collect();
        assert_eq!(concretized.len(), 2, "once in each pipeline: {calls}");
        assert!(concretized.iter().all(|call| call.starts_with("larder-warm: ")), "{calls}");
    }
}
