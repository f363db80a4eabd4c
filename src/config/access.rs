//! How a mirror is reached beyond its URL: the names of the variables that hold its credentials, and an endpoint.
//!
//! The keys are those of Spack's mirror entries, spelled as everything in `larder.yaml` is. A secret itself has no place in
//! a file: `larder.yaml` lies in the project's repository. So the file names variables, and their values are read here.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Endpoint, Flag, Line, VariableName};
use crate::types::{Access, AccessPair, PlainHttp, Secret, Variables, shorten};
use crate::yaml::{Node, Problem, Result};

/// A user name and a password, or the two parts of an access key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a map with `id` or `id-variable`, and `secret-variable`"
)]
pub(super) struct PairSchema {
    /// The user name, or the public part of the key.
    id: Option<Line>,
    /// The variable that holds it, instead.
    id_variable: Option<VariableName>,
    /// The variable that holds the password, or the secret part of the key.
    #[schemars(required)]
    secret_variable: Option<VariableName>,
}

/// The keys of an entry that are about access.
pub(super) const ACCESS_KEYS: [&str; 5] =
    ["insecure", "access-pair", "access-token-variable", "profile", "endpoint-url"];

/// What an entry says under [`ACCESS_KEYS`].
#[derive(Clone, Copy)]
pub(super) struct AccessKeys<'a> {
    pub(super) insecure: Option<Flag>,
    pub(super) pair: Option<&'a PairSchema>,
    pub(super) token_variable: Option<&'a VariableName>,
    pub(super) profile: Option<&'a Line>,
    pub(super) endpoint_url: Option<&'a Endpoint>,
}

impl AccessKeys<'_> {
    pub(super) fn plain_http(self) -> PlainHttp {
        if let Some(Flag(true)) = self.insecure { PlainHttp::Anywhere } else { PlainHttp::LoopbackOnly }
    }

    /// What the keys of an entry stand for. A variable that is not set is no error here: only a server can tell whether it
    /// takes credentials at all.
    pub(super) fn read(self, entry: &Node, variables: &Variables) -> Result<Arc<Access>> {
        let mut access = Access::default();
        if let Some(pair) = self.pair {
            let read = pair.read(variables, &mut access);
            access.pair = read.map_err(|problem| problem.at(entry.place_of("access-pair")))?;
        }
        if let Some(VariableName(name)) = self.token_variable {
            access.token = access.variable(name, variables).map(Secret::new);
        }
        access.profile = self.profile.map(|Line(profile)| profile.clone());
        if let Some(Endpoint(url)) = self.endpoint_url {
            if url.scheme() == "http" && !self.plain_http().allows(url) {
                return Err(Problem::new(format!("`{}` is not protected by TLS", shorten(url.as_str())))
                    .help("use `https://`; where you trust the network, add `insecure: true` to the entry")
                    .at(entry.place_of("endpoint-url")));
            }
            access.endpoint = Some(url.clone());
        }
        Ok(Arc::new(access))
    }
}

impl PairSchema {
    fn read(&self, variables: &Variables, access: &mut Access) -> Result<Option<AccessPair>> {
        let id = match (&self.id, &self.id_variable) {
            (Some(Line(id)), None) => Some(id.clone()),
            (None, Some(VariableName(name))) => access.variable(name, variables),
            (Some(_), Some(_)) => {
                return Err(Problem::new("both `id` and `id-variable` are given").help("remove one"));
            }
            (None, None) => {
                return Err(Problem::new("the pair has no `id`, and no `id-variable`")
                    .help("for example `id: gitlab-ci-token`"));
            }
        };
        let Some(VariableName(name)) = &self.secret_variable else {
            return Err(Problem::new("the pair has no `secret-variable`")
                .help("name the variable that holds the password or the secret key"));
        };
        let secret = access.variable(name, variables).map(Secret::new);
        Ok(id.zip(secret).map(|(id, secret)| AccessPair { id, secret }))
    }
}
