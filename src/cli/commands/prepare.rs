//! `larder prepare`: before the job.

use std::path::{Path, PathBuf};

use clap::Args;
use larder::commands::{self, HandedOver};
use larder::config::HandOver;

use crate::cli::hand_over::HandOverOptions;
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
  larder prepare --hand-over path  # then: . .larder/job/env.sh
  larder prepare --index        # before `spack concretize`, where there is no lockfile yet

Then install from the local mirror it made:
  spack -C .larder/job/spack -e . install --cache-only")]
pub(crate) struct PrepareArgs {
    #[command(flatten)]
    fill: FillOptions,
    #[command(flatten)]
    hand_over: HandOverOptions,
    /// Only the indexes of the mirrors, for `spack concretize` without downloading them; no lockfile is needed, and the next
    /// `prepare` replaces them by the binaries
    #[arg(long, conflicts_with_all = ["specs", "hashes", "build_deps", "installed", "require_all", "push", "concretize", "require_lockfile"])]
    index: bool,
}

impl PrepareArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.stoppable_session()?;
        if self.index {
            let prepared = block_on(commands::prepare_indexes(&session))?;
            let summary = needed::indexes(&prepared.report, invocation.console.err);
            let next = how_to_concretize(&prepared.scopes, &session.config.environments, &invocation.here);
            invocation.show_remarks(&prepared.report, &(summary + &next))?;
            return Ok(Outcome::Done);
        }
        let concretize = self.fill.concretize(&session.config, &invocation.here);
        let prepared = block_on(async {
            if let Some(options) = concretize {
                commands::concretize(&session, &options).await?;
            }
            Box::pin(commands::prepare(&session, &self.fill.wanted())).await
        })?;
        let mut summary = needed::summary(&prepared.report, invocation.console.err);
        let ways = self.hand_over.ways(&session.config, HandOver::Flag);
        let handed_over = commands::hand_over(&session, &ways, self.fill.spack(&invocation.here).as_deref())?;
        if !needed::is_unknown(&prepared.report) && ways.contains(&HandOver::Flag) {
            summary += &how_to_use(&prepared.scope, &session.config.environments, &invocation.here);
        }
        summary += &what_was_handed_over(&handed_over, &invocation.here);
        invocation.show_remarks(&prepared.report, &summary)?;
        Ok(self.fill.selection.outcome(&prepared.report))
    }
}

/// How to have Spack concretize with the indexes: a line for all environments, or one for each where their mirrors differ.
fn how_to_concretize(scopes: &[PathBuf], environments: &[PathBuf], here: &Path) -> String {
    let line = |scope: &Path, environment: &str| format!("spack -C {} -e {environment} concretize", shown(scope, here));
    let lines: Vec<String> = match (scopes, environments) {
        ([scope], [folder]) if folder.is_dir() => vec![line(scope, &shown(folder, here))],
        ([first, rest @ ..], _) if rest.iter().all(|scope| scope == first) => vec![line(first, "ENVIRONMENT")],
        _ => {
            let folder = |path: &Path| if path.is_dir() { shown(path, here) } else { "ENVIRONMENT".to_owned() };
            scopes.iter().zip(environments).map(|(scope, path)| line(scope, &folder(path))).collect()
        }
    };
    format!("now run: {}\nand then: larder prepare\n", lines.join("\n         "))
}

/// A path as it is typed here.
fn shown(path: &Path, here: &Path) -> String {
    match path.strip_prefix(here) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => printable(&inside.to_string_lossy()).into_owned(),
        Err(_) => printable(&path.to_string_lossy()).into_owned(),
    }
}

/// What to do for the programs to be called, and which files are changed for how long.
fn what_was_handed_over(handed_over: &HandedOver, here: &Path) -> String {
    let source = handed_over.to_source().map(|file| {
        let file = shown(&file, here);
        let inside = if file.starts_with('/') { file } else { format!("./{file}") };
        format!("now run: . {inside}  # then every spack of this shell, by name or by path, uses the job mirror\n")
    });
    let files = handed_over
        .files
        .iter()
        .map(|file| format!("`{}` names the job mirror until `larder finish`\n", shown(file, here)));
    source.into_iter().chain(files).collect()
}

/// How to have Spack use the job mirror, in one line that can be copied.
fn how_to_use(scope: &Path, environments: &[PathBuf], here: &Path) -> String {
    let environment = match environments {
        [folder] if folder.is_dir() => shown(folder, here),
        _ => "ENVIRONMENT".to_owned(),
    };
    format!("now run: spack -C {} -e {environment} install\n", shown(scope, here))
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
    #[test]
    fn environments_with_other_mirrors_get_a_line_each() {
        let project = tempfile::tempdir().unwrap();
        let here = project.path();
        let next = |scopes: &[&str], environments: &[PathBuf]| {
            let scopes: Vec<_> = scopes.iter().map(|scope| here.join(scope)).collect();
            how_to_concretize(&scopes, environments, here)
        };
        let [a, b] = ["a", "b"].map(|name| here.join(name));
        for folder in [&a, &b] {
            std::fs::create_dir(folder).unwrap();
        }
        insta::assert_snapshot!(next(&[".larder/job/spack"], std::slice::from_ref(&a)), @"
        now run: spack -C .larder/job/spack -e a concretize
        and then: larder prepare
        ");
        insta::assert_snapshot!(next(&["scope", "scope"], &[a.clone(), b.clone()]), @"
        now run: spack -C scope -e ENVIRONMENT concretize
        and then: larder prepare
        ");
        insta::assert_snapshot!(next(&["scope", "other"], &[a, b]), @"
        now run: spack -C scope -e a concretize
                 spack -C other -e b concretize
        and then: larder prepare
        ");
    }
}
