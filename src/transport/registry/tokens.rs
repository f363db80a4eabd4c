//! The server that hands out tokens for a registry, as Docker's token protocol has it: a GET with the user's password, or a POST
//! with the identity token that a login left, answered with JSON.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::transport::body::{Purpose, collect};
use crate::transport::credentials::{Credential, Login, Sourced};
use crate::transport::error::{Result, TransportError};
use crate::transport::http::{Http, read, refusal};
use crate::transport::location::Location;
use crate::types::{PublicUrl, Secret};

/// The most bytes of an answer with a token. Stops an endless one from filling the memory.
const MAX_TOKEN: u64 = 64 << 10;

/// Where tokens are, as a challenge describes it.
pub(super) struct TokenServer<'a> {
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) scope: &'a str,
}

/// The answer of a token server. Both names are in use; what it says of expiry is not needed, since the registry says so.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenServer<'_> {
    /// Ask for a token that opens the repository which is `at`, at `registry`.
    pub(super) async fn token(
        &self,
        http: &Http,
        registry: &Url,
        at: &Location,
        login: Option<Sourced<Login>>,
    ) -> Result<Credential> {
        let mut realm: Url = self.realm.parse().map_err(|_| {
            let hint = "is this the address of a container registry?";
            TransportError::login(registry, "it names no address for tokens", hint)
        })?;
        if !matches!(realm.scheme(), "http" | "https") || !at.plain_http.allows(&realm) {
            let reason = format!("it hands out tokens at `{}`, which is not protected by TLS", PublicUrl::from(&realm));
            let hint = "correct the registry's settings; where you trust the network, `insecure: true` in the mirror's entry \
                        allows it";
            return Err(TransportError::login(registry, reason, hint));
        }
        let questions = [("service", self.service), ("scope", Some(self.scope)), ("client_id", Some("larder"))];
        let questions = questions.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let (login, source) = login.map(|login| (login.credential, login.source)).unzip();
        let (request, pair) = match login {
            Some(Login::Identity(token)) => {
                let grant = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
                let form = Serializer::new(String::new()).extend_pairs(questions).extend_pairs(grant).finish();
                let request = http.request(Method::POST, &realm, at.plain_http, Purpose::Document).await?;
                (request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form), None)
            }
            login => {
                realm.query_pairs_mut().extend_pairs(questions);
                let request = http.request(Method::GET, &realm, at.plain_http, Purpose::Document).await?;
                (request, if let Some(Login::Pair(pair)) = login { Some(Credential::Pair(pair)) } else { None })
            }
        };
        let response = http.send(&realm, request, pair.as_ref()).await?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) {
            return Err(http.credentials.denied(&realm, status, &at.access, source.as_deref()));
        }
        if status != StatusCode::OK {
            return Err(refusal(&response));
        }
        let Some(body) = read(&realm, response, None)? else { return Err(wrong_token(&realm)) };
        let bytes = collect(&http.settings, &realm, body, MAX_TOKEN).await?;
        let answer: TokenAnswer = serde_json::from_slice(&bytes).map_err(|_| wrong_token(&realm))?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        Ok(Credential::Token(Secret::new(token.ok_or_else(|| wrong_token(&realm))?)))
    }
}

fn wrong_token(realm: &Url) -> TransportError {
    let hint = "is there a login page, or a captive portal, between here and the registry?";
    TransportError::login(realm, "its answer holds no token", hint)
}
