//! Google's stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use serde::Deserialize;

use super::settings::{Identity, Problem, Settings, Target};
use crate::types::Secret;

/// The two fields of a file of credentials that decide how it is used.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: Option<String>,
    gcs_base_url: Option<String>,
}

pub(super) fn settings(target: &Target<'_>) -> Result<Settings<GoogleCloudStorageBuilder>, Problem> {
    let builder = GoogleCloudStorageBuilder::new().with_bucket_name(target.bucket);
    let bearer = |token: &str| Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: token.to_owned() }));
    let mut endpoint = target.endpoint(&[]);
    let token = target.access.token.as_ref().map(Secret::expose);
    let token = token.or_else(|| target.first(&["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"]));
    let (identity, builder) = if let Some(token) = token {
        (Identity::Named, builder.with_credentials(bearer(token)))
    } else if target.is_anonymous("GOOGLE") {
        // The empty token is never sent; it keeps the library from looking for one by itself.
        (Identity::Anonymous, builder.with_credentials(bearer("")))
    } else if let Some(key) = target.variable("GOOGLE_SERVICE_ACCOUNT_KEY") {
        (Identity::Named, builder.with_service_account_key(key))
    } else if let Some(path) = file(target) {
        let (text, Kind { kind, gcs_base_url }) = read(&path)?;
        let builder = match kind.as_deref() {
            None | Some("service_account") => {
                endpoint = endpoint.or(gcs_base_url);
                builder.with_service_account_key(text)
            }
            // The file that `gcloud auth application-default login` writes.
            Some("authorized_user") => builder.with_application_credentials(path.to_string_lossy()),
            Some(other) => {
                let kind = other.escape_debug();
                return Err(Problem::new(
                    format!("`{}` holds credentials of the type `{kind}`, which larder can't use", path.display()),
                    "let gcloud sign in and hand over its token: `export GOOGLE_OAUTH_ACCESS_TOKEN=\"$(gcloud auth \
                     print-access-token)\"`",
                ));
            }
        };
        (Identity::Named, builder)
    } else if endpoint.is_some() {
        (Identity::Anonymous, builder.with_credentials(bearer("")))
    } else {
        (Identity::Instance, builder)
    };
    let builder = match &endpoint {
        Some(endpoint) => builder.with_base_url(endpoint),
        None => builder,
    };
    Ok(Settings { builder, endpoint, identity })
}

/// The file of credentials that a variable names, or the one that gcloud keeps.
fn file(target: &Target<'_>) -> Option<PathBuf> {
    let names = ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"];
    target.first(&names).map(PathBuf::from).or_else(|| {
        let home = Path::new(target.variable("HOME")?);
        Some(home.join(".config/gcloud/application_default_credentials.json")).filter(|path| path.exists())
    })
}

fn read(path: &Path) -> Result<(String, Kind), Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Problem::new(
            format!("can't read `{}`: {error}", path.display()),
            "`GOOGLE_APPLICATION_CREDENTIALS` names the file of a service account; in GitLab, make it a variable of type \
             `File`",
        )
    })?;
    // What the parser says may quote a key.
    let kind = serde_json::from_str(&text).map_err(|_| {
        Problem::new(
            format!("`{}` is not JSON", path.display()),
            "`GOOGLE_APPLICATION_CREDENTIALS` names the JSON file of a service account, not its content",
        )
    })?;
    Ok((text, kind))
}
