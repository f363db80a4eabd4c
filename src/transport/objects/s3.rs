//! Stores that speak S3: where they are, and with which credentials they are asked.

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};
use url::Url;

use super::profile::{self, Profile, ProfileCredentials};
use super::settings::{Identity, Problem, Settings, Target, is_true};

/// In the order in which Amazon's own tools look, with what the mirror's entry says before all else. `region` is where the
/// store said that the bucket is.
pub(super) fn settings(target: &Target<'_>, region: Option<&str>) -> Result<Settings<AmazonS3Builder>, Problem> {
    let access = target.access;
    let variable = |name: &str| target.variable(name);
    let has_key = variable("AWS_ACCESS_KEY_ID").is_some();
    if has_key != variable("AWS_SECRET_ACCESS_KEY").is_some() {
        return Err(Problem::new(
            "one half of an access key is set",
            "set both `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; a protected CI variable is not set on a branch that is \
             not protected",
        ));
    }
    let is_anonymous = target.is_anonymous("AWS") && access.pair.is_none();
    // A profile counts where it was asked for, or where the variables name no credentials.
    let asked = access.profile.as_deref();
    let profile = if access.pair.is_some() || is_anonymous {
        Profile::default()
    } else {
        match profile::read(asked, target.variables) {
            Err(_) if asked.is_none() && has_key => Profile::default(),
            profile => profile?.unwrap_or_default(),
        }
    };
    let in_variables = ProfileCredentials::find(|name| {
        // `AWS_ACCESS_KEY_ID` for `aws_access_key_id`, `AWS_ROLE_ARN` for `role_arn`.
        variable(&format!("AWS_{}", name.trim_start_matches("aws_").to_ascii_uppercase()))
    });
    let credentials = match &access.pair {
        Some(pair) => Some(ProfileCredentials::Key { pair: pair.clone(), token: None }),
        None if is_anonymous => None,
        None if asked.is_some() => profile.credentials.or(in_variables),
        None => in_variables.or(profile.credentials),
    };
    let endpoint =
        target.endpoint(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"]).or(profile.endpoint);
    // A container's own role, as ECS and EKS give it.
    let has_container = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some()
        || (variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
            && variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").is_some());
    let is_instance_ruled_out = variable("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        // The rights of an instance of Amazon's mean nothing to a store that is not Amazon's.
        || !endpoint.as_deref().is_none_or(is_amazon);
    let identity = if credentials.is_some() || (has_container && !is_anonymous) {
        Identity::Named
    } else if is_anonymous || is_instance_ruled_out {
        Identity::Anonymous
    } else {
        Identity::Instance
    };

    // Other S3 servers mostly have one host name and no wildcard certificate; Amazon wants the bucket in the host name, where
    // it can be a part of one.
    let virtual_hosted = variable("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
        .map_or(endpoint.is_none() && !target.bucket.contains(['.', '_']), is_true);
    let address = endpoint.clone().map(|endpoint| match below(&endpoint, target.bucket) {
        Some(with_bucket) if virtual_hosted => with_bucket,
        _ => endpoint,
    });
    let region = region.or_else(|| target.first(&["AWS_REGION", "AWS_DEFAULT_REGION"])).map(str::to_owned);
    // The library takes a key before a role, a role before a container's, and that before an instance's.
    let named = |name| variable(name).map(str::to_owned);
    let mut values = vec![
        (Key::Endpoint, address),
        (Key::Region, region.or(profile.region)),
        (Key::StsEndpoint, named("AWS_ENDPOINT_URL_STS")),
        (Key::ContainerCredentialsRelativeUri, named("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")),
        (Key::ContainerCredentialsFullUri, named("AWS_CONTAINER_CREDENTIALS_FULL_URI")),
        (Key::ContainerAuthorizationTokenFile, named("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")),
        (
            Key::MetadataEndpoint,
            variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").map(|text| text.trim_end_matches('/').to_owned()),
        ),
    ];
    match credentials {
        Some(ProfileCredentials::Key { pair, token }) => values.extend([
            (Key::AccessKeyId, Some(pair.id)),
            (Key::SecretAccessKey, Some(pair.secret.expose().to_owned())),
            (Key::Token, token.map(|token| token.expose().to_owned())),
        ]),
        Some(ProfileCredentials::WebIdentity { role, token_file, session }) => values.extend([
            (Key::RoleArn, Some(role)),
            (Key::WebIdentityTokenFile, Some(token_file)),
            (Key::RoleSessionName, Some(session.unwrap_or_else(|| "larder".to_owned()))),
        ]),
        None => {}
    }
    let builder =
        AmazonS3Builder::new().with_bucket_name(target.bucket).with_virtual_hosted_style_request(virtual_hosted);
    let values = values.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let builder = values.fold(builder, |builder, (key, value)| builder.with_config(key, value));
    Ok(Settings { builder, endpoint, identity })
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
