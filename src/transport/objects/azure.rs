//! Azure's stores: the bucket is a container, and the account is named beside it.

use object_store::azure::{AzureConfigKey as Key, MicrosoftAzureBuilder};

use super::settings::{Identity, Problem, Settings, Target};
use crate::types::Secret;

pub(super) fn settings(target: &Target<'_>) -> Result<Settings<MicrosoftAzureBuilder>, Problem> {
    let connection = target.variable("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default();
    // `AccountName=…;AccountKey=…;BlobEndpoint=…`, as the portal shows it.
    let part = |key: &str| {
        let value = connection.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        value.filter(|value| !value.is_empty())
    };
    let pair = target.access.pair.as_ref();
    let account = pair.map(|pair| pair.id.as_str());
    let account = account.or_else(|| target.first(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]));
    let Some(account) = account.or_else(|| part("AccountName")) else {
        return Err(Problem::new(
            "nothing says in which storage account the container is",
            "set `AZURE_STORAGE_ACCOUNT`",
        ));
    };
    if !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Problem::new(
            "the name of the storage account is none",
            "`AZURE_STORAGE_ACCOUNT` is the name only: lower-case letters and digits",
        ));
    }
    let endpoint = target.endpoint(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]);
    let endpoint = endpoint.or_else(|| part("BlobEndpoint").map(|text| text.trim_end_matches('/').to_owned()));
    let key = pair.map(|pair| pair.secret.expose());
    let key = key.or_else(|| target.first(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"]));
    let signature = target.first(&["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"]);
    // The library takes a token before a key, and then workload identity, client secret, signature, managed identity.
    let credentials = [
        (Key::Token, target.access.token.as_ref().map(Secret::expose)),
        (Key::AccessKey, key.or_else(|| part("AccountKey"))),
        (Key::SasKey, signature.or_else(|| part("SharedAccessSignature"))),
        (Key::ClientSecret, target.variable("AZURE_CLIENT_SECRET")),
        (Key::FederatedTokenFile, target.variable("AZURE_FEDERATED_TOKEN_FILE")),
        (Key::MsiEndpoint, target.variable("IDENTITY_ENDPOINT")),
    ];
    // Whose they are, and where they are asked for.
    let names = [
        (Key::ClientId, target.variable("AZURE_CLIENT_ID")),
        (Key::AuthorityId, target.variable("AZURE_TENANT_ID")),
        (Key::AuthorityHost, target.variable("AZURE_AUTHORITY_HOST")),
    ];
    let is_named = credentials.iter().any(|(_, value)| value.is_some());
    let is_anonymous = target.is_anonymous("AZURE");
    let identity = Identity::new(is_named && !is_anonymous, is_anonymous || endpoint.is_some());
    let mut values = vec![(Key::Endpoint, endpoint.as_deref())];
    if identity != Identity::Anonymous {
        values.extend(credentials.into_iter().chain(names));
    }
    let builder = MicrosoftAzureBuilder::new().with_container_name(target.bucket).with_account(account);
    let values = values.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let builder = values.fold(builder, |builder, (key, value)| builder.with_config(key, value));
    Ok(Settings { builder, endpoint, identity })
}
