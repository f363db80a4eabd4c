//! Progress in a job log: plain lines at a human pace.
//!
//! A phase says something every ten seconds, and once more at its end; a phase that is over within two seconds says
//! nothing. The time is looked at when progress arrives, so no thread is needed.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder::reporter::{ItemId, Phase};

use super::{Screen, View, advance, doing, items_text, per_second, rate_text, time_left};
use crate::cli::console::{duration, size};

/// Between two lines of a phase.
const PACE: Duration = Duration::from_secs(10);
/// What nobody waits for.
const SHORT: Duration = Duration::from_secs(2);

type Clock = Box<dyn Fn() -> Instant + Send + Sync>;
type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Says how far the phases are.
pub(super) struct Lines {
    phases: Mutex<HashMap<Phase, State>>,
    clock: Clock,
    sink: Sink,
    /// Whether a short phase says something as well.
    short_ones: ShortPhases,
}

/// What a phase that nobody waits for says.
#[derive(Clone, Copy, PartialEq)]
enum ShortPhases {
    Silent,
    /// Its last line: a section with nothing in it would look broken.
    SayTheEnd,
}

struct State {
    items: u64,
    items_done: u64,
    bytes: Option<u64>,
    bytes_done: u64,
    started: Instant,
    spoke: Instant,
}

impl Lines {
    pub(super) fn new(screen: Screen) -> Self {
        Self::with(Box::new(Instant::now), Box::new(move |line| screen.write_line(line)))
    }

    /// Lines for a log whose phases are folded.
    pub(super) fn in_sections(screen: Screen) -> Self {
        Self { short_ones: ShortPhases::SayTheEnd, ..Self::new(screen) }
    }

    fn with(clock: Clock, sink: Sink) -> Self {
        Self { phases: Mutex::default(), clock, sink, short_ones: ShortPhases::Silent }
    }

    /// Change the state of a phase, and speak where it is time.
    fn update(&self, phase: Phase, change: impl FnOnce(&mut State)) {
        let now = (self.clock)();
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = phases.get_mut(&phase) else { return };
        change(state);
        if now.duration_since(state.spoke) >= PACE {
            state.spoke = now;
            (self.sink)(&state.line(phase, now));
        }
    }
}

impl State {
    fn line(&self, phase: Phase, now: Instant) -> String {
        let seconds = now.duration_since(self.started).as_secs_f64();
        let mut line = self.items_line(phase);
        // Writing to a string can't fail.
        if self.has_bytes() {
            let _ = write!(line, ", {}", size(self.bytes_done));
            if let Some(total) = self.bytes {
                let _ = write!(line, " of {}", size(total));
            }
        }
        if let Some(rate) = per_second(self.bytes_done, seconds) {
            let _ = write!(line, ", {}", rate_text(rate));
            if let Some(left) = self.bytes.and_then(|total| time_left(self.bytes_done, total, rate)) {
                let _ = write!(line, ", {left}");
            }
        }
        line
    }

    fn last_line(&self, phase: Phase, now: Instant) -> String {
        let seconds = now.duration_since(self.started).as_secs_f64();
        let mut line = self.items_line(phase);
        if self.has_bytes() {
            let _ = write!(line, ", {}", size(self.bytes_done));
        }
        let _ = write!(line, " in {}", duration(seconds));
        if let Some(rate) = per_second(self.bytes_done, seconds) {
            let _ = write!(line, ", {}", rate_text(rate));
        }
        line
    }

    fn items_line(&self, phase: Phase) -> String {
        format!("{}: {}", doing(phase), items_text(phase, self.items_done, self.items))
    }

    fn has_bytes(&self) -> bool {
        self.bytes.is_some() || self.bytes_done > 0
    }
}

impl View for Lines {
    fn phase_started(&self, phase: Phase, items: u64, bytes: Option<u64>) {
        let now = (self.clock)();
        let state = State { items, items_done: 0, bytes, bytes_done: 0, started: now, spoke: now };
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).insert(phase, state);
    }

    fn item_started(&self, phase: Phase, _: ItemId, _: &str, _: Option<u64>) {
        self.update(phase, |_| {});
    }

    fn item_advanced(&self, phase: Phase, _: ItemId, bytes: i64) {
        self.update(phase, |state| state.bytes_done = advance(state.bytes_done, bytes));
    }

    fn item_finished(&self, phase: Phase, _: ItemId) {
        self.update(phase, |state| state.items_done += 1);
    }

    fn phase_finished(&self, phase: Phase) {
        let now = (self.clock)();
        let state = self.phases.lock().unwrap_or_else(PoisonError::into_inner).remove(&phase);
        if let Some(state) = state
            && state.items.max(state.items_done) > 0
            && (now.duration_since(state.started) >= SHORT || self.short_ones == ShortPhases::SayTheEnd)
        {
            (self.sink)(&state.last_line(phase, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{MIB, mib};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that a test moves, and the lines that were said.
    struct Fixture {
        lines: Lines,
        millis: Arc<AtomicU64>,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Fixture {
        fn new() -> Self {
            let (millis, said) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
            let start = Instant::now();
            let (clock, sink) = (Arc::clone(&millis), Arc::clone(&said));
            let lines = Lines::with(
                Box::new(move || start + Duration::from_millis(clock.load(Ordering::Relaxed))),
                Box::new(move |line| sink.lock().unwrap().push(line.to_owned())),
            );
            Self { lines, millis, said }
        }

        fn wait(&self, seconds: f64) {
            self.millis
                .fetch_add(u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap(), Ordering::Relaxed);
        }

        fn said(&self) -> String {
            self.said.lock().unwrap().join("\n")
        }
    }

    #[test]
    fn a_long_download_says_where_it_is_every_ten_seconds_and_how_it_ended() {
        let log = Fixture::new();
        log.lines.phase_started(Phase::Fetch, 40, Some(2048 * MIB));
        for item in 0..40 {
            log.lines.item_started(Phase::Fetch, item, "x", Some(51 * MIB));
            for _ in 0..4 {
                log.wait(0.3);
                log.lines.item_advanced(Phase::Fetch, item, mib(128) / 10);
            }
            log.lines.item_finished(Phase::Fetch, item);
        }
        log.lines.phase_finished(Phase::Fetch);
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
        log.lines.phase_started(Phase::Metadata, 3, None);
        log.wait(1.9);
        log.lines.item_finished(Phase::Metadata, 1);
        log.lines.phase_finished(Phase::Metadata);
        assert_eq!(log.said(), "");
    }

    #[test]
    fn without_sizes_there_is_no_rate_and_no_estimate() {
        let log = Fixture::new();
        log.lines.phase_started(Phase::Metadata, 159, None);
        log.wait(11.0);
        log.lines.item_finished(Phase::Metadata, 1);
        log.wait(1.0);
        log.lines.phase_finished(Phase::Metadata);
        insta::assert_snapshot!(log.said(), @"
        asking mirrors: 1 of 159 specs
        asking mirrors: 1 of 159 specs in 12 s
        ");
    }

    #[test]
    fn a_mirror_that_states_no_sizes_gets_a_rate_but_no_estimate() {
        let log = Fixture::new();
        log.lines.phase_started(Phase::Fetch, 2, None);
        log.wait(5.0);
        log.lines.item_advanced(Phase::Fetch, 1, mib(600));
        log.lines.item_advanced(Phase::Fetch, 1, -mib(100));
        log.wait(5.0);
        log.lines.item_advanced(Phase::Fetch, 1, 0);
        insta::assert_snapshot!(log.said(), @"fetching: 0 of 2 files, 500.0 MiB, 50.0 MiB/s");
    }

    #[test]
    fn files_whose_number_is_not_known_before_are_only_counted() {
        let log = Fixture::new();
        log.lines.phase_started(Phase::Unpack, 0, None);
        log.wait(11.0);
        log.lines.item_started(Phase::Unpack, 1, "x", Some(MIB));
        log.lines.item_finished(Phase::Unpack, 1);
        log.lines.phase_finished(Phase::Unpack);
        insta::assert_snapshot!(log.said(), @"
        unpacking: 0 files
        unpacking: 1 files in 11 s
        ");
    }

    #[test]
    fn two_phases_at_once_do_not_mix() {
        let log = Fixture::new();
        log.lines.phase_started(Phase::Validate, 2, Some(MIB));
        log.lines.phase_started(Phase::Fetch, 2, Some(MIB));
        log.wait(3.0);
        log.lines.item_advanced(Phase::Validate, 1, mib(1));
        log.lines.item_finished(Phase::Validate, 1);
        log.lines.item_finished(Phase::Validate, 2);
        log.lines.phase_finished(Phase::Validate);
        log.lines.phase_finished(Phase::Fetch);
        insta::assert_snapshot!(log.said(), @"
        validating: 2 of 2 files, 1.0 MiB in 3.0 s, 341.3 KiB/s
        fetching: 0 of 2 files, 0 B in 3.0 s
        ");
    }
}
