//! Repositories that commit no lockfile and name no mirror, as most do, with real Spack: what one pipeline built, the next one
//! installs.

use std::fs;
use std::path::Path;

use crate::fixtures::{Mirror, read_json};
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

/// The template for a pipeline whose one job does it all by `larder run`.
const RUN: &str = "warm_job: .no-warm-up, caches: built, reports: false";

/// A repository whose jobs call this Spack by `name`.
fn repository(spack: &Spack, name: &str, inputs: &str, jobs: &str) -> Repository {
    let repository = Repository::new(inputs, jobs);
    fs::remove_file(repository.path("spack.lock")).unwrap();
    repository.write("spack.yaml", ENVIRONMENT);
    repository.write("larder.yaml", COLLECTS);
    repository.program(name, &spack.script(&repository.path("../calls")));
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
        let repository = repository(&spack, "spack", inputs, jobs);
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

#[test]
fn one_job_that_runs_spack_builds_once() {
    if !tools::can_run_pipelines() {
        return;
    }
    let jobs = "
build:
  extends: .larder-run
  script:
    - larder run -- spack -e . install
";
    for spack in Spack::all() {
        let repository = repository(&spack, "spack", RUN, jobs);
        builds(&repository.run().passes(), &PACKAGES);
        builds(&repository.run().passes().says("from binary cache"), &[]);
    }
}

/// As `docs/recipes/depfile.md` has it.
#[test]
fn make_with_the_file_of_spack_env_depfile_builds_once() {
    if !tools::can_run_pipelines() {
        return;
    }
    let jobs = "
build:
  extends: .larder-run
  script:
    - larder run -- make -f install.mk -j2
";
    let makefile = "SPACK ?= spack

all: spack.mk
\t$(MAKE) -f spack.mk SPACK=\"$(SPACK)\"

spack.mk: spack.lock
\t$(SPACK) -e . env depfile --make-prefix .spack-make --output $@
";
    for spack in Spack::all() {
        let repository = repository(&spack, "spack", RUN, jobs);
        repository.write("install.mk", makefile);
        repository.commit();
        builds(&repository.run().passes(), &PACKAGES);
        builds(&repository.run().passes().says("from binary cache"), &[]);
    }
}

/// As uberenv does it: a Spack of its own that is called by its path, and an environment outside of the project.
#[test]
fn a_script_that_brings_its_own_spack_and_environment_builds_once() {
    if !tools::can_run_pipelines() {
        return;
    }
    let script = "#!/bin/sh
set -e
spack=$PREFIX/spack/bin/spack
case $1 in
setup)
  rm -rf \"$PREFIX/spack\" \"$PREFIX/spack_env\"
  mkdir -p \"$PREFIX/spack/bin\"
  printf '#!/bin/sh\\nexec spack-of-the-image \"$@\"\\n' > \"$spack\"
  chmod +x \"$spack\"
  \"$spack\" env create -d \"$PREFIX/spack_env\" spack.yaml
  ;;
install) \"$spack\" -D \"$PREFIX/spack_env\" install ;;
esac
";
    for spack in Spack::all() {
        let shared_memory = Path::new("/dev/shm");
        let prefix =
            if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() }.unwrap();
        let prefix = prefix.path().display();
        let inputs = format!("{RUN}, environments: $PREFIX/spack_env");
        let jobs = format!(
            "
build:
  extends: .larder-run
  variables: {{ PREFIX: \"{prefix}\" }}
  script:
    - sh scripts/uberenv setup
    - larder run --hand-over environment -e $PREFIX/spack_env --spack $PREFIX/spack/bin/spack -- sh scripts/uberenv install
"
        );
        let repository = repository(&spack, "spack-of-the-image", &inputs, &jobs);
        repository.write("scripts/uberenv", script);
        repository.commit();
        builds(&repository.run().passes(), &PACKAGES);
        builds(&repository.run().passes().says("from binary cache"), &[]);
        let environment = fs::read_to_string(Path::new(&prefix.to_string()).join("spack_env/spack.yaml")).unwrap();
        assert!(!environment.contains(".larder/job"), "what was handed over is taken back: {environment}");
    }
}

#[test]
fn a_child_pipeline_builds_once() {
    if !tools::can_run_pipelines() {
        return;
    }
    let jobs = "
build:
  extends: .larder-collect
  script:
    - spack -C .larder/job/spack -e . install
";
    for spack in Spack::all() {
        let inputs = "concretize: true, caches: built, reports: false, prepare_arguments: --build-deps all";
        let repository = repository(&spack, "spack", inputs, jobs);
        fs::rename(repository.path(".gitlab-ci.yml"), repository.path("child.yml")).unwrap();
        let parent = "install:\n  trigger: { include: [{ local: child.yml }], strategy: depend }\n";
        repository.write(".gitlab-ci.yml", parent);
        repository.commit();
        builds(&repository.run().passes().says("it has no lockfile yet"), &PACKAGES);
        builds(&repository.run().passes().says("from binary cache"), &[]);
    }
}

#[test]
fn with_a_mirror_the_second_pipeline_downloads_neither_index_nor_binaries() {
    if !tools::can_run_pipelines() {
        return;
    }
    let jobs = "
build:
  extends: .larder-run
  script:
    - larder run -- spack -e . install
";
    for spack in Spack::all().into_iter().filter(Spack::is_new) {
        let inputs = "warm_job: .no-warm-up, caches: \"shared,built\", reports: false";
        let repository = repository(&spack, "spack", inputs, jobs);
        repository.configure("  - { name: built, path: .larder/built, collect: true }\n");
        repository.commit();
        repository.run().passes();
        let manifest = Mirror::V3Unsigned.folder().join("v3/manifests/index/index.manifest.json");
        let index = read_json(&manifest)["data"][0]["checksum"].as_str().unwrap().to_owned();
        assert!(repository.mirror.blob_requests().iter().any(|path| path.ends_with(&index)));
        builds(&repository.run().passes().says("from binary cache"), &[]);
        assert_eq!(repository.mirror.blob_requests(), [""; 0], "an index is a blob as well");
        assert!(repository.mirror.log().iter().any(|request| request.path.ends_with("index.manifest.json")));
    }
}
