//! Profiles of AWS: `~/.aws/credentials` and `~/.aws/config`, which the crate `object_store` does not read.
//!
//! Read are keys, and roles taken on by a web identity, which is how GitLab documents its ID tokens. What takes a program or
//! a browser to sign in (`sso_session`, `credential_process`, `source_profile`) is refused by name rather than passed over:
//! a run without the rights of its profile would take binaries for missing.

use std::path::{Path, PathBuf};

use ini::{Ini, ParseOption};

use super::settings::Problem;
use crate::types::{AccessPair, Secret, Variables};

/// What a profile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub credentials: Option<ProfileCredentials>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// How a profile signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProfileCredentials {
    /// A key, and the token that goes with a temporary one.
    Key { pair: AccessPair, token: Option<Secret> },
    /// A role, taken on with a token in a file.
    WebIdentity { role: String, token_file: String, session: Option<String> },
}

impl ProfileCredentials {
    /// A whole key, else a role, by the names that profiles have for them.
    pub(super) fn find<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        if let (Some(id), Some(secret)) = (value("aws_access_key_id"), value("aws_secret_access_key")) {
            let pair = AccessPair { id: id.to_owned(), secret: Secret::new(secret) };
            return Some(Self::Key { pair, token: value("aws_session_token").map(Secret::new) });
        }
        Some(Self::WebIdentity {
            role: value("role_arn")?.to_owned(),
            token_file: value("web_identity_token_file")?.to_owned(),
            session: value("role_session_name").map(str::to_owned),
        })
    }
}

/// The profile that was asked for by name, or the default one where there is any. `Ok(None)`: none was asked for, and there is none.
pub(super) fn read(asked: Option<&str>, variables: &Variables) -> Result<Option<Profile>, Problem> {
    let asked = asked.or_else(|| variables.set("AWS_PROFILE"));
    let name = asked.unwrap_or("default");
    let credentials = path(variables, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = path(variables, "AWS_CONFIG_FILE", "config");
    let in_config = if name == "default" { "default".to_owned() } else { format!("profile {name}") };
    let files = (load(credentials.as_deref())?, load(config.as_deref())?);
    let sections = [files.0.section(Some(name)), files.1.section(Some(in_config.as_str()))];
    if sections.iter().all(Option::is_none) {
        let Some(name) = asked else { return Ok(None) };
        let shown = |path: Option<PathBuf>| path.map_or_else(|| "~/.aws".to_owned(), |path| path.display().to_string());
        return Err(Problem::new(
            format!("there is no AWS profile `{name}`"),
            format!("looked for `[{name}]` in `{}` and for `[{in_config}]` in `{}`", shown(credentials), shown(config)),
        ));
    }
    let value = |key: &str| {
        sections.iter().flatten().find_map(|section| section.get(key)).map(str::trim).filter(|text| !text.is_empty())
    };
    if value("aws_access_key_id").is_some() != value("aws_secret_access_key").is_some() {
        return Err(Problem::new(
            format!("the AWS profile `{name}` has one half of an access key"),
            "it takes `aws_access_key_id` and `aws_secret_access_key`",
        ));
    }
    let credentials = ProfileCredentials::find(value);
    let needs_more =
        ["sso_session", "sso_start_url", "credential_process", "source_profile", "credential_source", "login_session"];
    if credentials.is_none()
        && let Some(key) = needs_more.into_iter().find(|key| value(key).is_some())
    {
        return Err(Problem::new(
            format!("the AWS profile `{name}` signs in by `{key}`, which larder can't do"),
            format!(
                "let the AWS tools sign in and hand over what they got: `eval \"$(aws configure export-credentials --profile \
                 {name} --format env)\"`"
            ),
        ));
    }
    let owned = |key: &str| value(key).map(str::to_owned);
    Ok(Some(Profile { credentials, region: owned("region"), endpoint: owned("endpoint_url") }))
}

/// A file that a variable names, or the one in the home folder.
fn path(variables: &Variables, variable: &str, name: &str) -> Option<PathBuf> {
    let set = |name: &str| variables.set(name).map(PathBuf::from);
    set(variable).or_else(|| Some(set("HOME")?.join(".aws").join(name)))
}

fn load(path: Option<&Path>) -> Result<Ini, Problem> {
    let Some(path) = path else { return Ok(Ini::new()) };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Ini::new()),
        Err(error) => {
            return Err(Problem::new(
                format!("can't read `{}`: {error}", path.display()),
                "may this user read it? `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE` name other files",
            ));
        }
    };
    // A secret may hold any character: neither quotes nor backslashes mean anything in these files.
    let plain = ParseOption {
        enabled_quote: false,
        enabled_escape: false,
        // Settings of one service are indented below it, and are none of the profile's own.
        enabled_preserve_key_leading_whitespace: true,
        ..ParseOption::default()
    };
    Ini::load_from_str_opt(&text, plain).map_err(|error| {
        Problem::new(
            // What the parser says may quote the line, and the line may be a secret.
            format!("`{}` is not an INI file: line {} makes no sense", path.display(), error.line),
            "the file has `[sections]` with lines `key = value`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(home: &Path, more: &[(&str, &str)]) -> Variables {
        let home = ("HOME", home.to_str().unwrap());
        Variables::new(more.iter().chain([&home]).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn home(credentials: &str, config: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        std::fs::write(home.path().join(".aws/config"), config).unwrap();
        home
    }

    #[test]
    fn a_profile_comes_from_both_files() {
        let home = home(
            "[default]\naws_access_key_id = A\naws_secret_access_key = a\\n\"b#c;=\n\n[ci]\naws_access_key_id=B\naws_secret_access_key=b\naws_session_token=t==\n",
            "[default]\nregion = eu-central-1\n[profile ci]\nregion=eu-west-1\nendpoint_url = https://s3.example\ns3 =\n  addressing_style = path\n",
        );
        let of =
            |asked: Option<&str>, more: &[(&str, &str)]| read(asked, &variables(home.path(), more)).unwrap().unwrap();
        let key = |id: &str, secret: &str, token: Option<&str>| {
            let pair = AccessPair { id: id.to_owned(), secret: Secret::new(secret) };
            Some(ProfileCredentials::Key { pair, token: token.map(Secret::new) })
        };
        assert_eq!(of(None, &[]).credentials, key("A", "a\\n\"b#c;=", None));
        assert_eq!(of(None, &[]).region.as_deref(), Some("eu-central-1"));
        let ci = of(Some("ci"), &[]);
        assert_eq!(ci, of(None, &[("AWS_PROFILE", "ci")]));
        assert_eq!(ci.credentials, key("B", "b", Some("t==")));
        assert_eq!((ci.region.as_deref(), ci.endpoint.as_deref()), (Some("eu-west-1"), Some("https://s3.example")));
        assert_eq!(of(Some("default"), &[("AWS_PROFILE", "ci")]).credentials, key("A", "a\\n\"b#c;=", None));
    }

    #[test]
    fn the_profile_that_gitlab_documents_for_its_id_tokens_is_read() {
        let home = home(
            "",
            "[profile oidc]\nrole_arn=arn:aws:iam::1:role/x\nweb_identity_token_file=/tmp/web_identity_token\n",
        );
        let profile = read(Some("oidc"), &variables(home.path(), &[])).unwrap().unwrap();
        let (role, token_file) = ("arn:aws:iam::1:role/x".to_owned(), "/tmp/web_identity_token".to_owned());
        assert_eq!(profile.credentials, Some(ProfileCredentials::WebIdentity { role, token_file, session: None }));
    }

    #[test]
    fn what_larder_cannot_do_is_said_and_no_secret_with_it() {
        let home = home("[half]\naws_access_key_id = A\n", "[profile sso]\nsso_session = x\nregion = y\n");
        let problem = |name: &str| read(Some(name), &variables(home.path(), &[])).unwrap_err();
        assert!(problem("sso").reason.contains("`sso_session`") && problem("sso").hint.contains("export-credentials"));
        assert!(problem("half").reason.contains("one half"));
        assert!(problem("none").reason.contains("no AWS profile `none`"));
        std::fs::write(home.path().join(".aws/credentials"), "[x]\nhunter2\n").unwrap();
        let Problem { reason, hint } = problem("x");
        assert!(reason.contains("makes no sense") && !format!("{reason}{hint}").contains("hunter2"), "{reason}");
    }

    #[test]
    fn nobody_asked_and_nothing_there_is_no_profile() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(None, &variables(home.path(), &[])), Ok(None));
    }
}
