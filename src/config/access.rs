//! How a mirror is reached beyond its URL: the names of the variables that hold its credentials, and an endpoint.
//!
//! The keys are those of Spack's mirror entries, spelled as everything in `larder.yaml` is. A secret itself has no place in
//! a file: `larder.yaml` lies in the project's repository. So the file names variables, and their values are read here.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::text::{Endpoint, Flag, Line, VariableName};
use crate::types::{Access, AccessPair, PlainHttp, Secret, Variables, shorten};
use crate::yaml::{At, Place, Problem};

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
#[derive(Clone, Copy)]
pub(super) struct AccessKeys<'a> {
    pub(super) insecure: &'a Option<At<Flag>>,
    pub(super) pair: &'a Option<At<PairSchema>>,
    pub(super) token_variable: &'a Option<At<VariableName>>,
    pub(super) profile: &'a Option<At<Line>>,
    pub(super) endpoint_url: &'a Option<At<Endpoint>>,
}

impl AccessKeys<'_> {
    /// The first of them that is there.
    pub(super) fn first(&self) -> Option<(&'static str, Place)> {
        let keys = [
            ("insecure", self.insecure.as_ref().map(At::place)),
            ("access-pair", self.pair.as_ref().map(At::place)),
            ("access-token-variable", self.token_variable.as_ref().map(At::place)),
            ("profile", self.profile.as_ref().map(At::place)),
            ("endpoint-url", self.endpoint_url.as_ref().map(At::place)),
        ];
        keys.into_iter().find_map(|(key, place)| place.map(|place| (key, place)))
    }

    pub(super) fn plain_http(&self) -> PlainHttp {
        match self.insecure {
            Some(At(_, Flag(true))) => PlainHttp::Anywhere,
            _ => PlainHttp::LoopbackOnly,
        }
    }

    /// What the keys stand for. A variable that is not set is no error here: only a server can tell whether it takes
    /// credentials at all.
    pub(super) fn read(&self, variables: &Variables) -> Result<Arc<Access>, Problem> {
        let mut access = Access::default();
        if let Some(pair) = self.pair {
            access.pair = pair.parse(|pair| pair.read(variables, &mut access))?;
        }
        if let Some(At(_, VariableName(name))) = self.token_variable {
            access.token = access.variable(name, variables).map(Secret::new);
        }
        access.profile = self.profile.as_ref().map(|At(_, Line(profile))| profile.clone());
        if let Some(url) = self.endpoint_url {
            access.endpoint = Some(url.parse(|Endpoint(url)| protected(url, self.plain_http()))?);
        }
        Ok(Arc::new(access))
    }
}

impl PairSchema {
    fn read(&self, variables: &Variables, access: &mut Access) -> Result<Option<AccessPair>, Problem> {
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

fn protected(url: &Url, plain_http: PlainHttp) -> Result<Url, Problem> {
    if url.scheme() == "http" && !plain_http.allows(url) {
        return Err(Problem::new(format!("`{}` is not protected by TLS", shorten(url.as_str())))
            .help("use `https://`; where you trust the network, add `insecure: true` to the entry"));
    }
    Ok(url.clone())
}
