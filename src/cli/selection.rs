//! Which specs a command is about: the options that `plan`, `prepare`, `warm` and `export` share.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use larder::commands::{ConcretizeOptions, MissingLockfile, Push, Wanted};
use larder::config::{BuildDeps, Concretize, Config};
use larder::plan::Selection;
use larder::report::Report;
use larder::types::{HashPrefix, PackageName};

use super::outcome::Outcome;

/// Which specs are needed. Without any of these: all roots, or what the configuration's `jobs:` says for this job.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionOptions {
    /// Root or dependency by its package name; may be repeated [default: all roots]
    #[arg(long = "spec", value_name = "NAME")]
    specs: Vec<PackageName>,
    /// Spec by its DAG hash or the beginning of one, as in `/abcdefg`; may be repeated
    #[arg(long = "hash", value_name = "HASH")]
    hashes: Vec<HashPrefix>,
    /// Group of roots, as `spack.yaml` names it with `group:` (Spack 1.2 and later); may be repeated
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Build dependencies to provide: those of specs that must be built; all, for a plain `spack install`; or none
    /// [default: missing; for `run` and `export`, all]
    #[arg(
        long,
        value_name = "WHICH",
        value_parser = PossibleValuesParser::new(["missing", "all", "none"]).try_map(|text| text.parse::<BuildDeps>())
    )]
    build_deps: Option<BuildDeps>,
    /// Root of an install tree, whose specs are not needed again; may be repeated [default: the one that the
    /// environment's configuration names]
    #[arg(long = "installed", value_name = "ROOT")]
    installed: Vec<PathBuf>,
    /// Exit with 3 where something that is needed is in no mirror
    #[arg(long)]
    require_all: bool,
}

/// Options of the commands that fill caches: `prepare` and `warm`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FillOptions {
    #[command(flatten)]
    pub(crate) selection: SelectionOptions,
    /// Add what was fetched to the caches in object stores at once, not in `finish`; `warm` adds all that they lack
    #[arg(long)]
    push: bool,
    /// First have Spack make the lockfiles: `missing` (and outdated) ones, `always` or `never`
    /// [without WHEN: `concretize:` of larder.yaml, else missing]
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, value_parser = when())]
    #[expect(clippy::option_option, reason = "not given, given alone, given with WHEN")]
    concretize: Option<Option<Concretize>>,
    /// Fail where an environment has no lockfile
    #[arg(long)]
    require_lockfile: bool,
    /// The program `spack`, to concretize with [default: the one on the PATH, else `$SPACK_ROOT/bin/spack`]
    #[arg(long, value_name = "PATH")]
    spack: Option<PathBuf>,
}

fn when() -> impl TypedValueParser<Value = Concretize> {
    PossibleValuesParser::new(Concretize::NAMES.map(|(name, _)| name)).try_map(|text| text.parse::<Concretize>())
}

impl SelectionOptions {
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            selection: Selection {
                specs: self.specs.iter().map(ToString::to_string).collect(),
                hashes: self.hashes.clone(),
                groups: self.groups.clone(),
            },
            build_deps: self.build_deps,
            push: Push::AtFinish,
            install_trees: self.installed.clone(),
            missing_lockfile: MissingLockfile::Tell,
        }
    }

    /// The install trees that were named.
    pub(crate) fn installed(&self) -> &[PathBuf] {
        &self.installed
    }

    pub(crate) fn outcome(&self, report: &Report) -> Outcome {
        let incomplete = self.require_all && report.missing().next().is_some();
        if incomplete { Outcome::Incomplete } else { Outcome::Done }
    }
}

impl FillOptions {
    pub(crate) fn wanted(&self) -> Wanted {
        let push = if self.push { Push::Now } else { Push::AtFinish };
        let missing_lockfile = if self.require_lockfile { MissingLockfile::Refuse } else { MissingLockfile::Tell };
        Wanted { push, missing_lockfile, ..self.selection.wanted() }
    }

    /// When to have Spack concretize first: only where that was asked for.
    pub(crate) fn concretize(&self, config: &Config, here: &Path) -> Option<ConcretizeOptions> {
        self.concretize.is_some().then(|| self.concretize_anyway(config, here))
    }

    /// The same for a command that does so unless it is told otherwise.
    pub(crate) fn concretize_anyway(&self, config: &Config, here: &Path) -> ConcretizeOptions {
        let when = self.concretize.flatten().or(config.concretize).unwrap_or_default();
        ConcretizeOptions { when, spack: self.spack(here) }
    }

    /// The program that was named.
    pub(crate) fn spack(&self, here: &Path) -> Option<PathBuf> {
        self.spack.as_deref().map(|path| program_from(path, here))
    }
}

/// A relative program is one from here; a bare name is one on the PATH, as in a shell.
pub(crate) fn program_from(path: &Path, here: &Path) -> PathBuf {
    if path.components().count() == 1 { path.to_owned() } else { here.join(path) }
}
