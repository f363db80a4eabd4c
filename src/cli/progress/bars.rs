//! Progress on a terminal: a bar for each phase that is under way, and below it one for each file in flight.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use larder::reporter::{ItemId, Level, Phase, Reporter};

use super::screen::Screen;
use super::tally::{Tally, advance, doing, rate_text, time_left};
use crate::cli::palette::Palette;
use crate::cli::printable::printable;
use crate::cli::units::size;

/// How often rate and time left are drawn anew where nothing arrives, so that a stall can be seen.
const TICK: Duration = Duration::from_millis(250);

/// Draws bars.
pub(super) struct Bars {
    screen: Screen,
    all: MultiProgress,
    phases: Mutex<HashMap<Phase, PhaseBars>>,
}

struct PhaseBars {
    total: ProgressBar,
    tally: Tally,
    in_flight: HashMap<ItemId, ProgressBar>,
}

impl Bars {
    pub(super) fn new(screen: Screen, bars: MultiProgress) -> Self {
        Self { screen, all: bars, phases: Mutex::default() }
    }

    fn with_phase(&self, phase: Phase, change: impl FnOnce(&mut PhaseBars)) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = phases.get_mut(&phase) {
            change(state);
        }
    }

    fn phase_bars(&self, phase: Phase, tally: Tally, bar: ProgressBar) -> PhaseBars {
        let total = self.all.add(bar.with_prefix(doing(phase)));
        let state = PhaseBars { total, tally, in_flight: HashMap::new() };
        state.refresh();
        state.total.enable_steady_tick(TICK);
        state
    }

    fn style(&self, template: &str) -> ProgressStyle {
        let template = match self.screen.palette {
            Palette::Coloured => template.to_owned(),
            Palette::Plain => template.replace(".green/dim", "").replace(".cyan/dim", ""),
        };
        let with = |text: fn(&ProgressState) -> String| {
            move |state: &ProgressState, out: &mut dyn Write| {
                // Where it can't be written, there is no bar either.
                let _ = out.write_str(&text(state));
            }
        };
        // A template of this file can't be wrong: a test draws each of them.
        ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━╌")
            .with_key("done", with(|state| size(state.pos())))
            .with_key("all", with(|state| size(state.len().unwrap_or(state.pos()))))
            .with_key("rate", with(|state| rate_text(state.per_sec())))
            .with_key("left", with(time_left_of))
    }
}

fn time_left_of(state: &ProgressState) -> String {
    let left = state.len().and_then(|total| time_left(state.pos(), total, state.per_sec()));
    left.unwrap_or_else(|| "-".to_owned())
}

impl PhaseBars {
    /// The bar measures bytes where their number is known, else items; the message says the rest.
    fn refresh(&self) {
        let Tally { bytes, items_done, bytes_done, .. } = self.tally;
        let files = self.tally.items_text();
        let (position, message) = match (bytes, bytes_done) {
            (Some(_), _) => (bytes_done, files),
            (None, 0) => (items_done, files),
            (None, _) => (items_done, format!("{files}, {}", size(bytes_done))),
        };
        self.total.set_position(position);
        self.total.set_message(message);
    }

    fn clear(&self, bars: &MultiProgress) {
        for bar in self.in_flight.values().chain([&self.total]) {
            bar.finish_and_clear();
            bars.remove(bar);
        }
    }
}

impl Reporter for Bars {
    fn phase_started(&self, phase: Phase, items: u64, bytes: Option<u64>) {
        // A phase without work would only flicker. Where the number of items is not known, the first of them brings the bar.
        if items == 0 {
            return;
        }
        let template = match bytes {
            Some(_) => "{prefix:14} {wide_bar:.green/dim} {done} of {all}, {msg}, {rate}, {left}",
            None => "{prefix:14} {wide_bar:.green/dim} {msg}",
        };
        let bar = ProgressBar::new(bytes.unwrap_or(items)).with_style(self.style(template));
        let state = self.phase_bars(phase, Tally::new(phase, items, bytes), bar);
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).insert(phase, state);
    }

    fn item_started(&self, phase: Phase, item: ItemId, name: &str, bytes: Option<u64>) {
        // Dozens of documents are asked for at once, and each is there in a moment.
        if phase == Phase::Metadata {
            return;
        }
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.entry(phase).or_insert_with(|| {
            let bar = ProgressBar::no_length().with_style(self.style("{prefix:14} {wide_msg}"));
            self.phase_bars(phase, Tally::new(phase, 0, None), bar)
        });
        drop(phases);
        self.with_phase(phase, |state| {
            let style = self.style(match bytes {
                Some(_) => "  {bar:24.cyan/dim} {done:>10} of {all:<10} {wide_msg}",
                None => "  {spinner:24} {done:>10} {wide_msg}",
            });
            let bar = bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let bar = self.all.add(bar.with_style(style).with_message(printable(name).into_owned()));
            if let Some(old) = state.in_flight.insert(item, bar) {
                old.finish_and_clear();
            }
        });
    }

    fn item_advanced(&self, phase: Phase, item: ItemId, bytes: i64) {
        self.with_phase(phase, |state| {
            state.tally.advance(bytes);
            if let Some(bar) = state.in_flight.get(&item) {
                bar.set_position(advance(bar.position(), bytes));
            }
            state.refresh();
        });
    }

    fn item_finished(&self, phase: Phase, item: ItemId) {
        self.with_phase(phase, |state| {
            state.tally.items_done += 1;
            if let Some(bar) = state.in_flight.remove(&item) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            state.refresh();
        });
    }

    fn phase_finished(&self, phase: Phase) {
        let state = self.phases.lock().unwrap_or_else(PoisonError::into_inner).remove(&phase);
        if let Some(state) = state {
            state.clear(&self.all);
        }
    }

    fn note(&self, level: Level, text: &str) {
        self.screen.note(level, text);
    }
}

/// A run that ends with an error leaves no bar above its message.
impl Drop for Bars {
    fn drop(&mut self) {
        for (_, state) in self.phases.get_mut().unwrap_or_else(PoisonError::into_inner).drain() {
            state.clear(&self.all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::progress::screen::Kind;
    use crate::cli::tests::samples::{MIB, console, mib};
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    /// What a terminal shows. Rates and estimates depend on the machine's clock and are left out.
    struct Fixture {
        bars: Bars,
        terminal: InMemoryTerm,
    }

    impl Fixture {
        fn new(palette: Palette) -> Self {
            let terminal = InMemoryTerm::new(12, 90);
            let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
            let bars = MultiProgress::with_draw_target(target);
            let screen = Screen::with(&console(palette), Kind::Bars(bars.clone()));
            Self { bars: Bars::new(screen, bars), terminal }
        }

        fn shown(&self) -> String {
            let lines: Vec<_> = self.terminal.contents().lines().map(|line| line.trim_end().to_owned()).collect();
            lines.join("\n")
        }
    }

    fn snapshot_settings() -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"[0-9.]+ [KMGTPE]?i?B/s, .*", "[rate], [left]");
        settings.add_filter(r"[━╸╌ ]*[━╸╌]+[━╸╌ ]*", " [bar] ");
        settings
    }

    #[test]
    fn a_download_shows_the_total_and_each_file_and_leaves_nothing() {
        let screen = Fixture::new(Palette::Plain);
        screen.bars.phase_started(Phase::Fetch, 3, Some(100 * MIB));
        screen.bars.item_started(Phase::Fetch, 1, "zlib@1.3", Some(40 * MIB));
        screen.bars.item_started(Phase::Fetch, 2, "app@2.0", None);
        screen.bars.item_started(Phase::Fetch, 3, "tiny@1", Some(MIB));
        screen.bars.item_advanced(Phase::Fetch, 3, mib(1));
        screen.bars.item_finished(Phase::Fetch, 3);
        screen.bars.item_advanced(Phase::Fetch, 1, mib(30));
        screen.bars.item_advanced(Phase::Fetch, 1, -mib(10));
        screen.bars.item_advanced(Phase::Fetch, 2, mib(5));
        snapshot_settings().bind(|| {
            insta::assert_snapshot!(screen.shown(), @"
        fetching [bar] 26.0 MiB of 100.0 MiB, 1 of 3 files, [rate], [left]
         [bar] 20.0 MiB of 40.0 MiB   zlib@1.3
          ⠁                           5.0 MiB app@2.0
        ");
        });
        screen.bars.item_finished(Phase::Fetch, 1);
        screen.bars.item_finished(Phase::Fetch, 2);
        screen.bars.phase_finished(Phase::Fetch);
        assert_eq!(screen.shown(), "");
    }

    #[test]
    fn an_archive_whose_files_were_not_counted_shows_those_that_are_done() {
        let screen = Fixture::new(Palette::Plain);
        screen.bars.phase_started(Phase::Unpack, 0, None);
        assert_eq!(screen.shown(), "");
        for item in 0..2 {
            screen.bars.item_started(Phase::Unpack, item, "x", Some(MIB));
            screen.bars.item_advanced(Phase::Unpack, item, mib(1));
            screen.bars.item_finished(Phase::Unpack, item);
        }
        assert_eq!(screen.shown(), "unpacking      2 files, 2.0 MiB");
        screen.bars.phase_finished(Phase::Unpack);
        assert_eq!(screen.shown(), "");
    }

    #[test]
    fn documents_have_one_bar_together() {
        let screen = Fixture::new(Palette::Plain);
        screen.bars.phase_started(Phase::Metadata, 159, None);
        screen.bars.item_started(Phase::Metadata, 1, "zlib", None);
        screen.bars.item_finished(Phase::Metadata, 1);
        snapshot_settings().bind(|| insta::assert_snapshot!(screen.shown(), @"asking mirrors [bar] 1 of 159 specs"));
    }

    #[test]
    fn a_run_that_fails_leaves_no_bar() {
        let Fixture { bars, terminal } = Fixture::new(Palette::Plain);
        bars.phase_started(Phase::Validate, 2, Some(MIB));
        bars.item_started(Phase::Validate, 1, "zlib", Some(MIB));
        assert!(!terminal.contents().is_empty());
        drop(bars);
        assert_eq!(terminal.contents(), "");
    }
}
