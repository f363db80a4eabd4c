//! Which jobs push what they built into a mirror that outlives them.

use std::fmt;
use std::str::FromStr;

use super::text::{not, schema_of_text};
use crate::types::{Variables, serde_as_text};
use crate::yaml::{self, Problem, Result};

/// Which jobs push: `push:` of a mirror with `collect: true` and a `url`.
///
/// The right to push decides what every later job installs. A merge request can run any program as a build, so that by default only
/// branches and tags push that GitLab protects; the others read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushRule {
    /// Jobs of protected branches and tags.
    #[default]
    Protected,
    /// Every job.
    Always,
}

impl PushRule {
    const NAMES: [(&str, Self); 2] = [("protected", Self::Protected), ("always", Self::Always)];

    /// Whether the job with these variables pushes.
    pub fn allows(self, variables: &Variables) -> bool {
        self == Self::Always || variables.set("CI_COMMIT_REF_PROTECTED") == Some("true")
    }
}

impl FromStr for PushRule {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, rule)| *rule).ok_or_else(|| {
            let hint = yaml::hint(text, &Self::NAMES.map(|(name, _)| name));
            not(text, &format!("a choice of jobs that push; {hint}"))
        })
    }
}

impl fmt::Display for PushRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::NAMES.iter().filter(|(_, rule)| rule == self).try_for_each(|(name, _)| f.pad(name))
    }
}

serde_as_text!(PushRule);
schema_of_text!(PushRule => "string");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_unprotected_branches_push_only_where_all_do() {
        let job = |protected: &str| Variables::new([("CI_COMMIT_REF_PROTECTED".to_owned(), protected.to_owned())]);
        assert!(PushRule::Protected.allows(&job("true")));
        assert!(!PushRule::Protected.allows(&job("false")));
        assert!(!PushRule::Protected.allows(&Variables::default()), "a laptop");
        assert!(PushRule::Always.allows(&job("false")));
        assert_eq!("always".parse::<PushRule>().unwrap().to_string(), "always");
        assert_eq!(
            "allways".parse::<PushRule>().unwrap_err().to_string(),
            "`allways` is not a choice of jobs that push; did you mean `always`?"
        );
    }
}
