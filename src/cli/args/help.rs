//! The texts around the options in `--help`, with the examples at its end. A test parses every example.
//!
//! They stand here and not in doc comments: a second paragraph there would make clap spread each option over four lines.

pub const ABOUT: &str = "\
Keep Spack binaries between GitLab CI jobs

Reads the lockfile of a Spack environment, works out which binaries the job needs, checks those that \
GitLab restored byte for byte, downloads only what is missing, and hands Spack a local mirror. After the \
job it prunes its caches and leaves them so that the runner uploads only what changed.";

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

pub const INIT: &str = "\
Looks for spack.yaml here and in folders below, and for the mirrors of Spack's configuration. Writes larder.yaml, and \
.gitlab-ci.yml where there is none; overwrites nothing.

Examples:
  larder init
  larder init --print
  larder init -e envs/app --mirror https://binaries.example.org/develop";

pub const PREPARE: &str = "\
Examples:
  larder prepare
  larder prepare --require-all  # fail where Spack would have to build
  larder prepare --spec app --installed /opt/spack

Then install from the local mirror it made:
  spack -C .larder/job/spack -e . install --cache-only";

pub const FINISH: &str = "\
What this job used stays in any case. Safe to run without `prepare`, after a failed job, and twice.

Examples:
  larder finish
  larder finish --dry-run
  larder finish --collect  # in after_script of a job that builds
  larder finish --cache shared";

pub const COLLECT: &str = "\
Needs a mirror with `collect: true` in larder.yaml. Pushes only what `prepare` said that Spack has to build and what is \
installed by now, without its dependencies, and then makes room in the folder by its `keep:`. At the end of a job's `script` it may take its time; in `after_script`, \
`larder finish --collect` does the same within GitLab's five minutes.

Examples:
  larder collect
  larder collect --dry-run
  larder collect --spack /opt/spack/bin/spack --installed /opt/software";

pub const WARM: &str = "\
Downloads and checks as `prepare` does, but makes no local mirror.

Examples:
  larder warm
  larder warm -e envs/app -e envs/docs --build-deps all
  larder warm --cache shared --mirror https://binaries.example.org/develop";

pub const EXPORT: &str = "\
Without `--build-deps`, and where larder.yaml says nothing, all build dependencies go along, as a plain `spack install` wants them. \
The folder has a README.txt for the other site.

Examples:
  larder export /mnt/stick/app
  larder export out -e envs/app -e envs/docs --require-all
  larder export out --spec app --build-deps none";

pub const VERIFY: &str = "\
Exits with 1 where a blob is corrupt.

Examples:
  larder verify
  larder verify --cache shared --delete";

pub const LIST: &str = "\
Examples:
  larder list
  larder list --sort size
  larder list --cache shared --json";

pub const PRUNE: &str = "\
Safe while jobs read and write: what is younger than a day stays.

Examples:
  larder prune --dry-run
  larder prune --cache team --max-age 30d --max-size 500GiB";

pub const CLEAN: &str = "\
Touches only folders that larder made.

Examples:
  larder clean --dry-run
  larder clean --cache branch";

pub const PACK: &str = "\
Paths in the archive are relative to the project folder; the same caches give the same bytes.

Examples:
  larder pack -o cache.zip
  larder pack shared -o /mnt/stick/cache.zip --force";

pub const UNPACK: &str = "\
Nothing is written unless the whole archive is right, and nothing outside the configured caches.

Examples:
  larder unpack cache.zip
  larder unpack cache.zip --dry-run  # what is in it?
  larder unpack cache.zip --cache shared";
