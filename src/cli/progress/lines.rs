//! Progress in a job log: plain lines at a human pace.
//!
//! A phase says something every ten seconds, and once more at its end; a phase that is over within two seconds says
//! nothing. The time is looked at when progress arrives, so no thread is needed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder::reporter::{ItemId, Level, Phase, Reporter};

use super::screen::{Kind, Screen};
use super::tally::{Tally, doing, items, per_second, rate_text, time_left};
use crate::cli::sections::Sections;
use crate::cli::units::{duration, size};

/// Between two lines of a phase.
const PACE: Duration = Duration::from_secs(10);
/// A phase that is over sooner needs no line.
const SHORT: Duration = Duration::from_secs(2);

/// Says how far the phases are.
pub(super) struct Lines {
    screen: Screen,
    phases: Mutex<HashMap<Phase, State>>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

struct State {
    tally: Tally,
    started: Instant,
    spoke: Instant,
}

impl Lines {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, phases: Mutex::default(), clock: Box::new(Instant::now) }
    }

    /// The phase has a section of its own. Asking mirrors says a line or two, which need no folding.
    fn section(&self, phase: Phase) -> Option<(&Sections, &'static str)> {
        let Kind::Sections(sections) = &self.screen.kind else { return None };
        let topic = match phase {
            Phase::Metadata => return None,
            Phase::Validate => "validate",
            Phase::Fetch => "fetch",
            Phase::Export => "export",
            Phase::Pack => "pack",
            Phase::Unpack => "unpack",
        };
        Some((sections, topic))
    }

    /// Change the state of a phase, and speak where it is time.
    fn update(&self, phase: Phase, change: impl FnOnce(&mut State)) {
        let now = (self.clock)();
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = phases.get_mut(&phase) else { return };
        change(state);
        if now.duration_since(state.spoke) >= PACE {
            state.spoke = now;
            self.screen.note(Level::Info, &state.line(phase, now));
        }
    }
}

impl State {
    fn line(&self, phase: Phase, now: Instant) -> String {
        self.text(phase, now, self.tally.bytes, None)
    }

    fn last_line(&self, phase: Phase, now: Instant) -> String {
        self.text(phase, now, None, Some(now.duration_since(self.started)))
    }

    /// `fetching: 8 of 40 files, 435.2 MiB of 2.0 GiB, 42.7 MiB/s, 38 s left`, or at the end
    /// `fetching: 40 of 40 files, 2.0 GiB in 48 s, 42.7 MiB/s`.
    fn text(&self, phase: Phase, now: Instant, of: Option<u64>, took: Option<Duration>) -> String {
        let Tally { bytes, bytes_done: done, .. } = self.tally;
        let rate = per_second(done, now.duration_since(self.started).as_secs_f64());
        let left = of.zip(rate).and_then(|(total, rate)| time_left(done, total, rate));
        let parts = [
            (bytes.is_some() || done > 0).then(|| format!(", {}", size(done))),
            of.map(|total| format!(" of {}", size(total))),
            took.map(|took| format!(" in {}", duration(took.as_secs_f64()))),
            rate.map(|rate| format!(", {}", rate_text(rate))),
            left.map(|left| format!(", {left}")),
        ];
        let parts: String = parts.into_iter().flatten().collect();
        format!("{}: {}{parts}", doing(phase), self.tally.items_text())
    }
}

impl Reporter for Lines {
    fn phase_started(&self, phase: Phase, count: u64, bytes: Option<u64>) {
        if let Some((sections, topic)) = self.section(phase) {
            let size = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
            let count = if count == 0 { String::new() } else { format!("{count} ") };
            sections.begin(topic, &format!("{} {count}{}{size}", doing(phase), items(phase)));
        }
        let now = (self.clock)();
        let state = State { tally: Tally::new(phase, count, bytes), started: now, spoke: now };
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).insert(phase, state);
    }

    fn item_started(&self, phase: Phase, _: ItemId, _: &str, _: Option<u64>) {
        self.update(phase, |_| {});
    }

    fn item_advanced(&self, phase: Phase, _: ItemId, bytes: i64) {
        self.update(phase, |state| state.tally.advance(bytes));
    }

    fn item_finished(&self, phase: Phase, _: ItemId) {
        self.update(phase, |state| state.tally.items_done += 1);
    }

    fn phase_finished(&self, phase: Phase) {
        let now = (self.clock)();
        let state = self.phases.lock().unwrap_or_else(PoisonError::into_inner).remove(&phase);
        // Among sections every phase has a last line: a section with nothing in it would look broken.
        let says_all = matches!(self.screen.kind, Kind::Sections(_));
        if let Some(state) = state
            && state.tally.items.max(state.tally.items_done) > 0
            && (says_all || now.duration_since(state.started) >= SHORT)
        {
            self.screen.note(Level::Info, &state.last_line(phase, now));
        }
        if let Some((sections, _)) = self.section(phase) {
            sections.end();
        }
    }

    fn note(&self, level: Level, text: &str) {
        self.screen.note(level, text);
    }
}

/// A run that ends with an error leaves no section open above its message.
impl Drop for Lines {
    fn drop(&mut self) {
        if let Kind::Sections(sections) = &self.screen.kind {
            sections.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::palette::Palette;
    use crate::cli::tests::samples::{MIB, console, mib};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that a test moves, and the lines that were said.
    struct Fixture {
        lines: Lines,
        millis: Arc<AtomicU64>,
        said: Arc<Mutex<String>>,
    }

    impl Fixture {
        fn new() -> Self {
            let (millis, said) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(String::new())));
            let start = Instant::now();
            let (clock, sink) = (Arc::clone(&millis), Arc::clone(&said));
            let screen = Kind::Plain(Arc::new(move |line| sink.lock().unwrap().push_str(line)));
            let mut lines = Lines::new(Screen::with(&console(Palette::Plain), screen));
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
