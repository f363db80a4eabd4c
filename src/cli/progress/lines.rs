//! Progress in a job log: plain lines at a human pace.
//!
//! A phase says something every ten seconds, and once more at its end; a phase that is over within two seconds says
//! nothing. The time is looked at when progress arrives, so no thread is needed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder::reporter::{ItemProgress, Level, Phase, PhaseProgress, Reporter};

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
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// A phase that is under way, and the section that it has for itself.
struct PhaseLines<'a> {
    lines: &'a Lines,
    section: Option<&'a Sections>,
    phase: Phase,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    spoke: Instant,
}

impl Lines {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, clock: Box::new(Instant::now) }
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
}

impl PhaseLines<'_> {
    /// Change the numbers, and speak where it is time.
    fn update(&self, change: impl FnOnce(&mut Tally)) {
        let now = (self.lines.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state.tally);
        if now.duration_since(state.spoke) >= PACE {
            state.spoke = now;
            self.say(&state.tally, now, state.tally.bytes, None);
        }
    }

    /// `fetching: 8 of 40 files, 435.2 MiB of 2.0 GiB, 42.7 MiB/s, 38 s left`, or at the end
    /// `fetching: 40 of 40 files, 2.0 GiB in 48 s, 42.7 MiB/s`.
    fn say(&self, tally: &Tally, now: Instant, of: Option<u64>, took: Option<Duration>) {
        let Tally { bytes, bytes_done: done, .. } = *tally;
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
        let line = format!("{}: {}{parts}", doing(self.phase), tally.items_text());
        self.lines.screen.note(Level::Info, &line);
    }
}

impl Reporter for Lines {
    fn phase(&self, phase: Phase, count: u64, bytes: Option<u64>) -> Box<dyn PhaseProgress + '_> {
        let section = self.section(phase).map(|(sections, topic)| {
            let size = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
            let count = if count == 0 { String::new() } else { format!("{count} ") };
            sections.begin(topic, &format!("{} {count}{}{size}", doing(phase), items(phase)));
            sections
        });
        let started = (self.clock)();
        let state = State { tally: Tally::new(phase, count, bytes), spoke: started };
        Box::new(PhaseLines { lines: self, section, phase, started, state: Mutex::new(state) })
    }

    fn note(&self, level: Level, text: &str) {
        self.screen.note(level, text);
    }
}

impl PhaseProgress for PhaseLines<'_> {
    fn item(&self, _: &str, _: Option<u64>) -> Box<dyn ItemProgress + '_> {
        self.update(|_| {});
        Box::new(self)
    }

    fn finish(self: Box<Self>) {
        let now = (self.lines.clock)();
        let took = now.duration_since(self.started);
        let tally = &self.state.lock().unwrap_or_else(PoisonError::into_inner).tally;
        // Among sections every phase has a last line: a section with nothing in it would look broken.
        let says_all = matches!(self.lines.screen.kind, Kind::Sections(_));
        if tally.items.max(tally.items_done) > 0 && (says_all || took >= SHORT) {
            self.say(tally, now, None, Some(took));
        }
    }
}

/// Items have no lines of their own.
impl ItemProgress for &PhaseLines<'_> {
    fn advance(&self, bytes: i64) {
        self.update(|tally| tally.advance(bytes));
    }

    fn finish(self: Box<Self>) {
        self.update(|tally| tally.items_done += 1);
    }
}

/// A run that ends with an error leaves no section open above its message, either.
impl Drop for PhaseLines<'_> {
    fn drop(&mut self) {
        if let Some(sections) = self.section {
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
