//! What a registry asks for: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

use http_auth::{ChallengeRef, parse_challenges};
use reqwest::Response;
use reqwest::header::WWW_AUTHENTICATE;

/// A login that larder knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from the address `realm`, for `service`, that opens `scope`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The challenge of a response: `Bearer` where there is one, as Docker and Spack choose.
    pub(super) fn of(response: &Response) -> Option<Self> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        Self::choose(headers)
    }

    fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let challenges: Vec<ChallengeRef<'_>> =
            headers.filter_map(|text| parse_challenges(text).ok()).flatten().collect();
        let named = |scheme: &'static str| {
            challenges.iter().filter(move |challenge| challenge.scheme.eq_ignore_ascii_case(scheme))
        };
        let bearer = named("Bearer").find_map(|challenge| {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            Some(Self::Bearer { realm: parameter("realm")?, service: parameter("service"), scope: parameter("scope") })
        });
        bearer.or_else(|| named("Basic").next().map(|_| Self::Basic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_is_preferred_and_both_may_be_in_one_header_or_two() {
        let bearer = Challenge::Bearer {
            realm: "https://auth/token".to_owned(),
            service: Some("registry".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        let text = r#"Bearer realm="https://auth/token",service="registry",scope="repository:a/b:pull,push""#;
        assert_eq!(Challenge::choose([text].into_iter()), Some(bearer.clone()));
        assert_eq!(Challenge::choose(["Basic realm=\"x\"", text].into_iter()), Some(bearer.clone()));
        assert_eq!(Challenge::choose([format!("Basic realm=\"x\", {text}").as_str()].into_iter()), Some(bearer));
        assert_eq!(Challenge::choose(["basic realm=x"].into_iter()), Some(Challenge::Basic));
    }

    #[test]
    fn what_is_no_challenge_is_none() {
        for text in ["", "Negotiate", "Bearer service=\"x\"", "Bearer realm=\"x", "Digest realm=\"x\""] {
            assert_eq!(Challenge::choose([text].into_iter()), None, "{text}");
        }
    }
}
