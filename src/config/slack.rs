//! `slack:` of `keep:`: how much waste a cache may hold before pruning is worth an upload.

use std::str::FromStr;

use super::text::{from_text, not};
use crate::yaml::{Problem, Result};

/// A share of a cache's bytes, in hundredths of a percent so that two of them can be compared exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slack(u16);

/// One whole.
const WHOLE: u16 = 10_000;

impl Slack {
    /// Nothing: waste goes at once.
    pub const NONE: Self = Self(0);

    /// Whether so many bytes of waste among so many in all are still within it. Without waste everything is.
    pub fn allows(self, waste: u64, all: u64) -> bool {
        u128::from(waste) * u128::from(WHOLE) <= u128::from(all) * u128::from(self.0)
    }
}

impl FromStr for Slack {
    type Err = Problem;

    /// `20%`, `12.5%`, `0.2`.
    fn from_str(text: &str) -> Result<Self> {
        let expected = "a share: expected a percentage from `0%` to `100%`, or a number from 0 to 1";
        let (number, scale) = match text.strip_suffix('%') {
            Some(number) => (number.trim_end(), f64::from(WHOLE) / 100.0),
            None => (text, f64::from(WHOLE)),
        };
        let plain = number.starts_with(|c: char| c.is_ascii_digit())
            && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let share = number.parse::<f64>().ok().filter(|_| plain).ok_or_else(|| not(text, expected))? * scale;
        if !(0.0..=f64::from(WHOLE)).contains(&share) {
            return Err(not(text, expected));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
        Ok(Self(share.round() as u16))
    }
}

from_text!(Slack => ["string", "number"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        for (text, share) in [("20%", 2000), ("0.2", 2000), ("12.5 %", 1250), ("1", WHOLE), ("100%", WHOLE), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Slack(share)), "{text}");
        }
        for text in ["", "%", "101%", "1.01", "-1%", "nan", "inf", "1e-3", "20 GiB", "+5%"] {
            assert!(text.parse::<Slack>().is_err(), "{text}");
        }
    }

    #[test]
    fn waste_is_compared_with_the_whole_cache() {
        let slack: Slack = "20%".parse().unwrap();
        assert!(slack.allows(20, 100) && !slack.allows(21, 100));
        assert!(Slack::NONE.allows(0, 100) && !Slack::NONE.allows(1, u64::MAX));
        assert!(slack.allows(0, 0));
    }
}
