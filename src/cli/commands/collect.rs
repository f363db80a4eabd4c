//! `larder collect`: push what this job built.

use std::path::{Path, PathBuf};

use clap::Args;
use larder::commands::{self, CollectOptions, Mode};
use larder::report::Report;

use crate::cli::invocation::{Invocation, block_on, mode};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::palette::{GOOD, PENDING, Palette};
use crate::cli::printable::printable;
use crate::cli::selection::program_from;
use crate::cli::units::{count, sized};

/// Push what this job built from source into a registry, a bucket, or a folder that GitLab caches
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Needs a mirror with `collect: true` in larder.yaml. Pushes only what `prepare` said that Spack has to build and what is \
installed by now, without its dependencies, and then makes room in the folder by its `keep:`. At the end of a job's `script` it may take its time; in `after_script`, \
`larder finish --collect` does the same within GitLab's five minutes.

Examples:
  larder collect
  larder collect --dry-run
  larder collect --spack /opt/spack/bin/spack --installed /opt/software")]
pub(crate) struct CollectArgs {
    /// Say what would be pushed, and push nothing
    #[arg(long)]
    dry_run: bool,
    /// The program `spack` [default: the one on the PATH, else `$SPACK_ROOT/bin/spack`]
    #[arg(long, value_name = "PATH")]
    spack: Option<PathBuf>,
    /// Root of the install tree that this job installed into; may be repeated [default: the one that the environment's
    /// configuration names]
    #[arg(long = "installed", value_name = "ROOT")]
    installed: Vec<PathBuf>,
}

impl CollectArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.stoppable_session()?;
        let mode = mode(self.dry_run);
        let options = options(self.spack.as_deref(), &self.installed, &invocation.here);
        let report = block_on(commands::collect(&session, &options, mode))?;
        invocation.show_remarks(&report, &render(&report, mode, invocation.console.err))
    }
}

/// What the command line says of Spack and of install trees.
pub(super) fn options(spack: Option<&Path>, installed: &[PathBuf], here: &Path) -> CollectOptions {
    let spack = spack.map(|path| program_from(path, here));
    CollectOptions { spack, install_trees: installed.to_vec(), patience: None }
}

pub(super) fn render(report: &Report, mode: Mode, palette: Palette) -> String {
    let specs = report.specs.len() as u64;
    let pushed: u64 = report.specs.iter().filter_map(|spec| spec.bytes).sum();
    let deed = match (specs, mode) {
        (0, _) => palette.paint(GOOD, "nothing to push, nothing changed"),
        (_, Mode::Act) => format!("pushed {}", sized(specs, "spec", pushed)),
        (_, Mode::Pretend) => palette.paint(PENDING, &format!("would push {}", count(specs, "spec"))),
    };
    let folders = report.caches.iter().map(|folder| {
        if let Some(url) = &folder.url {
            return format!("{}: {deed}; at {}\n", printable(&folder.name), printable(url));
        }
        let removed = match folder.removed {
            0 => String::new(),
            removed => format!("; removed {}", sized(removed, "blob", folder.removed_bytes)),
        };
        let state = sized(folder.blobs, "blob", folder.bytes);
        format!("{}: {deed}{removed}; it holds {state}\n", printable(&folder.name))
    });
    folders.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{GIB, MIB, cache, spec};
    use larder::report::Status;

    #[test]
    fn what_was_pushed_and_what_the_folder_holds_is_one_line() {
        let mut report = Report::new("collect");
        report.caches = vec![cache("built", 12, GIB)];
        let shown = |report: &Report, mode| render(report, mode, Palette::Plain);
        insta::assert_snapshot!(shown(&report, Mode::Act), @"built: nothing to push, nothing changed; it holds 12 blobs (1.0 GiB)");
        report.specs = vec![spec("app", "2.0", Status::Build, Some(8 * MIB)), spec("zlib", "1.3", Status::Build, None)];
        insta::assert_snapshot!(shown(&report, Mode::Pretend), @"built: would push 2 specs; it holds 12 blobs (1.0 GiB)");
        report.caches[0].removed = 1;
        report.caches[0].removed_bytes = MIB;
        insta::assert_snapshot!(shown(&report, Mode::Act), @"built: pushed 2 specs (8.0 MiB); removed 1 blob (1.0 MiB); it holds 12 blobs (1.0 GiB)");
    }

    #[test]
    fn a_bare_program_is_one_on_the_path() {
        let spack = |path| options(Some(Path::new(path)), &[], Path::new("/project")).spack.unwrap();
        assert_eq!(spack("spack"), Path::new("spack"));
        assert_eq!(spack("./spack"), Path::new("/project/./spack"));
        assert_eq!(spack("/opt/spack/bin/spack"), Path::new("/opt/spack/bin/spack"));
    }
}
