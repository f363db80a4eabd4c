//! How Spack gets the job mirror.

use std::fmt;
use std::str::FromStr;

use super::text::{not, schema_of_text};
use crate::types::serde_as_text;
use crate::yaml::{self, Problem, Result};

/// One way in which Spack gets the job mirror: `hand-over:` in `larder.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// The caller names the scope: `spack -C .larder/job/spack`.
    Flag,
    /// Programs of the job folder, which the shell is told about, add the job mirror to what Spack is called with.
    Path,
    /// The `spack.yaml` of each environment names it until `finish`.
    Environment,
    /// The configuration of the Spack instance names it until `finish`.
    Instance,
}

impl HandOver {
    const NAMES: [(&str, Self); 4] =
        [("flag", Self::Flag), ("path", Self::Path), ("environment", Self::Environment), ("instance", Self::Instance)];
}

impl FromStr for HandOver {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let hint = yaml::hint(text, &Self::NAMES.map(|(name, _)| name));
            not(text, &format!("a way to hand Spack the job mirror; {hint}"))
        })
    }
}

impl fmt::Display for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::NAMES.iter().filter(|(_, choice)| choice == self).try_for_each(|(name, _)| f.pad(name))
    }
}

serde_as_text!(HandOver);
schema_of_text!(HandOver => "string");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_alike() {
        for (text, choice) in HandOver::NAMES {
            assert_eq!(text.parse::<HandOver>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        let error = "enviroment".parse::<HandOver>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`enviroment` is not a way to hand Spack the job mirror; did you mean `environment`?"
        );
    }
}
