//! Stores that speak S3: where they are, and who we are there.

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use url::Url;

use super::client::Connection;
use super::profile::{self, Profile, ProfileCredentials, ProfileProblem};
use super::{Place, no_retries};
use crate::types::{AccessPair, Secret};

/// Who we are, as far as that is known without asking anybody.
#[derive(Clone, Debug)]
enum Identity {
    Key {
        pair: AccessPair,
        token: Option<Secret>,
    },
    /// Taken on with a web identity: a token in a file.
    Role {
        role: String,
        token_file: String,
        session: Option<String>,
    },
    /// A container's own, as ECS and EKS give it.
    Container,
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
    region: Option<String>,
}

impl<'a> Settings<'a> {
    /// In the order in which Amazon's own tools look, with what the mirror's entry says before all else. `region` is where the
    /// store said that the bucket is.
    pub fn find(place: &'a Place<'a>, region: Option<String>) -> Result<Self, ProfileProblem> {
        let access = place.access;
        let variable = |name: &str| place.variable(name);
        let key = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        if let (Some(_), None) | (None, Some(_)) = key {
            return Err(ProfileProblem {
                reason: "one half of an access key is set".to_owned(),
                hint: "set both `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; a protected CI variable is not set on a branch \
                       that is not protected"
                    .to_owned(),
            });
        }
        // A profile counts where it was asked for, or where the variables say nothing of who we are.
        let asked = access.profile.as_deref();
        let profile = if access.pair.is_some() || place.is_anonymous("AWS") {
            Profile::default()
        } else {
            match profile::read(asked, place.variables) {
                Err(_) if asked.is_none() && key.0.is_some() => Profile::default(),
                profile => profile?.unwrap_or_default(),
            }
        };
        let endpoint =
            access.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()).or_else(|| {
                let names = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"];
                names.into_iter().find_map(variable).map(str::to_owned).or_else(|| profile.endpoint.clone())
            });
        let region = region
            .or_else(|| ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(variable).map(str::to_owned))
            .or(profile.region);
        let identity = if place.is_anonymous("AWS") && access.pair.is_none() {
            Identity::Nobody
        } else if let Some(pair) = &access.pair {
            Identity::Key { pair: pair.clone(), token: None }
        } else if let (Some(credentials), true) = (&profile.credentials, asked.is_some()) {
            credentials.clone().into()
        } else if let (Some(id), Some(secret)) = key {
            let pair = AccessPair { id: id.to_owned(), secret: Secret::new(secret) };
            Identity::Key { pair, token: variable("AWS_SESSION_TOKEN").map(Secret::new) }
        } else if let (Some(role), Some(file)) = (variable("AWS_ROLE_ARN"), variable("AWS_WEB_IDENTITY_TOKEN_FILE")) {
            let session = variable("AWS_ROLE_SESSION_NAME").map(str::to_owned);
            Identity::Role { role: role.to_owned(), token_file: file.to_owned(), session }
        } else if let Some(credentials) = profile.credentials {
            credentials.into()
        } else if variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some()
            || (variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
                && variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").is_some())
        {
            Identity::Container
        } else if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || !endpoint.as_deref().is_none_or(is_amazon)
        {
            // The rights of an instance of Amazon's mean nothing to a store that is not Amazon's.
            Identity::Nobody
        } else {
            Identity::Instance
        };
        Ok(Self { place, identity, endpoint, region })
    }

    /// Whether requests are made without a signature.
    pub fn is_anonymous(&self) -> bool {
        matches!(self.identity, Identity::Nobody)
    }

    /// Whether it takes a request to learn whether there are credentials at all.
    pub fn must_be_probed(&self) -> bool {
        matches!(self.identity, Identity::Instance)
    }

    /// The same without credentials.
    pub fn anonymous(self) -> Self {
        Self { identity: Identity::Nobody, ..self }
    }

    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub fn build(&self, connection: Connection) -> object_store::Result<AmazonS3> {
        let bucket = self.place.bucket;
        let mut builder =
            AmazonS3Builder::new().with_bucket_name(bucket).with_retry(no_retries()).with_http_connector(connection);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        let virtual_hosted = self.place.variable("AWS_VIRTUAL_HOSTED_STYLE_REQUEST").map(is_true);
        // Imitations mostly have one name and no wildcard certificate; Amazon wants the bucket in the name, where it can be a
        // part of one.
        let virtual_hosted = virtual_hosted.unwrap_or(self.endpoint.is_none() && !bucket.contains(['.', '_']));
        builder = builder.with_virtual_hosted_style_request(virtual_hosted);
        if let Some(endpoint) = &self.endpoint {
            let with_bucket = if virtual_hosted { below(endpoint, bucket) } else { None };
            builder = builder.with_endpoint(with_bucket.unwrap_or_else(|| endpoint.clone()));
        }
        let mut configured = |key, value: Option<&str>| {
            if let Some(value) = value {
                builder = std::mem::take(&mut builder).with_config(key, value);
            }
        };
        match &self.identity {
            Identity::Key { pair, token } => {
                configured(AmazonS3ConfigKey::AccessKeyId, Some(&pair.id));
                configured(AmazonS3ConfigKey::SecretAccessKey, Some(pair.secret.expose()));
                configured(AmazonS3ConfigKey::Token, token.as_ref().map(Secret::expose));
            }
            Identity::Role { role, token_file, session } => {
                configured(AmazonS3ConfigKey::RoleArn, Some(role));
                configured(AmazonS3ConfigKey::WebIdentityTokenFile, Some(token_file));
                configured(AmazonS3ConfigKey::RoleSessionName, Some(session.as_deref().unwrap_or("larder")));
                configured(AmazonS3ConfigKey::StsEndpoint, self.place.variable("AWS_ENDPOINT_URL_STS"));
            }
            Identity::Container => {
                for (key, variable) in [
                    (AmazonS3ConfigKey::ContainerCredentialsRelativeUri, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
                    (AmazonS3ConfigKey::ContainerCredentialsFullUri, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                    (AmazonS3ConfigKey::ContainerAuthorizationTokenFile, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
                ] {
                    configured(key, self.place.variable(variable));
                }
            }
            Identity::Instance => {
                let endpoint = self.place.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
                configured(AmazonS3ConfigKey::MetadataEndpoint, endpoint.map(|text| text.trim_end_matches('/')));
            }
            Identity::Nobody => configured(AmazonS3ConfigKey::SkipSignature, Some("true")),
        }
        builder.build()
    }
}

impl From<ProfileCredentials> for Identity {
    fn from(credentials: ProfileCredentials) -> Self {
        match credentials {
            ProfileCredentials::Key { pair, token } => Self::Key { pair, token },
            ProfileCredentials::WebIdentity { role, token_file, session } => Self::Role { role, token_file, session },
        }
    }
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn is_amazon(endpoint: &str) -> bool {
    let host = endpoint.parse::<Url>().ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

/// `https://s3.example` with the bucket as the first part of its name.
fn below(endpoint: &str, bucket: &str) -> Option<String> {
    let mut url: Url = endpoint.parse().ok()?;
    let host = format!("{bucket}.{}", url.host_str()?);
    url.set_host(Some(&host)).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}
