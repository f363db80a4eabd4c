//! Sizes, numbers and times, ready to be read.

use bytesize::ByteSize;

/// A size: `2.0 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// `1 blob`, `2 blobs`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `2 blobs (1.0 GiB)`.
pub(crate) fn sized(number: u64, noun: &str, bytes: u64) -> String {
    format!("{} ({})", count(number, noun), size(bytes))
}

/// A stretch of time: `4.2 s`, `40 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    // Whole seconds of a run or an estimate: neither negative nor beyond 64 bits, and `as` saturates anyway.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        let times = [0.04, 4.23, 9.94, 9.96, 59.6, 60.0, 200.0, 3600.0, 7512.0];
        let shown: Vec<_> = times.iter().map(|seconds| duration(*seconds)).collect();
        let expected = ["0.0 s", "4.2 s", "9.9 s", "10 s", "1 min", "1 min", "3 min 20 s", "1 h", "2 h 5 min"];
        assert_eq!(shown, expected);
    }
}
