//! What a mirror's entry says of access: credentials, and where an object store is reached.
//!
//! The names are those of Spack's mirror entries. Variables that an entry names are read when the configuration is read, so
//! that nothing further in asks the environment.

use std::fmt;

use url::Url;

use super::Variables;

/// A text that is never printed: a password, a token, a key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

/// How a mirror or an object store is reached, beyond its URL. Empty for most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// `access_pair`: a user name and a password, or the two parts of an access key.
    pub pair: Option<AccessPair>,
    /// `access_token`, `access_token_variable`: what is sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// `profile`: the section of the shared credentials file of AWS.
    pub profile: Option<String>,
    /// `endpoint_url`: where an object store is that is not its maker's own.
    pub endpoint: Option<Url>,
    /// Variables that the entry names and that are not set, or empty: what a refused request is explained with.
    pub unset_variables: Vec<String>,
}

/// A user name and a password, or the two parts of an access key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessPair {
    /// The public part.
    pub id: String,
    /// The secret part.
    pub secret: Secret,
}

impl Access {
    /// The value of a variable that the entry names. One that is not set, or empty, is remembered by its name.
    pub(crate) fn variable(&mut self, name: &str, variables: &Variables) -> Option<String> {
        // A secret that was pasted into a form, or read from a file, often ends in a line break.
        let value =
            variables.get(name).map(|value| value.trim_end_matches(['\r', '\n'])).filter(|value| !value.is_empty());
        if value.is_none() {
            self.unset_variables.push(name.to_owned());
        }
        value.map(str::to_owned)
    }
}

impl Secret {
    /// Keep a text from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to be sent to the one server that it is for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let pair = AccessPair { id: "user".to_owned(), secret: Secret::new("hunter2") };
        let access = Access { pair: Some(pair), token: Some(Secret::new("glpat-hunter2")), ..Access::default() };
        let text = format!("{access:?} {access:#?}");
        assert!(text.contains("user") && !text.contains("hunter2"), "{text}");
    }
}
