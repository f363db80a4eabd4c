//! How far a phase is, and how that reads on bars and in lines alike.

use larder::reporter::Phase;

use crate::cli::units::{duration, size};

/// What a phase has to do, and what of it is done.
pub(super) struct Tally {
    phase: Phase,
    /// 0 where the number is not known before.
    pub(super) items: u64,
    pub(super) bytes: Option<u64>,
    pub(super) items_done: u64,
    pub(super) bytes_done: u64,
}

impl Tally {
    pub(super) fn new(phase: Phase, items: u64, bytes: Option<u64>) -> Self {
        Self { phase, items, bytes, items_done: 0, bytes_done: 0 }
    }

    /// How many items are done: of all, where their number is known before.
    pub(super) fn items_text(&self) -> String {
        let (done, items) = (self.items_done, self.items_word());
        if self.items == 0 { format!("{done} {items}") } else { format!("{done} of {} {items}", self.items) }
    }

    /// What the phase does, as its bar and its lines begin.
    pub(super) fn doing(&self) -> &'static str {
        match self.phase {
            Phase::Metadata => "asking mirrors",
            Phase::Validate => "validating",
            Phase::Fetch => "fetching",
            Phase::Export => "exporting",
            Phase::Pack => "packing",
            Phase::Unpack => "unpacking",
        }
    }

    /// What its items are.
    pub(super) fn items_word(&self) -> &'static str {
        if self.phase == Phase::Metadata { "specs" } else { "files" }
    }

    /// More bytes, or fewer where a broken download starts again.
    pub(super) fn advance(&mut self, bytes: i64) {
        self.bytes_done = advance(self.bytes_done, bytes);
    }
}

/// A number that broken downloads take back from, never below zero.
pub(super) fn advance(done: u64, by: i64) -> u64 {
    done.saturating_add_signed(by)
}

/// Bytes per second; nothing where there is no time to divide by.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
pub(super) fn per_second(bytes: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0 && bytes > 0).then(|| bytes as f64 / seconds)
}

/// A rate: `45.1 MiB/s`.
pub(super) fn rate_text(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = rate as u64;
    format!("{}/s", size(whole))
}

/// How long the rest takes at this rate: `40 s left`, in whole seconds because it is a guess. Nothing where it is no
/// better than "for ever".
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn time_left(done: u64, total: u64, rate: f64) -> Option<String> {
    let seconds = total.saturating_sub(done) as f64 / rate;
    match seconds {
        _ if !seconds.is_finite() || seconds > 360_000.0 => None,
        _ if seconds < 9.5 => Some(format!("{seconds:.0} s left")),
        _ => Some(format!("{} left", duration(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_whole_seconds_or_nothing() {
        assert_eq!(time_left(50, 100, 7.0).unwrap(), "7 s left");
        assert_eq!(time_left(0, 7200, 1.0).unwrap(), "2 h left");
        assert_eq!(time_left(9, 5, 1.0).unwrap(), "0 s left");
        assert_eq!(time_left(0, 5, 0.0), None);
        assert_eq!(time_left(0, u64::MAX, 1.0), None);
    }

    #[test]
    fn what_is_taken_back_never_leads_below_zero() {
        assert_eq!(advance(5, -9), 0);
        assert_eq!(advance(5, 9), 14);
    }
}
