//! Trying again: exponential backoff with jitter, and what `Retry-After` asks for.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::{Result, TransportError};
use super::limits::{MAX_RETRY_AFTER, NetworkSettings};

/// Run `attempt` until it succeeds, fails for good, or the retries are used up.
pub(super) async fn retry<T, F: Future<Output = Result<T>>>(
    settings: &NetworkSettings,
    attempt: impl FnMut() -> F,
) -> Result<T> {
    attempt
        .retry(backoff(settings))
        .when(TransportError::is_transient)
        .adjust(pause_after)
        .notify(|error, pause| tracing::info!("{error}; trying again in {:.1} s", pause.as_secs_f64()))
        .await
}

/// The pauses before each retry.
pub(super) fn backoff(settings: &NetworkSettings) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(settings.retry_delay)
        .with_max_delay(Duration::from_secs(30).max(settings.retry_delay))
        .with_max_times(settings.retries)
        .with_jitter()
}

/// The pause that is due, or the longer one that the server asked for. `None`: don't try again.
pub(super) fn pause_after(error: &TransportError, pause: Option<Duration>) -> Option<Duration> {
    match error.retry_after() {
        Some(asked) if asked > MAX_RETRY_AFTER => None,
        Some(asked) => pause.map(|pause| pause.max(asked)),
        None => pause,
    }
}

/// What the header `Retry-After` says, if it is there.
pub(super) fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?)
}

/// Seconds, or a date.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Duration::try_from(date.timestamp().duration_since(jiff::Timestamp::now())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        let date = jiff::Timestamp::now() + Duration::from_secs(60);
        let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let pause = retry_after(&text).unwrap();
        assert!((55..=60).contains(&pause.as_secs()), "{pause:?}");
        assert_eq!(retry_after("soon"), None);
    }
}
