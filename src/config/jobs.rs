//! `jobs:`: what the jobs of a pipeline need.

use globset::Glob;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::build_deps::BuildDeps;
use super::text::{Line, OneOrMany, from_text, glob, not, text_types};
use crate::types::HashPrefix;
use crate::yaml::{Problem, Result};

/// What the jobs with certain names need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRule {
    /// Which jobs: a glob over `CI_JOB_NAME`. Its `*` matches any characters, `/` and spaces included.
    pub pattern: Glob,
    /// The names of the specs that the job needs. Nothing here, in `hashes` and in `groups`: all roots.
    pub specs: Vec<String>,
    /// The DAG hashes, or their beginnings, of specs that the job needs.
    pub hashes: Vec<HashPrefix>,
    /// The groups whose roots the job needs.
    pub groups: Vec<String>,
    /// Which build dependencies, if it says so.
    pub build_deps: Option<BuildDeps>,
}

impl JobRule {
    /// Whether the rule is about this job.
    ///
    /// A pattern always matches the job that is named just like it: GitLab names the jobs of a matrix `deploy: [aws, eu]`,
    /// which as a glob would stand for one of the characters in the brackets.
    pub fn matches(&self, ci_job_name: &str) -> bool {
        self.pattern.glob() == ci_job_name || self.pattern.compile_matcher().is_match(ci_job_name)
    }

    /// The rules in the order of the file, since the first pattern that matches counts.
    pub(super) fn read_all(jobs: IndexMap<JobPattern, Option<JobSchema>>) -> Vec<Self> {
        let read = |(JobPattern(pattern), schema): (JobPattern, Option<JobSchema>)| {
            let JobSchema { specs, hashes, groups, build_deps } = schema.unwrap_or_default();
            let hashes = hashes.map(OneOrMany::into_vec).unwrap_or_default();
            let names = |lines: Option<OneOrMany<Line>>| -> Vec<String> {
                let lines = lines.map(OneOrMany::into_vec).unwrap_or_default();
                lines.into_iter().map(|Line(name)| name).collect()
            };
            Self {
                pattern,
                specs: names(specs),
                groups: names(groups),
                hashes: hashes.into_iter().map(|SpecHash(hash)| hash).collect(),
                build_deps,
            }
        };
        jobs.into_iter().map(read).collect()
    }
}

/// What the jobs with a certain name need. With none of `specs`, `hashes` and `groups`: all roots.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a map with `specs`, `hashes`, `groups` or `build-deps`"
)]
pub(super) struct JobSchema {
    /// Names of the specs that the job needs.
    pub(super) specs: Option<OneOrMany<Line>>,
    /// DAG hashes, or their beginnings, of specs that the job needs.
    pub(super) hashes: Option<OneOrMany<SpecHash>>,
    /// Groups of `spack.yaml` whose roots the job needs.
    pub(super) groups: Option<OneOrMany<Line>>,
    /// Which build dependencies the job needs. Default: that of the whole file.
    pub(super) build_deps: Option<BuildDeps>,
}

text_types! {
    /// Which jobs a rule is about.
    #[derive(Hash)]
    JobPattern(Glob) = glob => "string",
    /// A DAG hash or its beginning.
    SpecHash(HashPrefix) = hash => "string",
}

fn hash(text: &str) -> Result<HashPrefix> {
    let help = "expected up to 32 characters out of a-z and 2-7, as `spack find --long` shows them";
    text.parse().map_err(|_| not(text, "a DAG hash").help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, job: &str) -> bool {
        let none = JobSchema::default();
        let pattern = JobPattern(glob(pattern).unwrap());
        let rule = JobRule::read_all([(pattern, Some(none))].into_iter().collect()).remove(0);
        rule.matches(job)
    }

    #[test]
    fn a_pattern_matches_what_gitlab_makes_of_job_names() {
        assert!(matches("build", "build"));
        assert!(!matches("build", "build 1/3"));
        assert!(matches("build*", "build 1/3"));
        assert!(matches("build [0-9]/3", "build 1/3"));
        assert!(matches("build:*", "build:linux/amd64: [gcc, 12]"));
        assert!(matches("{build,test}:*", "test:a"));
        assert!(matches("deploy: [aws, eu]", "deploy: [aws, eu]"));
        assert!(!matches("Build", "build"));
    }

    #[test]
    fn a_hash_may_be_cut_short_and_have_spacks_slash() {
        assert_eq!(hash("/abc2").unwrap().as_str(), "abc2");
        for bad in ["", "/", "ABC", "abc1", &"a".repeat(33)] {
            assert!(hash(bad).is_err(), "{bad}");
        }
    }
}
