//! The lines for `.gitlab-ci.yml`, for what the jobs will find: lockfiles or none, mirrors or none.

use std::collections::HashSet;
use std::path::Path;

use super::environment::{FoundEnvironment, Origin, has_no_mirror};
use super::mirrors::FoundMirror;
use super::open::MARKER;
use super::text::{Caches, comment, json, quoted, relative};

/// An address that does not exist: a job that uses it fails at once, and says why.
const IMAGE: &str = "registry.example.org/spack-with-larder:1";

/// What the jobs will find, and so what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// All lockfiles, and mirrors.
    LockfilesCommitted,
    /// Mirrors, and an environment without a lockfile.
    LockfilesMade,
    /// Mirrors, and an environment that the job's own script makes: there is nothing to do before it.
    InScript,
    /// No mirror: there is nothing to do before the job either, which keeps what it builds.
    NoMirror,
}

impl Shape {
    fn of(environments: &[FoundEnvironment], mirrors: &[FoundMirror]) -> Self {
        if has_no_mirror(environments, mirrors) {
            Self::NoMirror
        } else if environments.iter().any(|environment| environment.origin != Origin::Repository) {
            Self::InScript
        } else if environments.iter().any(|environment| !environment.lockfile.is_used()) {
            Self::LockfilesMade
        } else {
            Self::LockfilesCommitted
        }
    }

    /// Whether a job before all others fills the caches.
    fn has_warm_up(self) -> bool {
        matches!(self, Self::LockfilesCommitted | Self::LockfilesMade)
    }
}

/// The lines for `.gitlab-ci.yml`.
pub(super) fn pipeline(root: &Path, environments: &[FoundEnvironment], mirrors: &[FoundMirror]) -> String {
    let shape = Shape::of(environments, mirrors);
    let mark = MARKER.trim_start_matches("# ").trim_end_matches(':');
    let mut out = format!(
        "# larder keeps Spack's binaries between jobs; made by `larder init`.
# Lines with `{mark}` wait for you: `larder init --check` lists them.\n"
    );
    out.push_str(&mirrors_need(mirrors));
    out.push_str(&include(shape, Caches::of(mirrors)));
    out.push_str(&job(shape));
    let commands = environments.iter().flat_map(|environment| commands(root, shape, environment));
    out.extend(commands.map(|command| format!("    - {}\n", scalar(&command))));
    out
}

/// What only a person can give to the jobs, so that they reach the mirrors and trust them.
fn mirrors_need(mirrors: &[FoundMirror]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for mirror in mirrors {
        let name = comment(&mirror.name);
        let variables = match mirror.url.split("://").next() {
            _ if !mirror.variables.is_empty() => comment(&mirror.variables.join(" and ")),
            Some("s3") => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless the runner has a role,".to_owned(),
            _ => String::new(),
        };
        if !variables.is_empty() {
            lines.push(format!(
                "{MARKER} set {variables} for mirror `{name}` as protected and masked variables (Settings > CI/CD > Variables)"
            ));
        }
        if mirror.signed && mirror.is_readable {
            lines.push(format!(
                "{MARKER} have Spack in the jobs trust the signing key of mirror `{name}` (`spack gpg trust FILE`), else it builds all"
            ));
        }
    }
    let mut told = HashSet::new();
    lines.retain(|line| told.insert(line.clone()));
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn include(shape: Shape, caches: Caches) -> String {
    let what = match shape {
        Shape::LockfilesCommitted => format!(
            "      {MARKER} name an image with larder, or one with curl beside `download_url:`
      image: {IMAGE}\n"
        ),
        Shape::LockfilesMade => format!(
            "      # No lockfile is in the repository: the first job makes it, and hands it to the others.
      concretize: true
      {MARKER} name an image with Spack and larder, or one with Spack beside `download_url:`
      image: {IMAGE}\n"
        ),
        Shape::InScript => {
            "      # Before the script has made the environment, nothing can be downloaded: no job for that.
      warm_job: .larder-warm\n"
                .to_owned()
        }
        Shape::NoMirror => {
            "      # No environment names a mirror, so that nothing can be downloaded before the job: no job for that.
      warm_job: .larder-warm\n"
                .to_owned()
        }
    };
    let caches = match (shape, caches) {
        (Shape::NoMirror, _) => "built",
        (_, Caches::Shared) => "shared",
        (_, Caches::BranchAndShared) => "branch,shared",
    };
    format!(
        "\
include:
  # A copy of `ci-templates/larder.yml` of larder; use `project:` and `file:` where your GitLab has its repository.
  - local: ci-templates/larder.yml
    inputs:
      # Where no image has larder, the jobs download it:
      # download_url: https://…
      # download_sha256: …
{what}      # The folders of larder.yaml that GitLab is to keep.
      caches: {caches}
"
    )
}

fn job(shape: Shape) -> String {
    let extends = if shape.has_warm_up() { ".larder" } else { ".larder-run" };
    format!(
        "
install:
  extends: {extends}
  {MARKER} name an image with Spack and larder, or one with Spack beside `download_url:`; none for a shell runner
  image: {IMAGE}
  script:
"
    )
}

/// The commands that install an environment.
fn commands(root: &Path, shape: Shape, environment: &FoundEnvironment) -> Vec<String> {
    let path = relative(root, &environment.path);
    let folder = quoted(path.strip_suffix("/spack.lock").unwrap_or(&path));
    let install = match shape {
        Shape::LockfilesCommitted => format!("spack -C .larder/job/spack -e {folder} install"),
        _ => format!("larder run -- spack -e {folder} install"),
    };
    let make = match &environment.origin {
        Origin::File(file) => {
            let file = quoted(&relative(root, file));
            // A runner's folder may outlive the job, and `create` refuses what is there.
            Some(format!("test -e {folder}/spack.yaml || spack env create -d {folder} {file}"))
        }
        Origin::Repository | Origin::Script => None,
    };
    make.into_iter().chain([install]).collect()
}

/// A command as an item of a list. What begins with a letter and holds neither `: ` nor ` #` needs no quotes.
fn scalar(command: &str) -> String {
    let is_plain = !command.contains(": ") && !command.contains(" #");
    if is_plain { command.to_owned() } else { json(command) }
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;
    use crate::commands::init::environment::EnvironmentMirrors;
    use crate::commands::init::git::LockfileState;

    fn environment(path: &str, lockfile: LockfileState) -> FoundEnvironment {
        let mirrors = EnvironmentMirrors::None;
        let path = Path::new("/p").join(path);
        FoundEnvironment { path, origin: Origin::Repository, lockfile, lockfile_problem: None, mirrors }
    }

    fn written(environments: &[FoundEnvironment], mirrors: &[FoundMirror]) -> (String, Value, Vec<String>) {
        let text = pipeline(Path::new("/p"), environments, mirrors);
        let yaml: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(yaml["include"][0]["local"], "ci-templates/larder.yml");
        let script = yaml["install"]["script"].as_sequence().unwrap();
        let script = script.iter().map(|line| line.as_str().unwrap().to_owned()).collect();
        (text, yaml, script)
    }

    fn develop(signed: bool) -> FoundMirror {
        FoundMirror::new("develop", "https://h.example/develop", signed)
    }

    #[test]
    fn with_lockfiles_the_warm_up_job_fills_the_caches_and_each_environment_is_installed() {
        let committed = LockfileState::Committed;
        let environments = ["", "a: b's", "envs/x/spack.lock"].map(|path| environment(path, committed));
        let (_, yaml, script) = written(&environments, &[develop(false)]);
        assert_eq!(yaml["install"]["extends"], ".larder");
        assert_eq!(
            script,
            [
                "spack -C .larder/job/spack -e . install",
                r"spack -C .larder/job/spack -e 'a: b'\''s' install",
                "spack -C .larder/job/spack -e envs/x install",
            ]
        );
        assert!(yaml["include"][0]["inputs"]["warm_job"].is_null());
        assert!(yaml["include"][0]["inputs"]["concretize"].is_null());
    }

    #[test]
    fn without_a_lockfile_the_warm_up_job_makes_it_and_the_job_runs_whatever_it_finds() {
        for missing in [LockfileState::Missing, LockfileState::Ignored] {
            let environments = [environment("a", LockfileState::Committed), environment("b", missing)];
            let (_, yaml, script) = written(&environments, &[develop(false)]);
            assert_eq!(yaml["include"][0]["inputs"]["concretize"], true);
            assert_eq!(yaml["install"]["extends"], ".larder");
            assert_eq!(script, ["larder run -- spack -e a install", "larder run -- spack -e b install"]);
        }
    }

    #[test]
    fn without_a_mirror_the_job_keeps_what_it_builds_and_there_is_no_warm_up_job() {
        for lockfile in [LockfileState::Committed, LockfileState::Missing] {
            let (text, yaml, script) = written(&[environment("a", lockfile)], &[]);
            assert!(text.contains("\n      # No environment names a mirror, so that"), "{text}");
            assert_eq!(yaml["include"][0]["inputs"]["warm_job"], ".larder-warm");
            assert_eq!(yaml["include"][0]["inputs"]["caches"], "built");
            assert_eq!(yaml["install"]["extends"], ".larder-run");
            assert_eq!(script, ["larder run -- spack -e a install"]);
        }
    }

    #[test]
    fn an_environment_of_another_name_is_made_in_the_script() {
        let mut environment = environment(".larder/environments/ci", LockfileState::Missing);
        environment.origin = Origin::File("/p/.ci/spack gpu.yaml".into());
        environment.mirrors = EnvironmentMirrors::Named;
        let (_, yaml, script) = written(&[environment], &[develop(false)]);
        assert_eq!(yaml["include"][0]["inputs"]["warm_job"], ".larder-warm");
        assert_eq!(yaml["install"]["extends"], ".larder-run");
        assert_eq!(
            script,
            [
                "test -e .larder/environments/ci/spack.yaml || spack env create -d .larder/environments/ci '.ci/spack gpu.yaml'",
                "larder run -- spack -e .larder/environments/ci install",
            ]
        );
    }

    #[test]
    fn gitlab_keeps_the_branch_s_folder_where_the_configuration_has_one() {
        let temporary = FoundMirror::new("pr", "https://h.example/pr-17", false);
        let environments = [environment("", LockfileState::Committed)];
        for (mirrors, caches) in [(vec![develop(false)], "shared"), (vec![develop(false), temporary], "branch,shared")]
        {
            assert_eq!(written(&environments, &mirrors).1["include"][0]["inputs"]["caches"], caches);
        }
    }

    #[test]
    fn what_only_a_person_knows_is_marked() {
        let mut secret = FoundMirror::new("team\nx", "https://h.example/team", true);
        secret.variables = vec!["TEAM_USER".to_owned(), "TEAM_PASSWORD".to_owned()];
        let bucket = FoundMirror::new("bucket", "s3://ci-binaries/main", false);
        let (text, ..) = written(&[environment("", LockfileState::Committed)], &[secret, bucket]);
        let marked: Vec<_> = text.lines().filter(|line| line.contains(MARKER)).map(str::trim).collect();
        insta::assert_snapshot!(marked.join("\n"), @"
        # TODO(larder): set TEAM_USER and TEAM_PASSWORD for mirror `team x` as protected and masked variables (Settings > CI/CD > Variables)
        # TODO(larder): have Spack in the jobs trust the signing key of mirror `team x` (`spack gpg trust FILE`), else it builds all
        # TODO(larder): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless the runner has a role, for mirror `bucket` as protected and masked variables (Settings > CI/CD > Variables)
        # TODO(larder): name an image with larder, or one with curl beside `download_url:`
        # TODO(larder): name an image with Spack and larder, or one with Spack beside `download_url:`; none for a shell runner
        ");
    }
}
