//! Whether unchanged caches go aside at the end of a job.

use std::fmt;
use std::str::FromStr;

use super::text::{not, schema_of_text};
use crate::types::serde_as_text;
use crate::yaml::{self, Problem, Result};

/// Whether `larder finish` moves an unchanged folder out of the runner's sight: `set-aside:` in `larder.yaml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetAside {
    /// In `after_script` of a CI job, where the folder came out of an archive and certainly did not change.
    #[default]
    Auto,
    /// Wherever nothing in it is known to have changed.
    Always,
    /// Never.
    Never,
}

impl SetAside {
    const NAMES: [(&str, Self); 3] = [("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];
}

impl FromStr for SetAside {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let hint = yaml::hint(text, &Self::NAMES.map(|(name, _)| name));
            not(text, &format!("a choice of when to set unchanged caches aside; {hint}"))
        })
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::NAMES.iter().filter(|(_, choice)| choice == self).try_for_each(|(name, _)| f.pad(name))
    }
}

serde_as_text!(SetAside);
schema_of_text!(SetAside => "string");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_alike() {
        for text in ["auto", "always", "never"] {
            assert_eq!(text.parse::<SetAside>().unwrap().to_string(), text);
        }
        assert!("allways".parse::<SetAside>().unwrap_err().to_string().contains("did you mean `always`?"));
    }
}
