//! What an object store says when it refuses.
//!
//! S3, Google and Azure answer with a short code beside the status. The code tells a missing key from a missing bucket, and a
//! wrong secret from a right that is lacking; the status does not.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

/// An answer that is no success.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The code, as `NoSuchKey`. Letters, digits and little else: it is printed.
    pub code: Option<String>,
    /// The region in which the bucket is, where the server tells that the request came to another.
    pub region: Option<String>,
    /// What `Retry-After` said.
    pub retry_after: Option<Duration>,
    /// Whether the body is a web page: no object store sends one.
    pub is_web_page: bool,
}

/// What a refusal means for a request for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There is no such object, or these credentials may not learn whether there is.
    Missing,
    /// There is no such bucket.
    NoBucket,
    /// The object is another by now.
    Changed,
    /// There is no such part of it.
    WrongPart,
    /// Anything else: an error.
    Trouble,
}

/// `<Error><Code>…`, or `<ErrorResponse><Error><Code>…` of the service for temporary credentials.
#[derive(Deserialize)]
struct Xml {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Error")]
    error: Option<Box<Self>>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8], retry_after: Option<Duration>) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = String::from_utf8_lossy(body);
        let code = header("x-ms-error-code").or_else(|| code_in(&text)).filter(|code| is_word(code));
        let start = text.trim_start().get(..9).unwrap_or_default().to_ascii_lowercase();
        Self {
            status,
            code,
            region: header("x-amz-bucket-region").filter(|region| is_word(region)),
            retry_after,
            is_web_page: start.starts_with("<html") || start.starts_with("<!doctype"),
        }
    }

    pub(super) fn meaning(&self) -> Meaning {
        let code = self.code.as_deref();
        match (self.status.as_u16(), code) {
            (_, Some("NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled")) => {
                Meaning::NoBucket
            }
            // Azure's answer to a request without a signature for a container that is not public.
            (404, Some("ResourceNotFound")) => Meaning::NoBucket,
            (404 | 410, _) if !self.is_web_page => Meaning::Missing,
            // Stores answer so for a missing key where the reader may not list the bucket.
            (403, None | Some("AccessDenied" | "AuthorizationPermissionMismatch" | "AllAccessDisabled"))
                if !self.is_web_page =>
            {
                Meaning::Missing
            }
            (409, Some("BlobAlreadyExists")) | (304 | 412, _) => Meaning::Changed,
            (416, _) => Meaning::WrongPart,
            _ => Meaning::Trouble,
        }
    }

    /// Whether trying again may help.
    pub(in crate::transport) fn is_transient(&self) -> bool {
        may_pass(self.status)
            || matches!(
                self.code.as_deref().unwrap_or_default(),
                "SlowDown"
                    | "RequestTimeout"
                    | "InternalError"
                    | "OperationAborted"
                    | "ServerBusy"
                    | "Throttling"
                    | "ConditionalRequestConflict"
            )
    }

    /// What can be done about it.
    pub(in crate::transport) fn hint(&self) -> &'static str {
        match (self.code.as_deref().unwrap_or_default(), self.status.as_u16()) {
            ("InvalidAccessKeyId" | "NotSignedUp" | "InvalidClientId", _) => {
                "the store does not know this access key: is `AWS_ACCESS_KEY_ID` (or the profile) the one of this store, and \
                 `AWS_ENDPOINT_URL` where the key belongs?"
            }
            ("SignatureDoesNotMatch" | "AuthenticationFailed" | "InvalidAuthenticationInfo", _) => {
                "the secret does not belong to the key: check `AWS_SECRET_ACCESS_KEY` (`AZURE_STORAGE_ACCOUNT_KEY`, the SAS \
                 token), also for a space or a line break at its end; a masked CI variable that is cut off looks the same"
            }
            (
                "ExpiredToken"
                | "ExpiredTokenException"
                | "TokenRefreshRequired"
                | "InvalidToken"
                | "RequestExpired"
                | "InvalidIdentityToken"
                | "invalid_grant"
                | "invalid_token",
                _,
            ) => {
                "the temporary credentials have expired, or are not whole: get new ones; in GitLab, an ID token lives as long as \
                 the job's timeout allows, and `AWS_SESSION_TOKEN` goes together with its key and secret"
            }
            ("RequestTimeTooSkewed", _) => {
                "the clock of this machine is wrong by more than 15 minutes: set it (`date -u`, `timedatectl`), the signature \
                 holds the time"
            }
            (
                "AuthorizationHeaderMalformed"
                | "PermanentRedirect"
                | "TemporaryRedirect"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301 | 302 | 307 | 308) => {
                "the bucket is in another region, or at another endpoint: set `AWS_REGION`, or `AWS_ENDPOINT_URL`"
            }
            ("AccessDenied" | "AuthorizationPermissionMismatch" | "AuthorizationFailure", _) | (_, 403) => {
                "these credentials lack the right to do this: see the rights that larder needs in docs/object-stores.md"
            }
            ("SlowDown" | "Throttling" | "ServerBusy", _) | (_, 429) => {
                "the store limits requests: try again later, or set `network: connections` lower in larder.yaml"
            }
            (_, 401) => {
                "the store asks for credentials: docs/object-stores.md names the places where larder looks for them"
            }
            (_, 500..=599) => "the store is in trouble: try again later, or ask who runs it",
            (_, 404) => "is this the endpoint of an object store? (`AWS_ENDPOINT_URL`, `endpoint-url`)",
            _ => "does the store speak the protocol of its kind (`s3://`, `gs://`, `az://`) at this endpoint?",
        }
    }
}

/// Whether a server that answers so may answer otherwise when it is asked again.
pub(in crate::transport) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} ({code})", self.status),
            None => write!(f, "{}", self.status),
        }
    }
}

impl std::error::Error for Refusal {}

/// A word and nothing else: the server chooses the text, and it is printed.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn code_in(body: &str) -> Option<String> {
    let body = body.trim_start_matches('\u{feff}').trim_start();
    if body.starts_with('<') {
        let xml: Xml = quick_xml::de::from_str(body).ok()?;
        return xml.code.or_else(|| xml.error?.code);
    }
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let error = json.get("error")?;
    let code = error.as_str().or_else(|| error.get("status")?.as_str());
    code.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::new(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), None)
    }

    #[test]
    fn a_missing_key_is_told_from_everything_else() {
        let xml =
            |code: &str| format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>x</Message></Error>");
        for (status, code, meaning) in [
            (404, "NoSuchKey", Meaning::Missing),
            (404, "BlobNotFound", Meaning::Missing),
            (403, "AccessDenied", Meaning::Missing),
            (404, "NoSuchBucket", Meaning::NoBucket),
            (404, "ContainerNotFound", Meaning::NoBucket),
            (403, "InvalidAccessKeyId", Meaning::Trouble),
            (403, "SignatureDoesNotMatch", Meaning::Trouble),
            (400, "ExpiredToken", Meaning::Trouble),
            (403, "RequestTimeTooSkewed", Meaning::Trouble),
            (412, "PreconditionFailed", Meaning::Changed),
            (503, "SlowDown", Meaning::Trouble),
        ] {
            assert_eq!(refusal(status, &xml(code)).meaning(), meaning, "{code}");
        }
        assert_eq!(refusal(404, "").meaning(), Meaning::Missing);
        assert_eq!(refusal(404, "<!DOCTYPE html><title>404</title>").meaning(), Meaning::Trouble);
        assert_eq!(refusal(403, "<html>captive portal</html>").meaning(), Meaning::Trouble);
    }

    #[test]
    fn codes_are_found_in_every_dialect_and_nothing_else_is_printed() {
        let code = |body: &str| refusal(400, body).code;
        let sts = "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>ExpiredTokenException</Code></Error></ErrorResponse>";
        assert_eq!(code(sts).as_deref(), Some("ExpiredTokenException"));
        assert_eq!(code(r#"{"error": "invalid_grant"}"#).as_deref(), Some("invalid_grant"));
        assert_eq!(
            code(r#"{"error": {"code": 401, "status": "UNAUTHENTICATED"}}"#).as_deref(),
            Some("UNAUTHENTICATED")
        );
        for hostile in
            ["<Error><Code>\u{1b}[31mred</Code></Error>", "<Error><Code>a b</Code></Error>", "<Error>", "{", ""]
        {
            assert_eq!(code(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(refusal(503, "").is_transient());
        assert!(refusal(400, "<Error><Code>RequestTimeout</Code></Error>").is_transient());
        assert!(!refusal(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>").is_transient());
        assert!(!refusal(400, "<Error><Code>ExpiredToken</Code></Error>").is_transient());
    }
}
