//! Trying again: exponential backoff with jitter, and what `Retry-After` asks for.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::error::TransportError;
use super::limits::{MAX_RETRY_AFTER, NetworkSettings};

/// Run `attempt` until it succeeds, fails for good, or the retries are used up.
pub(super) async fn retry<T, F: Future<Output = Result<T, TransportError>>>(
    settings: &NetworkSettings,
    attempt: impl FnMut() -> F,
) -> Result<T, TransportError> {
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
