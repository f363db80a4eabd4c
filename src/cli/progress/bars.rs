//! Bars on a terminal: one for each phase that is under way, and below it one for each file in flight.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::tally::{Tally, advance, rate_text, time_left};
use crate::cli::palette::Palette;
use crate::cli::printable::printable;
use crate::cli::units::size;

/// How often rate and time left are drawn anew where nothing arrives, so that a stall can be seen.
const TICK: Duration = Duration::from_millis(250);

/// One bar, which goes when it is dropped: a run that ends with an error leaves none above its message.
pub(super) struct Bar {
    bar: ProgressBar,
    all: MultiProgress,
}

impl Bar {
    /// The bar of a phase, which measures bytes where their number is known, else items.
    pub(super) fn of_phase(all: &MultiProgress, palette: Palette, tally: &Tally) -> Self {
        let (bar, template) = match (tally.items, tally.bytes) {
            (0, _) => (ProgressBar::no_length(), "{prefix:14} {wide_msg}"),
            (_, Some(bytes)) => {
                (ProgressBar::new(bytes), "{prefix:14} {wide_bar:.green/dim} {done} of {all}, {msg}, {rate}, {left}")
            }
            (items, None) => (ProgressBar::new(items), "{prefix:14} {wide_bar:.green/dim} {msg}"),
        };
        let bar = all.add(bar.with_style(style(palette, template)).with_prefix(tally.doing()));
        let bar = Self { bar, all: all.clone() };
        bar.show(tally);
        bar.bar.enable_steady_tick(TICK);
        bar
    }

    /// The bar of a file.
    pub(super) fn of_item(all: &MultiProgress, palette: Palette, name: &str, bytes: Option<u64>) -> Self {
        let (bar, template) = match bytes {
            Some(bytes) => (ProgressBar::new(bytes), "  {bar:24.cyan/dim} {done:>10} of {all:<10} {wide_msg}"),
            None => (ProgressBar::no_length(), "  {spinner:24} {done:>10} {wide_msg}"),
        };
        let name = printable(name).into_owned();
        Self { bar: all.add(bar.with_style(style(palette, template)).with_message(name)), all: all.clone() }
    }

    /// Show how far the phase is. What the bar does not measure is in its message.
    pub(super) fn show(&self, tally: &Tally) {
        let files = tally.items_text();
        let (position, message) = match (tally.bytes, tally.bytes_done) {
            (Some(_), done) => (done, files),
            (None, 0) => (tally.items_done, files),
            (None, done) => (tally.items_done, format!("{files}, {}", size(done))),
        };
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// More bytes of the file, or fewer.
    pub(super) fn advance(&self, bytes: i64) {
        self.bar.set_position(advance(self.bar.position(), bytes));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.all.remove(&self.bar);
    }
}

fn style(palette: Palette, template: &str) -> ProgressStyle {
    let template = match palette {
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

fn time_left_of(state: &ProgressState) -> String {
    let left = state.len().and_then(|total| time_left(state.pos(), total, state.per_sec()));
    left.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::progress::display::Display;
    use crate::cli::progress::screen::{Kind, Screen};
    use crate::cli::tests::samples::{MIB, console, mib};
    use indicatif::{InMemoryTerm, ProgressDrawTarget};
    use larder::reporter::{Phase, Reporter as _};
    use std::sync::Arc;

    /// What a terminal shows. Rates and estimates depend on the machine's clock and are left out.
    struct Fixture {
        bars: Display,
        terminal: InMemoryTerm,
    }

    impl Fixture {
        fn new(palette: Palette) -> Self {
            let terminal = InMemoryTerm::new(12, 90);
            let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
            let bars = MultiProgress::with_draw_target(target);
            let screen = Screen::with(console(palette), Kind::Bars(bars));
            Self { bars: Display::new(Arc::new(screen)), terminal }
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
