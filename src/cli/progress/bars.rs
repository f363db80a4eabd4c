//! Progress on a terminal: a bar for each phase that is under way, and below it one for each file in flight.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use larder::reporter::{ItemId, Phase};

use super::{View, advance, doing, items, rate_text, seconds_left};
use crate::cli::console::{Palette, duration, size};

/// How often rate and time left are drawn anew where nothing arrives, so that a stall can be seen.
const TICK: Duration = Duration::from_millis(250);

/// Draws bars.
pub(super) struct Bars {
    screen: MultiProgress,
    palette: Palette,
    phases: Mutex<HashMap<Phase, PhaseBars>>,
}

struct PhaseBars {
    total: ProgressBar,
    unit: Unit,
    items: u64,
    items_done: u64,
    bytes_done: u64,
    in_flight: HashMap<ItemId, ItemBar>,
}

/// What the bar of a phase measures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Items,
}

struct ItemBar {
    bar: ProgressBar,
    done: u64,
}

impl Bars {
    pub(super) fn new(screen: MultiProgress, palette: Palette) -> Self {
        Self { screen, palette, phases: Mutex::default() }
    }

    fn with_phase(&self, phase: Phase, change: impl FnOnce(&mut PhaseBars)) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = phases.get_mut(&phase) {
            change(state);
        }
    }

    fn style(&self, coloured: &str, plain: &str) -> ProgressStyle {
        let template = match self.palette {
            Palette::Coloured => coloured,
            Palette::Plain => plain,
        };
        // A template of this file can't be wrong: a test draws each of them.
        ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━╌")
            .with_key("done", |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{}", size(state.pos()));
            })
            .with_key("all", |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{}", size(state.len().unwrap_or(state.pos())));
            })
            .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{}", rate_text(state.per_sec()));
            })
            .with_key("left", |state: &ProgressState, out: &mut dyn Write| {
                let (total, rate) = (state.len().unwrap_or(0), state.per_sec());
                if rate > 0.0 {
                    let _ = write!(out, "{} left", duration(seconds_left(state.pos(), total, rate)));
                }
            })
    }
}

impl PhaseBars {
    /// What the bar's length does not tell.
    fn message(&self, phase: Phase) -> String {
        let files = format!("{} of {} {}", self.items_done, self.items, items(phase));
        match self.unit {
            Unit::Items if self.bytes_done > 0 => format!("{files}, {}", size(self.bytes_done)),
            Unit::Items | Unit::Bytes => files,
        }
    }

    fn refresh(&self, phase: Phase) {
        self.total.set_position(match self.unit {
            Unit::Bytes => self.bytes_done,
            Unit::Items => self.items_done,
        });
        self.total.set_message(self.message(phase));
    }
}

impl View for Bars {
    fn phase_started(&self, phase: Phase, items: u64, bytes: Option<u64>) {
        // A phase without work would only flicker.
        if items == 0 {
            return;
        }
        let (unit, length, style) = match bytes {
            Some(bytes) => (
                Unit::Bytes,
                bytes,
                self.style(
                    "{prefix:14} {wide_bar:.green/dim} {done} of {all}, {msg}, {rate}, {left}",
                    "{prefix:14} {wide_bar} {done} of {all}, {msg}, {rate}, {left}",
                ),
            ),
            None => (
                Unit::Items,
                items,
                self.style("{prefix:14} {wide_bar:.green/dim} {msg}", "{prefix:14} {wide_bar} {msg}"),
            ),
        };
        let total = self.screen.add(ProgressBar::new(length).with_style(style).with_prefix(doing(phase)));
        let in_flight = HashMap::new();
        let state = PhaseBars { total, unit, items, items_done: 0, bytes_done: 0, in_flight };
        state.refresh(phase);
        state.total.enable_steady_tick(TICK);
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).insert(phase, state);
    }

    fn item_started(&self, phase: Phase, item: ItemId, name: &str, bytes: Option<u64>) {
        // Dozens of documents are asked for at once, and each is there in a moment.
        if phase == Phase::Metadata {
            return;
        }
        self.with_phase(phase, |state| {
            let style = match bytes {
                Some(_) => self.style(
                    "  {bar:24.cyan/dim} {done:>10} of {all:<10} {wide_msg}",
                    "  {bar:24} {done:>10} of {all:<10} {wide_msg}",
                ),
                None => self.style("  {spinner:24} {done:>10} {wide_msg}", "  {spinner:24} {done:>10} {wide_msg}"),
            };
            let bar = bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let bar = self.screen.add(bar.with_style(style).with_message(name.to_owned()));
            if let Some(old) = state.in_flight.insert(item, ItemBar { bar, done: 0 }) {
                old.bar.finish_and_clear();
            }
        });
    }

    fn item_advanced(&self, phase: Phase, item: ItemId, bytes: i64) {
        self.with_phase(phase, |state| {
            state.bytes_done = advance(state.bytes_done, bytes);
            if let Some(item) = state.in_flight.get_mut(&item) {
                item.done = advance(item.done, bytes);
                item.bar.set_position(item.done);
            }
            state.refresh(phase);
        });
    }

    fn item_finished(&self, phase: Phase, item: ItemId) {
        self.with_phase(phase, |state| {
            state.items_done += 1;
            if let Some(item) = state.in_flight.remove(&item) {
                item.bar.finish_and_clear();
                self.screen.remove(&item.bar);
            }
            state.refresh(phase);
        });
    }

    fn phase_finished(&self, phase: Phase) {
        let state = self.phases.lock().unwrap_or_else(PoisonError::into_inner).remove(&phase);
        if let Some(state) = state {
            state.clear(&self.screen);
        }
    }
}

impl PhaseBars {
    fn clear(self, screen: &MultiProgress) {
        for item in self.in_flight.into_values() {
            item.bar.finish_and_clear();
            screen.remove(&item.bar);
        }
        self.total.finish_and_clear();
        screen.remove(&self.total);
    }
}

/// A run that ends with an error leaves no bar above its message.
impl Drop for Bars {
    fn drop(&mut self) {
        for (_, state) in self.phases.get_mut().unwrap_or_else(PoisonError::into_inner).drain() {
            state.clear(&self.screen);
        }
    }
}
