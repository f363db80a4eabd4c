//! `larder prepare`: before the job.

use std::path::{Path, PathBuf};

use clap::Args;
use larder::commands;

use crate::cli::invocation::{Invocation, block_on};
use crate::cli::needed;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::printable::printable;
use crate::cli::selection::FillOptions;

/// Before the job: check the caches, download what is missing, make the local mirror
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  larder prepare
  larder prepare --require-all  # fail where Spack would have to build
  larder prepare --concretize --spack /opt/spack/bin/spack
  larder prepare --spec app --installed /opt/spack

Then install from the local mirror it made:
  spack -C .larder/job/spack -e . install --cache-only")]
pub(crate) struct PrepareArgs {
    #[command(flatten)]
    fill: FillOptions,
}

impl PrepareArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.stoppable_session()?;
        let concretize = self.fill.concretize(&session.config, &invocation.here);
        let prepared = block_on(async {
            if let Some(options) = concretize {
                commands::concretize(&session, &options).await?;
            }
            commands::prepare(&session, &self.fill.wanted()).await
        })?;
        let mut summary = needed::summary(&prepared.report, invocation.console.err);
        if !needed::is_unknown(&prepared.report) {
            summary += &how_to_use(&prepared.scope, &session.config.environments, &invocation.here);
        }
        invocation.show_remarks(&prepared.report, &summary)?;
        Ok(self.fill.selection.outcome(&prepared.report))
    }
}

/// How to have Spack use the job mirror, in one line that can be copied.
fn how_to_use(scope: &Path, environments: &[PathBuf], here: &Path) -> String {
    let shown = |path: &Path| match path.strip_prefix(here) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => printable(&inside.to_string_lossy()).into_owned(),
        Err(_) => printable(&path.to_string_lossy()).into_owned(),
    };
    let environment = match environments {
        [folder] if folder.is_dir() => shown(folder),
        _ => "ENVIRONMENT".to_owned(),
    };
    format!("now run: spack -C {} -e {environment} install\n", shown(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_names_the_one_environment_or_leaves_a_gap() {
        let project = tempfile::tempdir().unwrap();
        let here = project.path();
        let next = |environments: &[PathBuf]| how_to_use(&here.join(".larder/job/spack"), environments, here);
        assert_eq!(next(&[here.to_owned()]), "now run: spack -C .larder/job/spack -e . install\n");
        let gap = "now run: spack -C .larder/job/spack -e ENVIRONMENT install\n";
        assert_eq!(next(&[here.join("spack.lock")]), gap);
        assert_eq!(next(&[here.to_owned(), here.to_owned()]), gap);
        assert_eq!(
            how_to_use(Path::new("/elsewhere\u{7}"), &[], here),
            "now run: spack -C /elsewhere\\u{7} -e ENVIRONMENT install\n"
        );
    }
}
