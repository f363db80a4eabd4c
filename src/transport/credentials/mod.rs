//! Which credentials are for which server, and what is said of them when they are refused.
//!
//! A credential is for the server of the mirror's URL, and for no other: what follows a redirect to another host, port or
//! scheme goes without. It is never printed; messages name where it was found.

mod docker;
mod host;
mod netrc;

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, StatusCode};
use url::Url;

pub(super) use self::docker::Login;

use self::docker::DockerFiles;
use self::host::host_and_port;
use self::netrc::Netrc;
use super::error::{Result, TransportError};
use super::location::Location;
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
    /// Where it was found: all that messages say of it.
    pub source: Cow<'static, str>,
}

/// The source of `access-pair` of a mirror's entry.
const ENTRY_PAIR: &str = "the access pair of the mirror's entry";

/// The places of this machine where credentials are. Files are read when a server is first asked, once.
#[derive(Debug)]
pub(super) struct Credentials {
    netrc: Netrc,
    docker: DockerFiles,
    /// GitLab's own registry as its jobs know it: its host, and how to log in there.
    gitlab: Option<(String, Sourced<Login>)>,
}

impl Credentials {
    pub(super) fn new(variables: &Variables) -> Self {
        Self { netrc: Netrc::new(variables), docker: DockerFiles::new(variables), gitlab: gitlab_registry(variables) }
    }

    /// What is sent to a web server: what the mirror's entry says, else what its URL says, else what a netrc file says.
    pub(super) fn for_web(&self, at: &Location) -> Option<Sourced<Credential>> {
        if let Some(token) = entry_token(&at.access) {
            return Some(token);
        }
        let (pair, source) = if let Some(pair) = &at.access.pair {
            (pair.clone(), ENTRY_PAIR)
        } else if !at.url.username().is_empty() || at.url.password().is_some() {
            let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
            let secret = Secret::new(text(at.url.password().unwrap_or_default()));
            (AccessPair { id: text(at.url.username()), secret }, "the user name and password in the URL")
        } else {
            (self.netrc.get(&at.url)?, "what the netrc file has for this host")
        };
        Some(Sourced { credential: Credential::Pair(pair), source: source.into() })
    }

    /// How to log in to a registry: what the mirror's entry says, else what GitLab gives its jobs for its own registry, else
    /// what `docker login` left here. May start a program, Docker's credential helper, and so may block.
    pub(super) fn for_registry(&self, registry: &Url, access: &Access) -> Option<Sourced<Login>> {
        if let Some(pair) = &access.pair {
            return Some(Sourced { credential: Login::Pair(pair.clone()), source: ENTRY_PAIR.into() });
        }
        let host = host_and_port(registry);
        if let Some((_, login)) = self.gitlab.as_ref().filter(|(gitlab, _)| *gitlab == host) {
            return Some(login.clone());
        }
        let (credential, place) = self.docker.look_up(&host)?;
        Some(Sourced { credential, source: format!("what {place} has for this registry").into() })
    }

    /// The error for an answer that is about credentials.
    pub(super) fn denied(&self, url: &Url, status: StatusCode, access: &Access, sent: Option<&str>) -> TransportError {
        let tried =
            sent.map_or_else(|| "no credentials were sent".to_owned(), |source| format!("it does not accept {source}"));
        let mut hint = if !access.unset_variables.is_empty() {
            let names: Vec<_> = access.unset_variables.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "{}, which the mirror's entry names, {} not set here; GitLab sets protected variables only on protected \
                 branches and tags",
                names.join(" and "),
                if names.len() == 1 { "is" } else { "are" }
            )
        } else if sent.is_none() {
            let question = if status == StatusCode::FORBIDDEN { "the right to read this" } else { "credentials" };
            format!(
                "does this job have {question}? `access-pair` or `access-token-variable` in the mirror's entry names the \
                 variables that hold credentials"
            )
        } else if status == StatusCode::FORBIDDEN {
            "they are known to the server: do they have the right to read this?".to_owned()
        } else {
            "are they right, and have they not expired?".to_owned()
        };
        if let Some(path) = self.netrc.broken() {
            hint = format!("{hint}. `{}` can't be understood and was not used", path.display());
        }
        TransportError::Denied { url: url.into(), status, tried, hint }
    }
}

impl Credential {
    /// Add it to a request to `url`, from which redirects to other servers take it away.
    pub(super) fn apply(&self, request: RequestBuilder, url: &Url) -> Result<RequestBuilder> {
        match self {
            Self::Pair(pair) => Ok(request.basic_auth(&pair.id, Some(pair.secret.expose()))),
            Self::Token(token) if HeaderValue::from_str(token.expose()).is_err() => {
                Err(TransportError::UnusableToken { url: url.into() })
            }
            Self::Token(token) => Ok(request.bearer_auth(token.expose())),
        }
    }
}

/// `access-token-variable` of a mirror's entry: all there is to send to its server, whatever kind that is.
pub(super) fn entry_token(access: &Access) -> Option<Sourced<Credential>> {
    let credential = Credential::Token(access.token.clone()?);
    Some(Sourced { credential, source: "the token of the mirror's entry".into() })
}

fn gitlab_registry(variables: &Variables) -> Option<(String, Sourced<Login>)> {
    let variable = |name| variables.set(name);
    let host = host_and_port(&Url::parse(&format!("https://{}", variable("CI_REGISTRY")?)).ok()?);
    let (id, secret, names) = match variable("CI_REGISTRY_USER").zip(variable("CI_REGISTRY_PASSWORD")) {
        Some((user, password)) => (user, password, "`CI_REGISTRY_USER` and `CI_REGISTRY_PASSWORD`"),
        None => ("gitlab-ci-token", variable("CI_JOB_TOKEN")?, "`CI_JOB_TOKEN`"),
    };
    let credential = Login::Pair(AccessPair { id: id.to_owned(), secret: Secret::new(secret) });
    Some((host, Sourced { credential, source: names.into() }))
}

#[cfg(test)]
mod tests;
