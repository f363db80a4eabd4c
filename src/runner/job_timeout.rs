//! How long a job may still take until it has to save what it has.
//!
//! A job that runs into its own timeout is ended at once: no `after_script`, and no cache is saved. So a first download that is too
//! large for the job would begin from nothing in every pipeline. The runner tells the timeout (`CI_JOB_TIMEOUT`), and GitLab when
//! the job started.

use std::time::Duration;

use jiff::Timestamp;

use crate::types::Variables;

/// Which part of the job's time is kept for `after_script` and for saving the caches.
const RESERVE_PART: u32 = 10;
/// No less than this is kept, up to half of the job's time.
const LEAST_RESERVE: Duration = Duration::from_secs(60);
/// No more than this is kept.
const MOST_RESERVE: Duration = Duration::from_secs(15 * 60);

/// How long is left for downloads; `None` where nothing is known of a timeout.
///
/// Times of two machines are compared. If it says that the job is past its timeout, which no job is that still runs, the clocks
/// disagree, and nothing is known.
pub fn time_left(variables: &Variables, now: Timestamp) -> Option<Duration> {
    let seconds = variables.set("LARDER_JOB_TIMEOUT").or_else(|| variables.set("CI_JOB_TIMEOUT"))?.parse().ok()?;
    let timeout = Duration::from_secs(seconds);
    let started: Timestamp = variables.set("CI_JOB_STARTED_AT")?.parse().ok()?;
    let elapsed = Duration::try_from(now.duration_since(started)).unwrap_or_default();
    if elapsed >= timeout {
        return None;
    }
    let reserve = (timeout / RESERVE_PART).clamp(LEAST_RESERVE, MOST_RESERVE).min(timeout / 2);
    Some(timeout.saturating_sub(reserve).saturating_sub(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: &str = "2026-01-01T12:00:00Z";

    fn left(timeout: &str, minutes: i64) -> Option<u64> {
        let pairs = [("CI_JOB_TIMEOUT", timeout), ("CI_JOB_STARTED_AT", STARTED)];
        let variables = Variables::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let now = STARTED.parse::<Timestamp>().unwrap() + Duration::from_secs(minutes.unsigned_abs() * 60);
        time_left(&variables, now).map(|left| left.as_secs() / 60)
    }

    #[test]
    fn a_tenth_of_the_time_is_kept_for_saving_within_bounds() {
        assert_eq!(left("3600", 0), Some(54));
        assert_eq!(left("3600", 30), Some(24));
        assert_eq!(left("3600", 56), Some(0));
        assert_eq!(left("36000", 0), Some(585), "a quarter of an hour at most");
        assert_eq!(left("300", 0), Some(4), "a minute at least");
        assert_eq!(left("60", 0), Some(0), "half of it at most");
    }

    #[test]
    fn no_timeout_and_clocks_that_disagree_set_no_bound() {
        assert_eq!(left("3600", 61), None);
        for timeout in ["", "0", "an hour"] {
            assert_eq!(left(timeout, 0), None, "{timeout:?}");
        }
    }
}
