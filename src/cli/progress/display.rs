//! How far the phases are: on bars that are drawn over, or in lines at a human pace.
//!
//! In lines, a phase says something every ten seconds, and once more at its end; a phase that is over within two seconds says
//! nothing. The time is looked at when progress arrives, so no thread is needed.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use larder::reporter::{ItemProgress, Level, Phase, PhaseProgress, Reporter};

use super::bars::Bar;
use super::lines::{header, last_line, line, topic};
use super::screen::{Kind, Screen};
use super::tally::Tally;

/// Between two lines of a phase.
const PACE: Duration = Duration::from_secs(10);
/// A phase that is over sooner needs no line.
const SHORT: Duration = Duration::from_secs(2);

/// Shows progress on a screen.
pub(super) struct Display {
    screen: Arc<Screen>,
    pub(super) clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// A phase that is under way.
struct PhaseDisplay<'a> {
    display: &'a Display,
    phase: Phase,
    started: Instant,
    state: Mutex<State>,
    /// Where there are bars, that of all items together.
    total: OnceLock<Bar>,
}

struct State {
    tally: Tally,
    spoke: Instant,
}

/// An item that is under way.
struct ItemDisplay<'a> {
    phase: &'a PhaseDisplay<'a>,
    bar: Option<Bar>,
}

impl Display {
    pub(super) fn new(screen: Arc<Screen>) -> Self {
        Self { screen, clock: Box::new(Instant::now) }
    }
}

impl PhaseDisplay<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Change the numbers, and show them where it is time.
    fn update(&self, change: impl FnOnce(&mut Tally)) {
        let now = (self.display.clock)();
        let mut state = self.state();
        change(&mut state.tally);
        if let Some(total) = self.total.get() {
            total.show(&state.tally);
        } else if now.duration_since(state.spoke) >= PACE {
            state.spoke = now;
            self.display.note(Level::Info, &line(&state.tally, now.duration_since(self.started)));
        }
    }
}

impl Reporter for Display {
    fn phase(&self, phase: Phase, items: u64, bytes: Option<u64>) -> Box<dyn PhaseProgress + '_> {
        let tally = Tally::new(phase, items, bytes);
        let mut total = OnceLock::new();
        match &self.screen.kind {
            // A phase without work would only flicker. Where the number of items is not known, the first brings the bar.
            Kind::Bars(bars) if items > 0 => total = Bar::of_phase(bars, self.screen.palette, &tally).into(),
            Kind::Sections(sections) => {
                if let Some(topic) = topic(phase) {
                    sections.begin(topic, &header(&tally));
                }
            }
            Kind::Bars(_) | Kind::Plain(_) => {}
        }
        let started = (self.clock)();
        let state = Mutex::new(State { tally, spoke: started });
        Box::new(PhaseDisplay { display: self, phase, started, state, total })
    }

    fn note(&self, level: Level, text: &str) {
        self.screen.note(level, text);
    }
}

impl PhaseProgress for PhaseDisplay<'_> {
    fn item(&self, name: &str, bytes: Option<u64>) -> Box<dyn ItemProgress + '_> {
        let mut bar = None;
        if let Screen { kind: Kind::Bars(bars), palette, .. } = &*self.display.screen {
            self.total.get_or_init(|| Bar::of_phase(bars, *palette, &self.state().tally));
            // Dozens of documents are asked for at once, and each is there in a moment.
            bar = (self.phase != Phase::Metadata).then(|| Bar::of_item(bars, *palette, name, bytes));
        }
        self.update(|_| {});
        Box::new(ItemDisplay { phase: self, bar })
    }

    fn finish(self: Box<Self>) {
        let took = (self.display.clock)().duration_since(self.started);
        let tally = &self.state().tally;
        // Among sections every phase has a last line: a section with nothing in it would look broken.
        let is_told = took >= SHORT || matches!(self.display.screen.kind, Kind::Sections(_));
        if self.total.get().is_none() && tally.items.max(tally.items_done) > 0 && is_told {
            self.display.note(Level::Info, &last_line(tally, took));
        }
    }
}

/// A run that ends with an error leaves no section open above its message, either.
impl Drop for PhaseDisplay<'_> {
    fn drop(&mut self) {
        if let (Kind::Sections(sections), Some(_)) = (&self.display.screen.kind, topic(self.phase)) {
            sections.end();
        }
    }
}

impl ItemProgress for ItemDisplay<'_> {
    fn advance(&self, bytes: i64) {
        if let Some(bar) = &self.bar {
            bar.advance(bytes);
        }
        self.phase.update(|tally| tally.advance(bytes));
    }

    fn finish(self: Box<Self>) {
        self.phase.update(|tally| tally.items_done += 1);
    }
}
