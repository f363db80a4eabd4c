//! Which specs a command is about: the options that `plan`, `prepare`, `warm` and `export` share.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use larder::commands::{Push, Wanted};
use larder::config::BuildDeps;
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
    /// [default: missing]
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
        }
    }

    pub(crate) fn outcome(&self, report: &Report) -> Outcome {
        let incomplete = self.require_all && report.missing().next().is_some();
        if incomplete { Outcome::Incomplete } else { Outcome::Done }
    }
}

impl FillOptions {
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { push: if self.push { Push::Now } else { Push::AtFinish }, ..self.selection.wanted() }
    }
}
