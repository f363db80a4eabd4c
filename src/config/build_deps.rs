//! Which build dependencies a job needs.

use std::fmt;
use std::str::FromStr;

use super::text::schema_of_text;
use crate::types::{serde_as_text, shorten};
use crate::yaml::{self, Problem};

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

impl FromStr for BuildDeps {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "missing" => Ok(Self::Missing),
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => {
                let hint = yaml::hint(text, &["missing", "all", "none"]);
                Err(Problem::new(format!("`{}` is not a choice of build dependencies; {hint}", shorten(text))))
            }
        }
    }
}

impl fmt::Display for BuildDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::All => "all",
            Self::None => "none",
        })
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
