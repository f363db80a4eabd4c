//! Azure's stores: the bucket is a container, and the account is named beside it.

use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};

use super::client::Connection;
use super::profile::ProfileProblem as Problem;
use super::{Place, no_retries};
use crate::types::Secret;

/// What `object_store` is told, in its words. The library looks through them in the order: token, key, workload identity,
/// client secret, SAS token, managed identity.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    place: &'a Place<'a>,
    account: String,
    endpoint: Option<String>,
    values: Vec<(AzureConfigKey, String)>,
    identity: Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Named,
    /// Whoever the metadata service of this machine says, if there is one.
    Instance,
    Nobody,
}

impl<'a> Settings<'a> {
    pub fn find(place: &'a Place<'a>) -> Result<Self, Problem> {
        let connection = Parts(place.variable("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default());
        let variable = |names: &[&str]| names.iter().find_map(|name| place.variable(name));
        let access = place.access;
        let account = access.pair.as_ref().map(|pair| pair.id.as_str());
        let account = account
            .or_else(|| variable(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]))
            .or_else(|| connection.get("AccountName"));
        let Some(account) = account else {
            return Err(Problem {
                reason: "nobody says in which storage account the container is".to_owned(),
                hint: "set `AZURE_STORAGE_ACCOUNT`".to_owned(),
            });
        };
        if !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Problem {
                reason: "the name of the storage account is none".to_owned(),
                hint: "`AZURE_STORAGE_ACCOUNT` is the name only: lower-case letters and digits".to_owned(),
            });
        }
        let endpoint = access.endpoint.as_ref().map(url::Url::as_str);
        let endpoint = endpoint
            .or_else(|| variable(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]))
            .or_else(|| connection.get("BlobEndpoint"))
            .map(|text| text.trim_end_matches('/').to_owned());
        let secret = |found: Option<&str>| found.map(str::to_owned);
        let named = [
            (AzureConfigKey::Token, secret(access.token.as_ref().map(Secret::expose))),
            (
                AzureConfigKey::AccessKey,
                secret(access.pair.as_ref().map(|pair| pair.secret.expose()))
                    .or_else(|| secret(variable(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"])))
                    .or_else(|| secret(connection.get("AccountKey"))),
            ),
            (
                AzureConfigKey::SasKey,
                secret(variable(&["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"]))
                    .or_else(|| secret(connection.get("SharedAccessSignature"))),
            ),
            (AzureConfigKey::ClientSecret, secret(variable(&["AZURE_CLIENT_SECRET"]))),
            (AzureConfigKey::FederatedTokenFile, secret(variable(&["AZURE_FEDERATED_TOKEN_FILE"]))),
            (AzureConfigKey::ClientId, secret(variable(&["AZURE_CLIENT_ID"]))),
            (AzureConfigKey::AuthorityId, secret(variable(&["AZURE_TENANT_ID"]))),
            (AzureConfigKey::AuthorityHost, secret(variable(&["AZURE_AUTHORITY_HOST"]))),
            (AzureConfigKey::MsiEndpoint, secret(variable(&["IDENTITY_ENDPOINT"]))),
        ];
        let values: Vec<_> = named.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        // The first five are credentials, and so is the place that gives some; the others only say whose.
        let has = |key: &AzureConfigKey| values.iter().any(|(found, _)| found == key);
        let is_named = [
            AzureConfigKey::Token,
            AzureConfigKey::AccessKey,
            AzureConfigKey::SasKey,
            AzureConfigKey::ClientSecret,
            AzureConfigKey::FederatedTokenFile,
            AzureConfigKey::MsiEndpoint,
        ];
        let identity = if place.is_anonymous("AZURE") {
            Identity::Nobody
        } else if is_named.iter().any(has) {
            Identity::Named
        } else if endpoint.is_some() {
            Identity::Nobody
        } else {
            Identity::Instance
        };
        Ok(Self { place, account: account.to_owned(), endpoint, values, identity })
    }

    pub fn is_anonymous(&self) -> bool {
        self.identity == Identity::Nobody
    }

    pub fn must_be_probed(&self) -> bool {
        self.identity == Identity::Instance
    }

    pub fn anonymous(self) -> Self {
        Self { identity: Identity::Nobody, ..self }
    }

    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub fn build(&self, connection: Connection) -> object_store::Result<MicrosoftAzure> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_container_name(self.place.bucket)
            .with_account(&self.account)
            .with_retry(no_retries())
            .with_http_connector(connection);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        if self.is_anonymous() {
            return builder.with_skip_signature(true).build();
        }
        for (key, value) in &self.values {
            builder = builder.with_config(*key, value.clone());
        }
        builder.build()
    }
}

/// `AccountName=…;AccountKey=…;BlobEndpoint=…`, as the portal shows it.
struct Parts<'a>(&'a str);

impl<'a> Parts<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('=')).filter(|value| !value.is_empty())
    }
}
