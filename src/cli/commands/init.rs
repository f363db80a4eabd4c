//! `larder init`: a first configuration.

use std::path::Path;

use clap::Args;
use larder::commands::{self, FileOutcome, InitOptions, Initialised, TEMPLATE};
use larder::config::Config;
use larder::reporter::Level;
use larder::types::PlainHttp;

use crate::cli::configuration::{environments, protected};
use crate::cli::invocation::{Invocation, mode, print};
use crate::cli::outcome::{Failure, Outcome};

/// Write a first larder.yaml and the lines for the pipeline, from what is in this folder
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Looks for spack.yaml here and in folders below, and for the mirrors of Spack's configuration. Writes larder.yaml, and \
.gitlab-ci.yml where there is none; overwrites nothing.

Examples:
  larder init
  larder init --print
  larder init -e envs/app --mirror https://binaries.example.org/develop")]
pub(crate) struct InitArgs {
    /// Print both on standard output, and write no file
    #[arg(long)]
    print: bool,
}

impl InitArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let Invocation { global, here, variables, .. } = invocation;
        global.mirrors.iter().try_for_each(|url| protected(url, PlainHttp::LoopbackOnly))?;
        let options = InitOptions {
            signatures: global.signatures(),
            file: here.join(global.config.as_deref().unwrap_or(Path::new("larder.yaml"))),
            environments: environments(global, here, variables),
            mirrors: global.mirrors.iter().map(ToString::to_string).collect(),
            mode: mode(self.print),
        };
        let made = commands::init(&invocation.session(Config::without_file(here)), &options)?;
        for line in notes(&made, here) {
            invocation.reporter.note(Level::Info, &line);
        }
        print(&result(&made))
    }
}

/// What was written, and what was not.
fn notes(made: &Initialised, here: &Path) -> Vec<String> {
    let named = |path: &Path| path.strip_prefix(here).unwrap_or(path).display().to_string();
    let mut notes: Vec<_> = made.written.iter().map(|path| format!("wrote `{}`", named(path))).collect();
    if made.pipeline_file == FileOutcome::Kept {
        notes.push("there is a `.gitlab-ci.yml` already; add this to it:".to_owned());
    }
    if made.template_file == FileOutcome::Kept {
        notes.push(format!("there is a `{TEMPLATE}` already, and it is not the one of this larder; it stays as it is"));
    }
    notes
}

/// What is in no file.
fn result(made: &Initialised) -> String {
    match made.pipeline_file {
        FileOutcome::Printed => format!("# larder.yaml\n{}\n# .gitlab-ci.yml\n{}", made.config, made.pipeline),
        FileOutcome::Kept => made.pipeline.clone(),
        FileOutcome::Written | FileOutcome::Same => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pipeline_file: FileOutcome, template_file: FileOutcome) -> Initialised {
        Initialised {
            config: "environments: [.]\n".to_owned(),
            pipeline: "include: x\n".to_owned(),
            written: vec!["/project/larder.yaml".into()],
            pipeline_file,
            template_file,
        }
    }

    #[test]
    fn what_was_written_is_named_and_what_was_not_is_printed() {
        let here = Path::new("/project");
        let new = made(FileOutcome::Written, FileOutcome::Written);
        assert_eq!((notes(&new, here), result(&new)), (vec!["wrote `larder.yaml`".to_owned()], String::new()));
        let kept = made(FileOutcome::Kept, FileOutcome::Kept);
        insta::assert_snapshot!(notes(&kept, here).join("\n"), @"
        wrote `larder.yaml`
        there is a `.gitlab-ci.yml` already; add this to it:
        there is a `ci-templates/larder.yml` already, and it is not the one of this larder; it stays as it is
        ");
        assert_eq!(result(&kept), "include: x\n");
        let printed = made(FileOutcome::Printed, FileOutcome::Printed);
        insta::assert_snapshot!(result(&printed), @"
        # larder.yaml
        environments: [.]

        # .gitlab-ci.yml
        include: x
        ");
    }
}
