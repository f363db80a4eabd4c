//! How long something may lie unused.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// A length of time such as `30d`, `2 weeks` or `12h`, in the notation of the `jiff` crate; a day has 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxAge(Duration);

impl MaxAge {
    /// An age of whole days.
    pub const fn days(days: u64) -> Self {
        Self(Duration::from_secs(days * 24 * 60 * 60))
    }

    /// The age as a duration.
    pub fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for MaxAge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Span>()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|age| Duration::try_from(age).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not a length of time: expected a number with a unit, such as `30d`, `12h` or `2w`")
            })
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 86_400, seconds % 86_400 / 3600, seconds % 3600) {
            (0, 0, seconds) => write!(f, "{seconds}s"),
            (days, 0, 0) => write!(f, "{days}d"),
            (days, hours, 0) => write!(f, "{}h", days * 24 + hours),
            _ => write!(f, "{seconds}s"),
        }
    }
}

super::text_type::serde_as_text!(MaxAge);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_weeks_and_hours_are_read() {
        assert_eq!("30d".parse(), Ok(MaxAge::days(30)));
        assert_eq!("2 weeks".parse(), Ok(MaxAge::days(14)));
        assert_eq!("48h".parse(), Ok(MaxAge::days(2)));
        for bad in ["", "30", "-1d", "soon", "1 month"] {
            assert!(bad.parse::<MaxAge>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_age_is_printed_as_it_is_written() {
        for text in ["30d", "12h", "90s", "0s"] {
            assert_eq!(text.parse::<MaxAge>().unwrap().to_string(), text);
        }
    }
}
