//! `jobs:`: what the jobs of a pipeline need.

use std::fmt;

use globset::Glob;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::build_deps::BuildDeps;
use super::complaint::Complaint;
use super::reader::{Problem, Reader, line};
use super::shape::{Text, TextOr, duplicate_key, shape};
use crate::types::shorten;

/// What the jobs with certain names need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRule {
    /// Which jobs: a glob over `CI_JOB_NAME`. Its `*` matches any characters, `/` and spaces included.
    pub pattern: Glob,
    /// The names of the specs that the job needs. Nothing here and in `hashes`: all roots.
    pub specs: Vec<String>,
    /// The DAG hashes, or their beginnings, of specs that the job needs.
    pub hashes: Vec<String>,
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

    pub(super) fn read_all(reader: &Reader<'_>, shapes: Jobs) -> Result<Vec<Self>, Problem> {
        let read = |(pattern, shape): (Glob, Option<JobShape>)| {
            let shape = shape.unwrap_or_default();
            let reader = reader.key(pattern.glob());
            let specs = reader.key("specs").read_list(list(shape.specs.as_ref()), line)?;
            let hashes = reader.key("hashes").read_list(list(shape.hashes.as_ref()), hash)?;
            let build_deps = reader.read_key("build-deps", shape.build_deps.as_ref(), str::parse::<BuildDeps>)?;
            Ok(Self { specs, hashes, build_deps, pattern: pattern.clone() })
        };
        shapes.0.into_iter().map(read).collect()
    }
}

fn list(shape: Option<&TextOr<Vec<Text>>>) -> &[Text] {
    shape.map_or(&[], TextOr::as_list)
}

/// A DAG hash or its beginning, with or without the `/` that Spack writes before it.
fn hash(text: &str) -> Result<String, Complaint> {
    let hash = text.strip_prefix('/').unwrap_or(text);
    if (1..=32).contains(&hash.len()) && hash.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) {
        Ok(hash.to_owned())
    } else {
        Err(Complaint::new(format!("`{}` is not a DAG hash", shorten(text)))
            .help("expected up to 32 characters out of a-z and 2-7, as `spack find --long` shows them"))
    }
}

shape! {
    /// What is said about one pattern of `jobs:`.
    JobShape, "a map with `specs`, `hashes` or `build-deps`" {
        "specs" => specs: TextOr<Vec<Text>>,
        "hashes" => hashes: TextOr<Vec<Text>>,
        "build-deps" => build_deps: Text,
    }
}

/// `jobs:`, in the order of the file, since the first pattern that matches counts.
#[derive(Debug, Default)]
pub(super) struct Jobs(Vec<(Glob, Option<JobShape>)>);

impl<'de> Deserialize<'de> for Jobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JobsVisitor;

        impl<'de> Visitor<'de> for JobsVisitor {
            type Value = Jobs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from job names to what these jobs need")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Jobs, A::Error> {
                let mut jobs = Jobs::default();
                while let Some(pattern) = map.next_key_seed(Pattern(&jobs))? {
                    jobs.0.push((pattern, map.next_value()?));
                }
                Ok(jobs)
            }
        }

        deserializer.deserialize_map(JobsVisitor)
    }
}

/// Reads a key of `jobs:`: a glob, and none that was there before.
struct Pattern<'a>(&'a Jobs);

impl<'de> DeserializeSeed<'de> for Pattern<'_> {
    type Value = Glob;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Glob, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Pattern<'_> {
    type Value = Glob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a job, or a glob")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Glob, E> {
        if self.0.0.iter().any(|(pattern, _)| pattern.glob() == text) {
            return Err(duplicate_key(text));
        }
        glob(text).map_err(Complaint::into_serde)
    }
}

/// A glob whose `*` crosses every character.
pub(super) fn glob(text: &str) -> Result<Glob, Complaint> {
    // Written to the log, and compiled to a program whose size grows with it.
    if text.is_empty() || text.len() > 1024 {
        return Err(Complaint::new("a pattern has 1 to 1024 bytes"));
    }
    Glob::new(text).map_err(|error| {
        Complaint::new(format!("`{}` is not a glob: {}", shorten(text), error.kind()))
            .help("a literal `*`, `?`, `[` or `{` is written in brackets, such as `[[]`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, job: &str) -> bool {
        let rule = JobRule { pattern: glob(pattern).unwrap(), specs: Vec::new(), hashes: Vec::new(), build_deps: None };
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
        assert_eq!(hash("/abc2").unwrap(), "abc2");
        for bad in ["", "/", "ABC", "abc1", &"a".repeat(33)] {
            assert!(hash(bad).is_err(), "{bad}");
        }
    }
}
