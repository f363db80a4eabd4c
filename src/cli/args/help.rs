//! The examples at the end of each command's `--help`. A test parses every line that starts with `larder`.

pub const LARDER: &str = "\
Examples:
  larder prepare   # in before_script: check caches, fetch what is missing
  spack -C .larder/job/spack -e . install --cache-only
  larder finish    # in after_script: prune the caches

Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 done, but something is in no mirror (--require-all)";

pub const PLAN: &str = "\
Examples:
  larder plan
  larder plan -e envs/app --mirror https://binaries.example.org/develop
  larder plan --spec hdf5 --build-deps all --json";

pub const PREPARE: &str = "\
Examples:
  larder prepare
  larder prepare --require-all  # fail where Spack would have to build
  larder prepare --spec app --installed /opt/spack

Then install from the local mirror it made:
  spack -C .larder/job/spack -e . install --cache-only";

pub const FINISH: &str = "\
Examples:
  larder finish
  larder finish --dry-run
  larder finish --cache shared";

pub const WARM: &str = "\
Examples:
  larder warm
  larder warm -e envs/app -e envs/docs --build-deps all
  larder warm --cache shared --mirror https://binaries.example.org/develop";

pub const VERIFY: &str = "\
Examples:
  larder verify
  larder verify --cache shared --delete";

pub const LIST: &str = "\
Examples:
  larder list
  larder list --sort size
  larder list --cache shared --json";

pub const CLEAN: &str = "\
Examples:
  larder clean --dry-run
  larder clean --cache branch";
