//! Google's stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use serde::Deserialize;

use super::client::Connection;
use super::profile::ProfileProblem as Problem;
use super::{Place, no_retries};
use crate::types::Secret;

/// Who we are.
#[derive(Clone, Debug)]
enum Identity {
    /// A token that somebody else got.
    Token(Secret),
    /// The key of a service account, as JSON.
    ServiceAccount(Secret),
    /// The file that `gcloud auth application-default login` wrote.
    User(PathBuf),
    /// Whoever the metadata service of this machine says, if there is one.
    Instance,
    Nobody,
}

/// Everything that is to be known of a store before the first request.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    place: &'a Place<'a>,
    identity: Identity,
    endpoint: Option<String>,
}

/// The two fields of a file of credentials that decide how it is used.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: Option<String>,
    gcs_base_url: Option<String>,
}

impl<'a> Settings<'a> {
    pub fn find(place: &'a Place<'a>) -> Result<Self, Problem> {
        let mut endpoint = place.access.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
        let token = place.access.token.clone().or_else(|| {
            let names = ["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"];
            names.into_iter().find_map(|name| place.variable(name)).map(Secret::new)
        });
        let named = ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"];
        let named = named.into_iter().find_map(|name| place.variable(name)).map(PathBuf::from);
        let in_home = || {
            let home = Path::new(place.variable("HOME")?);
            Some(home.join(".config/gcloud/application_default_credentials.json")).filter(|path| path.exists())
        };
        let identity = if let Some(token) = token {
            Identity::Token(token)
        } else if place.is_anonymous("GOOGLE") {
            Identity::Nobody
        } else if let Some(key) = place.variable("GOOGLE_SERVICE_ACCOUNT_KEY") {
            Identity::ServiceAccount(Secret::new(key))
        } else if let Some(path) = named.or_else(in_home) {
            let (identity, base) = from_file(path)?;
            endpoint = endpoint.or(base);
            identity
        } else if endpoint.is_some() {
            Identity::Nobody
        } else {
            Identity::Instance
        };
        Ok(Self { place, identity, endpoint })
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self.identity, Identity::Nobody)
    }

    pub fn must_be_probed(&self) -> bool {
        matches!(self.identity, Identity::Instance)
    }

    pub fn anonymous(self) -> Self {
        Self { identity: Identity::Nobody, ..self }
    }

    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub fn build(&self, connection: Connection) -> object_store::Result<GoogleCloudStorage> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(self.place.bucket)
            .with_retry(no_retries())
            .with_http_connector(connection);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        let bearer = |token: &str| Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: token.to_owned() }));
        builder = match &self.identity {
            Identity::Token(token) => builder.with_credentials(bearer(token.expose())),
            Identity::ServiceAccount(key) => builder.with_service_account_key(key.expose()),
            Identity::User(path) => builder.with_application_credentials(path.to_string_lossy()),
            Identity::Instance => builder,
            // The empty token is never sent; it keeps the library from looking for one by itself.
            Identity::Nobody => builder.with_credentials(bearer("")).with_skip_signature(true),
        };
        builder.build()
    }
}

/// What a file of credentials is good for, and the endpoint that it names.
fn from_file(path: PathBuf) -> Result<(Identity, Option<String>), Problem> {
    let text = std::fs::read_to_string(&path).map_err(|error| Problem {
        reason: format!("can't read `{}`: {error}", path.display()),
        hint: "`GOOGLE_APPLICATION_CREDENTIALS` names the file of a service account; in GitLab, make it a variable of type \
               `File`"
            .to_owned(),
    })?;
    // What the parser says may quote a key.
    let kind: Kind = serde_json::from_str(&text).map_err(|_| Problem {
        reason: format!("`{}` is not JSON", path.display()),
        hint: "`GOOGLE_APPLICATION_CREDENTIALS` names the JSON file of a service account, not its content".to_owned(),
    })?;
    match kind.kind.as_deref() {
        None | Some("service_account") => Ok((Identity::ServiceAccount(Secret::new(text)), kind.gcs_base_url)),
        Some("authorized_user") => Ok((Identity::User(path), None)),
        Some(other) => Err(Problem {
            reason: format!(
                "`{}` holds credentials of the type `{}`, which larder can't use",
                path.display(),
                other.escape_debug()
            ),
            hint: "let gcloud sign in and hand over its token: `export GOOGLE_OAUTH_ACCESS_TOKEN=\"$(gcloud auth \
                   print-access-token)\"`"
                .to_owned(),
        }),
    }
}
