//! What is known of a bucket before the first request, and what is made of it for each kind of store.

use crate::types::{Access, Variables};

/// A bucket, and what the mirror's entry and variables say of how it is reached.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub bucket: &'a str,
    pub access: &'a Access,
    pub variables: &'a Variables,
}

/// A store that is configured but for its connection, as a builder of the crate `object_store`.
pub(super) struct Settings<B> {
    pub builder: B,
    /// Where it is, if not where its maker's stores are.
    pub endpoint: Option<String>,
    pub identity: Identity,
}

/// Whether there are credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The builder has them, or the address of the service that gives them.
    Named,
    /// Nothing names any. The metadata service of this machine may have some: it takes a request to learn that.
    Instance,
    /// Requests are made without a signature.
    Anonymous,
}

impl Identity {
    /// What is named comes before the machine's own, which may mean nothing to this store.
    pub fn new(is_named: bool, is_instance_ruled_out: bool) -> Self {
        match (is_named, is_instance_ruled_out) {
            (true, _) => Self::Named,
            (false, true) => Self::Anonymous,
            (false, false) => Self::Instance,
        }
    }
}

/// What is wrong with settings, and the next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub reason: String,
    pub hint: String,
}

impl Problem {
    pub fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: hint.into() }
    }
}

impl<'a> Target<'a> {
    /// The value of a variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The value of the first of these variables that is set and not empty.
    pub fn first(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.variable(name))
    }

    /// Whether requests are to go without a signature: `AWS_SKIP_SIGNATURE` and its like.
    pub fn is_anonymous(&self, prefix: &str) -> bool {
        self.variable(&format!("{prefix}_SKIP_SIGNATURE")).is_some_and(is_true)
    }

    /// The endpoint that the mirror's entry names, else the first of these variables.
    pub fn endpoint(&self, names: &[&str]) -> Option<String> {
        let endpoint = self.access.endpoint.as_ref().map(url::Url::as_str).or_else(|| self.first(names));
        endpoint.map(|text| text.trim_end_matches('/').to_owned())
    }
}

pub(super) fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}
