//! The environment variables, captured once.

use std::collections::BTreeMap;

/// The environment variables of this process, read once at the edge and handed down as a plain value, so that a function
/// that depends on one says so, and a test can give it others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// These variables and no others.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The variables of this process. One that is not UTF-8 is none of ours.
    pub fn from_env() -> Self {
        Self::new(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// The value of a variable, `None` where it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}
