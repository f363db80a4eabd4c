//! When Spack is to concretize an environment.

use std::fmt;
use std::str::FromStr;

use super::text::{not, schema_of_text};
use crate::types::serde_as_text;
use crate::yaml::{self, Problem, Result};

/// When Spack is to concretize an environment: `concretize:` in `larder.yaml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concretize {
    /// Where the lockfile is missing, or is not what the environment's files say any more.
    #[default]
    Missing,
    /// In every run, all anew.
    Always,
    /// In no run.
    Never,
}

impl Concretize {
    /// Their names on the command line and in the file.
    pub const NAMES: [(&str, Self); 3] = [("missing", Self::Missing), ("always", Self::Always), ("never", Self::Never)];
}

impl FromStr for Concretize {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let hint = yaml::hint(text, &Self::NAMES.map(|(name, _)| name));
            not(text, &format!("a time to concretize; {hint}"))
        })
    }
}

impl fmt::Display for Concretize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::NAMES.iter().filter(|(_, choice)| choice == self).try_for_each(|(name, _)| f.pad(name))
    }
}

serde_as_text!(Concretize);
schema_of_text!(Concretize => "string");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_alike() {
        for (text, choice) in Concretize::NAMES {
            assert_eq!(text.parse::<Concretize>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        let error = "allways".parse::<Concretize>().unwrap_err();
        assert_eq!(error.to_string(), "`allways` is not a time to concretize; did you mean `always`?");
    }
}
