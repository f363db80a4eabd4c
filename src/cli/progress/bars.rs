//! Progress on a terminal: a bar for each phase that is under way, and below it one for each file in flight.

use std::fmt::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use larder::reporter::{ItemProgress, Level, Phase, PhaseProgress, Reporter};

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
}

/// A phase that is under way. A phase without work has no bar, which would only flicker; where the number of items is not
/// known, the first of them brings it.
struct PhaseBar<'a> {
    bars: &'a Bars,
    phase: Phase,
    tally: Mutex<Tally>,
    total: OnceLock<Bar>,
}

/// An item that is under way.
struct ItemBar<'a> {
    phase: &'a PhaseBar<'a>,
    bar: Option<Bar>,
}

/// One bar, which goes with its subject, even where a run ends with an error.
struct Bar {
    bar: ProgressBar,
    all: MultiProgress,
}

impl Bars {
    pub(super) fn new(screen: Screen, bars: MultiProgress) -> Self {
        Self { screen, all: bars }
    }

    fn add(&self, bar: ProgressBar) -> Bar {
        Bar { bar: self.all.add(bar), all: self.all.clone() }
    }

    fn total(&self, tally: &Tally, phase: Phase, bar: ProgressBar) -> Bar {
        let total = self.add(bar.with_prefix(doing(phase)));
        total.show(tally);
        total.bar.enable_steady_tick(TICK);
        total
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

impl PhaseBar<'_> {
    fn change(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut tally);
        if let Some(total) = self.total.get() {
            total.show(&tally);
        }
    }
}

impl Bar {
    /// The bar of a phase measures bytes where their number is known, else items; the message says the rest.
    fn show(&self, tally: &Tally) {
        let files = tally.items_text();
        let (position, message) = match (tally.bytes, tally.bytes_done) {
            (Some(_), done) => (done, files),
            (None, 0) => (tally.items_done, files),
            (None, done) => (tally.items_done, format!("{files}, {}", size(done))),
        };
        self.bar.set_position(position);
        self.bar.set_message(message);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.all.remove(&self.bar);
    }
}

impl Reporter for Bars {
    fn phase(&self, phase: Phase, items: u64, bytes: Option<u64>) -> Box<dyn PhaseProgress + '_> {
        let tally = Tally::new(phase, items, bytes);
        let mut total = OnceLock::new();
        if items > 0 {
            let template = match bytes {
                Some(_) => "{prefix:14} {wide_bar:.green/dim} {done} of {all}, {msg}, {rate}, {left}",
                None => "{prefix:14} {wide_bar:.green/dim} {msg}",
            };
            let bar = ProgressBar::new(bytes.unwrap_or(items)).with_style(self.style(template));
            total = self.total(&tally, phase, bar).into();
        }
        Box::new(PhaseBar { bars: self, phase, tally: Mutex::new(tally), total })
    }

    fn note(&self, level: Level, text: &str) {
        self.screen.note(level, text);
    }
}

impl PhaseProgress for PhaseBar<'_> {
    fn item(&self, name: &str, bytes: Option<u64>) -> Box<dyn ItemProgress + '_> {
        // Dozens of documents are asked for at once, and each is there in a moment.
        if self.phase == Phase::Metadata {
            return Box::new(ItemBar { phase: self, bar: None });
        }
        self.total.get_or_init(|| {
            let bar = ProgressBar::no_length().with_style(self.bars.style("{prefix:14} {wide_msg}"));
            self.bars.total(&self.tally.lock().unwrap_or_else(PoisonError::into_inner), self.phase, bar)
        });
        let style = self.bars.style(match bytes {
            Some(_) => "  {bar:24.cyan/dim} {done:>10} of {all:<10} {wide_msg}",
            None => "  {spinner:24} {done:>10} {wide_msg}",
        });
        let bar = bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let bar = self.bars.add(bar.with_style(style).with_message(printable(name).into_owned()));
        Box::new(ItemBar { phase: self, bar: Some(bar) })
    }

    fn finish(self: Box<Self>) {}
}

impl ItemProgress for ItemBar<'_> {
    fn advance(&self, bytes: i64) {
        if let Some(Bar { bar, .. }) = &self.bar {
            bar.set_position(advance(bar.position(), bytes));
        }
        self.phase.change(|tally| tally.advance(bytes));
    }

    fn finish(self: Box<Self>) {
        self.phase.change(|tally| tally.items_done += 1);
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
        let phase = screen.bars.phase(Phase::Fetch, 3, Some(100 * MIB));
        let zlib = phase.item("zlib@1.3", Some(40 * MIB));
        let app = phase.item("app@2.0", None);
        let tiny = phase.item("tiny@1", Some(MIB));
        tiny.advance(mib(1));
        tiny.finish();
        zlib.advance(mib(30));
        zlib.advance(-mib(10));
        app.advance(mib(5));
        snapshot_settings().bind(|| {
            insta::assert_snapshot!(screen.shown(), @"
        fetching [bar] 26.0 MiB of 100.0 MiB, 1 of 3 files, [rate], [left]
         [bar] 20.0 MiB of 40.0 MiB   zlib@1.3
          ⠁                           5.0 MiB app@2.0
        ");
        });
        zlib.finish();
        app.finish();
        phase.finish();
        assert_eq!(screen.shown(), "");
    }

    #[test]
    fn an_archive_whose_files_were_not_counted_shows_those_that_are_done() {
        let screen = Fixture::new(Palette::Plain);
        let phase = screen.bars.phase(Phase::Unpack, 0, None);
        assert_eq!(screen.shown(), "");
        for _ in 0..2 {
            let item = phase.item("x", Some(MIB));
            item.advance(mib(1));
            item.finish();
        }
        assert_eq!(screen.shown(), "unpacking      2 files, 2.0 MiB");
        phase.finish();
        assert_eq!(screen.shown(), "");
    }

    #[test]
    fn documents_have_one_bar_together() {
        let screen = Fixture::new(Palette::Plain);
        let phase = screen.bars.phase(Phase::Metadata, 159, None);
        phase.item("zlib", None).finish();
        snapshot_settings().bind(|| insta::assert_snapshot!(screen.shown(), @"asking mirrors [bar] 1 of 159 specs"));
    }

    #[test]
    fn a_run_that_fails_leaves_no_bar() {
        let Fixture { bars, terminal } = Fixture::new(Palette::Plain);
        let phase = bars.phase(Phase::Validate, 2, Some(MIB));
        let item = phase.item("zlib", Some(MIB));
        assert!(!terminal.contents().is_empty());
        drop(item);
        drop(phase);
        assert_eq!(terminal.contents(), "");
    }
}
