//! Environment variables as a plain value.

use std::collections::BTreeMap;
use std::fmt;

/// The environment variables of this run, read once at the edge of the program: nothing further in asks the system, so
/// tests set what they like and two parts of a run can't see two values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Variables given by name and value.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// Those of this process. A name or value that is not UTF-8 is left out: nothing larder reads can be one.
    pub fn from_env() -> Self {
        Self::new(std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok())))
    }

    /// The value of a variable, which may be empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a variable that is set and not empty. GitLab, and people, empty a variable to be rid of it.
    pub fn set(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

/// Names only: in a CI job, the values of variables are secrets.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_printed() {
        let variables = Variables::new([("TOKEN".to_owned(), "secret".to_owned())]);
        assert_eq!(variables.get("TOKEN"), Some("secret"));
        assert_eq!(variables.get("token"), None);
        assert_eq!(variables.set("TOKEN"), Some("secret"));
        let empty = Variables::new([("TOKEN".to_owned(), String::new())]);
        assert_eq!((empty.get("TOKEN"), empty.set("TOKEN")), (Some(""), None));
        assert_eq!(format!("{variables:?}"), r#"{"TOKEN"}"#);
    }
}
