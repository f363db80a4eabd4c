//! Which build dependencies a job needs.

use std::fmt;
use std::str::FromStr;

use super::text::{not, schema_of_text};
use crate::types::serde_as_text;
use crate::yaml::{self, Problem, Result};

/// Which build dependencies a job needs: `build-deps:` in `larder.yaml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildDeps {
    /// Those of the specs that have to be built, because no mirror has them: what `spack install` needs that is told to
    /// take binaries where there are some.
    #[default]
    Missing,
    /// All: a plain `spack install` installs them even for a spec with a binary.
    All,
    /// None.
    None,
}

impl BuildDeps {
    const NAMES: [(&str, Self); 3] = [("missing", Self::Missing), ("all", Self::All), ("none", Self::None)];
}

impl FromStr for BuildDeps {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let hint = yaml::hint(text, &Self::NAMES.map(|(name, _)| name));
            not(text, &format!("a choice of build dependencies; {hint}"))
        })
    }
}

impl fmt::Display for BuildDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::NAMES.iter().filter(|(_, choice)| choice == self).try_for_each(|(name, _)| f.pad(name))
    }
}

serde_as_text!(BuildDeps);
schema_of_text!(BuildDeps => "string");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_alike() {
        for text in ["missing", "all", "none"] {
            assert_eq!(text.parse::<BuildDeps>().unwrap().to_string(), text);
        }
        let error = "mising".parse::<BuildDeps>().unwrap_err();
        assert_eq!(error.to_string(), "`mising` is not a choice of build dependencies; did you mean `missing`?");
        assert!("".parse::<BuildDeps>().is_err());
    }
}
