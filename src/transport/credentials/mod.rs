//! Which credentials are for which server, and what is said of them when they are refused.
//!
//! A credential is for the server of the mirror's URL, and for no other: what follows a redirect to another host, port or
//! scheme goes without. It is never printed; messages name where it was found.

mod docker;
mod netrc;

use std::fmt;
use std::sync::OnceLock;

use percent_encoding::percent_decode_str;
use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, StatusCode};
use url::Url;

use self::docker::{DockerFiles, Found};
use self::netrc::Netrc;
use super::error::TransportError;
use super::location::Location;
use super::location::public;
use crate::types::{Access, AccessPair, Secret, Variables};

/// What is sent to a server.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    /// `Authorization: Bearer`.
    Token(Secret),
    /// `Authorization: Basic`.
    Pair(AccessPair),
}

/// A credential, and where it was found.
#[derive(Clone, Debug)]
pub(super) struct Sourced<T> {
    /// The credential.
    pub credential: T,
    /// Where it was found.
    pub source: Source,
}

/// Where a credential was found: all that messages say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `access-token-variable` of the mirror's entry.
    EntryToken,
    /// `access-pair` of the mirror's entry.
    EntryPair,
    /// The mirror's URL.
    Url,
    /// A netrc file.
    Netrc,
    /// Variables that GitLab sets in every job.
    Variables(&'static str),
    /// A file of Docker's or Podman's, or a variable with the text of one.
    Docker(String),
}

/// What a registry's own login takes: a pair, or a token that Docker's login left to be exchanged.
#[derive(Clone, Debug)]
pub(super) enum Login {
    /// A user name and a password.
    Pair(AccessPair),
    /// What Docker calls an identity token.
    Identity(Secret),
}

/// The places of this machine where credentials are. Read when a server is first asked, once.
#[derive(Debug)]
pub(super) struct Credentials {
    netrc: Netrc,
    netrc_hosts: OnceLock<netrc::Hosts>,
    docker: DockerFiles,
    gitlab: Option<GitLabRegistry>,
}

/// GitLab's own registry, as its jobs know it.
#[derive(Debug)]
struct GitLabRegistry {
    host: String,
    login: Sourced<AccessPair>,
}

impl Credentials {
    pub(super) fn new(variables: &Variables) -> Self {
        Self {
            netrc: Netrc::new(variables),
            netrc_hosts: OnceLock::new(),
            docker: DockerFiles::new(variables),
            gitlab: GitLabRegistry::new(variables),
        }
    }

    /// What is sent to a web server: what the mirror's entry says, else what its URL says, else what a netrc file says.
    pub(super) fn for_web(&self, at: &Location) -> Option<Sourced<Credential>> {
        let from = |credential, source| Some(Sourced { credential, source });
        let Access { token, pair, .. } = &*at.access;
        if let Some(token) = token {
            return from(Credential::Token(token.clone()), Source::EntryToken);
        }
        if let Some(pair) = pair {
            return from(Credential::Pair(pair.clone()), Source::EntryPair);
        }
        if !at.url.username().is_empty() || at.url.password().is_some() {
            let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
            let secret = Secret::new(text(at.url.password().unwrap_or_default()));
            return from(Credential::Pair(AccessPair { id: text(at.url.username()), secret }), Source::Url);
        }
        let pair = self.netrc_hosts().get(&at.url)?;
        from(Credential::Pair(pair), Source::Netrc)
    }

    /// How to log in to a registry: what the mirror's entry says, else what GitLab gives its jobs for its own registry, else
    /// what `docker login` left here. May start a program, Docker's credential helper, and so may block.
    pub(super) fn for_registry(&self, registry: &Url, access: &Access) -> Option<Sourced<Login>> {
        if let Some(pair) = &access.pair {
            return Some(Sourced { credential: Login::Pair(pair.clone()), source: Source::EntryPair });
        }
        let host = host_and_port(registry);
        if let Some(gitlab) = self.gitlab.as_ref().filter(|gitlab| gitlab.host == host) {
            let Sourced { credential, source } = gitlab.login.clone();
            return Some(Sourced { credential: Login::Pair(credential), source });
        }
        let (found, place) = self.docker.look_up(&host)?;
        let credential = match found {
            Found::Pair(pair) => Login::Pair(pair),
            Found::Identity(token) => Login::Identity(token),
        };
        Some(Sourced { credential, source: Source::Docker(place) })
    }

    /// The error for an answer that is about credentials.
    pub(super) fn denied(
        &self,
        url: &Url,
        status: StatusCode,
        access: &Access,
        sent: Option<&Source>,
    ) -> TransportError {
        let tried = match sent {
            Some(source) => format!("it does not accept {source}"),
            None => "no credentials were sent".to_owned(),
        };
        let mut hints = Vec::new();
        if !access.unset_variables.is_empty() {
            let names: Vec<_> = access.unset_variables.iter().map(|name| format!("`{name}`")).collect();
            hints.push(format!(
                "{}, which the mirror's entry names, {} not set here; GitLab sets protected variables only on protected \
                 branches and tags",
                names.join(" and "),
                if names.len() == 1 { "is" } else { "are" }
            ));
        } else if sent.is_none() {
            let question = if status == StatusCode::FORBIDDEN { "the right to read this" } else { "credentials" };
            hints.push(format!(
                "does this job have {question}? `access-pair` or `access-token-variable` in the mirror's entry names the \
                 variables that hold credentials"
            ));
        } else if status == StatusCode::FORBIDDEN {
            hints.push("they are known to the server: do they have the right to read this?".to_owned());
        } else {
            hints.push("are they right, and have they not expired?".to_owned());
        }
        if let Some(netrc::Hosts::Broken(path)) = self.netrc_hosts.get() {
            hints.push(format!("`{path}` can't be understood and was not used"));
        }
        TransportError::Denied { url: public(url), status, tried, hint: hints.join(". ") }
    }

    fn netrc_hosts(&self) -> &netrc::Hosts {
        self.netrc_hosts.get_or_init(|| self.netrc.read())
    }
}

impl Credential {
    /// Add it to a request to `url`, from which redirects to other servers take it away.
    pub(super) fn apply(&self, request: RequestBuilder, url: &Url) -> Result<RequestBuilder, TransportError> {
        match self {
            Self::Pair(pair) => Ok(request.basic_auth(&pair.id, Some(pair.secret.expose()))),
            Self::Token(token) if HeaderValue::from_str(token.expose()).is_err() => {
                Err(TransportError::UnusableToken { url: public(url) })
            }
            Self::Token(token) => Ok(request.bearer_auth(token.expose())),
        }
    }
}

impl GitLabRegistry {
    fn new(variables: &Variables) -> Option<Self> {
        let variable = |name| variables.get(name).filter(|value| !value.is_empty());
        let host = host_and_port(&Url::parse(&format!("https://{}", variable("CI_REGISTRY")?)).ok()?);
        let pair = |id: &str, secret: &str| AccessPair { id: id.to_owned(), secret: Secret::new(secret) };
        let login = match (variable("CI_REGISTRY_USER"), variable("CI_REGISTRY_PASSWORD"), variable("CI_JOB_TOKEN")) {
            (Some(user), Some(password), _) => {
                let source = Source::Variables("`CI_REGISTRY_USER` and `CI_REGISTRY_PASSWORD`");
                Sourced { credential: pair(user, password), source }
            }
            (_, _, Some(token)) => {
                Sourced { credential: pair("gitlab-ci-token", token), source: Source::Variables("`CI_JOB_TOKEN`") }
            }
            _ => return None,
        };
        Some(Self { host, login })
    }
}

/// `host`, or `host:port` where the port is not the usual one: how registries are named everywhere.
fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EntryToken => f.write_str("the token of the mirror's entry"),
            Self::EntryPair => f.write_str("the access pair of the mirror's entry"),
            Self::Url => f.write_str("the user name and password in the URL"),
            Self::Netrc => f.write_str("what the netrc file has for this host"),
            Self::Variables(names) => f.write_str(names),
            Self::Docker(place) => write!(f, "what {place} has for this registry"),
        }
    }
}

#[cfg(test)]
mod tests;
