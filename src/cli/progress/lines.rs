//! What a job log says of a phase: plain lines, and the header of a section that folds them.

use std::time::Duration;

use larder::reporter::Phase;

use super::tally::{Tally, per_second, rate_text, time_left};
use crate::cli::units::{duration, size};

/// What the section of the phase is called. Asking mirrors says a line or two, which need no folding.
pub(super) fn topic(phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Metadata => None,
        Phase::Validate => Some("validate"),
        Phase::Fetch => Some("fetch"),
        Phase::Export => Some("export"),
        Phase::Pack => Some("pack"),
        Phase::Unpack => Some("unpack"),
    }
}

/// What is seen of the section while it is folded.
pub(super) fn header(tally: &Tally) -> String {
    let size = tally.bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
    let count = if tally.items == 0 { String::new() } else { format!("{} ", tally.items) };
    format!("{} {count}{}{size}", tally.doing(), tally.items_word())
}

/// `fetching: 8 of 40 files, 435.2 MiB of 2.0 GiB, 42.7 MiB/s, 38 s left`.
pub(super) fn line(tally: &Tally, took: Duration) -> String {
    let rate = per_second(tally.bytes_done, took.as_secs_f64());
    let left = tally.bytes.zip(rate).and_then(|(total, rate)| time_left(tally.bytes_done, total, rate));
    let of = tally.bytes.map(|total| format!(" of {}", size(total)));
    text(tally, of, rate) + &left.map(|left| format!(", {left}")).unwrap_or_default()
}

/// `fetching: 40 of 40 files, 2.0 GiB in 48 s, 42.7 MiB/s`.
pub(super) fn last_line(tally: &Tally, took: Duration) -> String {
    let rate = per_second(tally.bytes_done, took.as_secs_f64());
    text(tally, Some(format!(" in {}", duration(took.as_secs_f64()))), rate)
}

fn text(tally: &Tally, behind_size: Option<String>, rate: Option<f64>) -> String {
    let done = (tally.bytes.is_some() || tally.bytes_done > 0).then(|| format!(", {}", size(tally.bytes_done)));
    let parts = [done, behind_size, rate.map(|rate| format!(", {}", rate_text(rate)))];
    format!("{}: {}{}", tally.doing(), tally.items_text(), parts.into_iter().flatten().collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::cli::palette::Palette;
    use crate::cli::progress::display::Display;
    use crate::cli::progress::screen::{Kind, Screen};
    use crate::cli::tests::samples::{MIB, console, mib};
    use larder::reporter::Reporter as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// A clock that a test moves, and the lines that were said.
    struct Fixture {
        lines: Display,
        millis: Arc<AtomicU64>,
        said: Arc<Mutex<String>>,
    }

    impl Fixture {
        fn new() -> Self {
            let (millis, said) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(String::new())));
            let start = Instant::now();
            let (clock, sink) = (Arc::clone(&millis), Arc::clone(&said));
            let screen = Kind::Plain(Box::new(move |line| sink.lock().unwrap().push_str(line)));
            let mut lines = Display::new(Arc::new(Screen::with(console(Palette::Plain), screen)));
            lines.clock = Box::new(move || start + Duration::from_millis(clock.load(Ordering::Relaxed)));
            Self { lines, millis, said }
        }

        fn wait(&self, seconds: f64) {
            self.millis
                .fetch_add(u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap(), Ordering::Relaxed);
        }

        fn said(&self) -> String {
            self.said.lock().unwrap().trim_end().to_owned()
        }
    }

    #[test]
    fn a_long_download_says_where_it_is_every_ten_seconds_and_how_it_ended() {
        let log = Fixture::new();
        let phase = log.lines.phase(Phase::Fetch, 40, Some(2048 * MIB));
        for _ in 0..40 {
            let item = phase.item("x", Some(51 * MIB));
            for _ in 0..4 {
                log.wait(0.3);
                item.advance(mib(128) / 10);
            }
            item.finish();
        }
        phase.finish();
        insta::assert_snapshot!(log.said(), @"
        fetching: 8 of 40 files, 435.2 MiB of 2.0 GiB, 42.7 MiB/s, 38 s left
        fetching: 16 of 40 files, 870.4 MiB of 2.0 GiB, 42.7 MiB/s, 28 s left
        fetching: 25 of 40 files, 1.3 GiB of 2.0 GiB, 42.7 MiB/s, 17 s left
        fetching: 33 of 40 files, 1.7 GiB of 2.0 GiB, 42.7 MiB/s, 7 s left
        fetching: 40 of 40 files, 2.0 GiB in 48 s, 42.7 MiB/s
        ");
    }

    #[test]
    fn a_short_phase_says_nothing() {
        let log = Fixture::new();
        let phase = log.lines.phase(Phase::Metadata, 3, None);
        log.wait(1.9);
        phase.item("x", None).finish();
        phase.finish();
        assert_eq!(log.said(), "");
    }

    #[test]
    fn without_sizes_there_is_no_rate_and_no_estimate() {
        let log = Fixture::new();
        let phase = log.lines.phase(Phase::Metadata, 159, None);
        let item = phase.item("x", None);
        log.wait(11.0);
        item.finish();
        log.wait(1.0);
        phase.finish();
        insta::assert_snapshot!(log.said(), @"
        asking mirrors: 1 of 159 specs
        asking mirrors: 1 of 159 specs in 12 s
        ");
    }

    #[test]
    fn a_mirror_that_states_no_sizes_gets_a_rate_but_no_estimate() {
        let log = Fixture::new();
        let phase = log.lines.phase(Phase::Fetch, 2, None);
        let item = phase.item("x", None);
        log.wait(5.0);
        item.advance(mib(600));
        item.advance(-mib(100));
        log.wait(5.0);
        item.advance(0);
        insta::assert_snapshot!(log.said(), @"fetching: 0 of 2 files, 500.0 MiB, 50.0 MiB/s");
    }

    #[test]
    fn files_whose_number_is_not_known_before_are_only_counted() {
        let log = Fixture::new();
        let phase = log.lines.phase(Phase::Unpack, 0, None);
        log.wait(11.0);
        phase.item("x", Some(MIB)).finish();
        phase.finish();
        insta::assert_snapshot!(log.said(), @"
        unpacking: 0 files
        unpacking: 1 files in 11 s
        ");
    }

    #[test]
    fn two_phases_at_once_do_not_mix() {
        let log = Fixture::new();
        let validating = log.lines.phase(Phase::Validate, 2, Some(MIB));
        let fetching = log.lines.phase(Phase::Fetch, 2, Some(MIB));
        log.wait(3.0);
        let item = validating.item("x", Some(MIB));
        item.advance(mib(1));
        item.finish();
        validating.item("y", None).finish();
        validating.finish();
        fetching.finish();
        insta::assert_snapshot!(log.said(), @"
        validating: 2 of 2 files, 1.0 MiB in 3.0 s, 341.3 KiB/s
        fetching: 0 of 2 files, 0 B in 3.0 s
        ");
    }
}
