//! `larder init`: a first configuration.

use std::path::Path;

use clap::Args;
use larder::commands::{
    self, EnvironmentMirrors, FileOutcome, FoundEnvironment, InitOptions, Initialised, LockfileState, OpenPoint,
    TEMPLATE,
};
use larder::config::Config;
use larder::reporter::Level;
use larder::types::PlainHttp;

use crate::cli::configuration::{environments, protected};
use crate::cli::invocation::{Invocation, mode, print};
use crate::cli::outcome::{Failure, Outcome};

/// How many environments are told about one by one.
const MAX_LINES: usize = 20;

/// Write a first larder.yaml and the lines for the pipeline, from what is in this folder
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Looks for environments here and in folders below, hidden ones as well: spack.yaml, or, where there is none, other YAML files with \
`spack:` at their top. It goes 6 folders deep and looks into 20,000 at most. Mirrors are those of Spack's configuration. \
Writes larder.yaml, and .gitlab-ci.yml where there is none, for what the jobs will find: a lockfile or none, mirrors or none. \
Overwrites nothing. What it can't know is marked with `TODO(larder)`, and `larder init --check` lists what is still open.

Examples:
  larder init
  larder init --print
  larder init -e envs/app --mirror https://binaries.example.org/develop
  larder init --check")]
pub(crate) struct InitArgs {
    /// Print both on standard output, and write no file
    #[arg(long)]
    print: bool,
    /// List what is still open in larder.yaml and .gitlab-ci.yml; exit code 1 where something is
    #[arg(long, conflicts_with = "print")]
    check: bool,
}

impl InitArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let Invocation { global, here, variables, .. } = invocation;
        let file = here.join(global.config.as_deref().unwrap_or(Path::new("larder.yaml")));
        if self.check {
            return check(invocation, &file);
        }
        global.mirrors.iter().try_for_each(|url| protected(url, PlainHttp::LoopbackOnly))?;
        let options = InitOptions {
            signatures: global.signatures(),
            file,
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

fn check(invocation: &Invocation<'_>, file: &Path) -> Result<Outcome, Failure> {
    let open = commands::open_points(file)?;
    if open.is_empty() {
        invocation.reporter.note(Level::Info, "nothing is open");
        return Ok(Outcome::Done);
    }
    let lines: Vec<_> = open.iter().map(|point| point_line(point, &invocation.here) + "\n").collect();
    print(&lines.concat())?;
    Ok(Outcome::Found)
}

fn point_line(point: &OpenPoint, here: &Path) -> String {
    format!("{}:{}: {}", shown(&point.file, here), point.line, point.text)
}

fn shown(path: &Path, here: &Path) -> String {
    match path.strip_prefix(here) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => below.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

/// What was found, what was written, what was not, and what is left to do.
fn notes(made: &Initialised, here: &Path) -> Vec<String> {
    let mut notes = found(made, here);
    notes.extend(made.written.iter().map(|path| format!("wrote `{}`", shown(path, here))));
    if made.pipeline_file == FileOutcome::Kept {
        notes.push("there is a `.gitlab-ci.yml` already; add this to it:".to_owned());
    }
    if made.template_file == FileOutcome::Kept {
        notes.push(format!("there is a `{TEMPLATE}` already, and it is not the one of this larder; it stays as it is"));
    }
    if !made.open.is_empty() {
        notes.push("still open (`larder init --check` lists what is open in the files):".to_owned());
        let is_printed = made.pipeline_file != FileOutcome::Written;
        notes.extend(made.open.iter().map(|point| match point.file.file_name() {
            Some(name) if is_printed && name == ".gitlab-ci.yml" => format!("  {}", point.text),
            _ => format!("  {}", point_line(point, here)),
        }));
    }
    notes
}

/// What a job will not find as it should, each sentence once with the environments that it is about.
fn found(made: &Initialised, here: &Path) -> Vec<String> {
    let named = |is_one: &dyn Fn(&FoundEnvironment) -> bool| -> Vec<String> {
        let ones = made.environments.iter().filter(|environment| is_one(environment));
        ones.map(|environment| shown(&environment.path, here)).collect()
    };
    let skipped = made.skipped.iter().map(|skipped| format!("skipped: {}", skipped.reason));
    let mut notes: Vec<_> = skipped.take(MAX_LINES).collect();
    if made.skipped.len() > MAX_LINES {
        notes.push(format!("skipped: {} more", made.skipped.len() - MAX_LINES));
    }
    for environment in made.environments.iter().take(MAX_LINES) {
        if let Some(problem) = &environment.lockfile_problem {
            notes.push(format!("{problem}: no job can use it as it is"));
        }
        if let EnvironmentMirrors::Unknown(include) = &environment.mirrors {
            let path = shown(&environment.path, here);
            notes.push(format!(
                "`{path}` includes `{include}`, which is not on this machine: its mirrors are not known"
            ));
        }
    }
    let sentences = [
        (
            named(&|environment| environment.lockfile == LockfileState::Missing),
            "no lockfile: it is made in the job, by `larder run` or the template's `concretize: true`",
        ),
        (
            named(&|environment| environment.lockfile == LockfileState::Ignored),
            "git ignores the lockfile, so that no job finds it: it is made in the job; commit it to use this one",
        ),
        (
            named(&|environment| environment.lockfile == LockfileState::Untracked),
            "the lockfile is not in git yet: commit it with the rest",
        ),
        (
            named(&|environment| environment.mirrors == EnvironmentMirrors::None),
            "no mirror: larder can keep what the pipeline builds, see `collect: true` in larder.yaml",
        ),
    ];
    notes.extend(sentences.iter().filter_map(|(paths, sentence)| about(paths, sentence)));
    notes
}

fn about(paths: &[String], sentence: &str) -> Option<String> {
    let shown: Vec<_> = paths.iter().take(5).map(|path| format!("`{path}`")).collect();
    let more = if paths.len() > 5 { format!(" and {} more", paths.len() - 5) } else { String::new() };
    (!paths.is_empty()).then(|| format!("{}{more}: {sentence}", shown.join(", ")))
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
    use larder::commands::{Origin, Skipped};

    use super::*;

    fn made(pipeline_file: FileOutcome, template_file: FileOutcome) -> Initialised {
        Initialised {
            config: "environments: [.]\n".to_owned(),
            pipeline: "include: x\n".to_owned(),
            environments: Vec::new(),
            skipped: Vec::new(),
            open: Vec::new(),
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

    #[test]
    fn each_state_is_told_once_with_the_environments_that_it_is_about() {
        let mut all = made(FileOutcome::Written, FileOutcome::Written);
        let environment = |path: &str, lockfile, mirrors| FoundEnvironment {
            path: Path::new("/project").join(path),
            origin: Origin::Repository,
            lockfile,
            lockfile_problem: None,
            mirrors,
        };
        let elsewhere = EnvironmentMirrors::Unknown("/opt/site/mirrors.yaml".to_owned());
        all.environments = vec![
            environment("", LockfileState::Committed, EnvironmentMirrors::Named),
            environment("a", LockfileState::Untracked, elsewhere),
            environment("b", LockfileState::Ignored, EnvironmentMirrors::None),
        ];
        all.environments[1].lockfile_problem = Some("`a/spack.lock` has lockfile format 3".to_owned());
        let more = (1..=7).map(|n| environment(&format!("m{n}"), LockfileState::Missing, EnvironmentMirrors::Named));
        all.environments.extend(more);
        all.skipped = vec![Skipped { path: "/project/x".into(), reason: "`x/spack.yaml`, line 1: no".to_owned() }];
        all.open = vec![OpenPoint { file: "/project/larder.yaml".into(), line: 3, text: "decide".to_owned() }];
        insta::assert_snapshot!(notes(&all, Path::new("/project")).join("\n"), @"
        skipped: `x/spack.yaml`, line 1: no
        `a/spack.lock` has lockfile format 3: no job can use it as it is
        `a` includes `/opt/site/mirrors.yaml`, which is not on this machine: its mirrors are not known
        `m1`, `m2`, `m3`, `m4`, `m5` and 2 more: no lockfile: it is made in the job, by `larder run` or the template's `concretize: true`
        `b`: git ignores the lockfile, so that no job finds it: it is made in the job; commit it to use this one
        `a`: the lockfile is not in git yet: commit it with the rest
        `b`: no mirror: larder can keep what the pipeline builds, see `collect: true` in larder.yaml
        wrote `larder.yaml`
        still open (`larder init --check` lists what is open in the files):
          larder.yaml:3: decide
        ");
    }
}
