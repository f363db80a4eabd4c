//! Progress for people: bars on a terminal, plain lines in a job log, and the notes of the domain above either.

mod bars;
mod folded;
mod lines;

use std::io::{self, Write as _};

use indicatif::MultiProgress;
use larder::reporter::{ItemId, Level, Phase, Reporter};

use self::bars::Bars;
use self::folded::Folded;
use self::lines::Lines;
use super::console::{Console, Palette, ProgressStyle, Verbosity, WARNING, printable, printable_lines};
use super::sections::Sections;

/// Standard error, with or without bars at its bottom. Clones draw on the same one.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    bars: Option<MultiProgress>,
    sections: Option<Sections>,
}

impl Screen {
    /// Write a line, above the bars where there are some. Where even that fails, there is nobody left to tell.
    pub fn write_line(&self, line: &str) {
        if let Some(sections) = &self.sections {
            return sections.line(line);
        }
        let line = format!("{line}\n");
        let write = || {
            let _ = io::stderr().lock().write_all(line.as_bytes());
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Write a line that must be seen: outside of a folded section.
    pub fn write_line_outside(&self, line: &str) {
        match &self.sections {
            Some(sections) => sections.line_outside(line),
            None => self.write_line(line),
        }
    }
}

/// The reporter of the program.
pub struct Progress {
    screen: Screen,
    palette: Palette,
    verbosity: Verbosity,
    view: Option<Box<dyn View>>,
}

/// One way to show the progress of phases and their items: [`Reporter`] without the notes.
trait View: Send + Sync {
    fn phase_started(&self, phase: Phase, items: u64, bytes: Option<u64>);
    fn item_started(&self, phase: Phase, item: ItemId, name: &str, bytes: Option<u64>);
    fn item_advanced(&self, phase: Phase, item: ItemId, bytes: i64);
    fn item_finished(&self, phase: Phase, item: ItemId);
    fn phase_finished(&self, phase: Phase);
}

impl Progress {
    /// Progress in the way that this console wants it.
    pub fn new(console: &Console) -> Self {
        let mut screen = Screen::default();
        let view: Option<Box<dyn View>> = match console.progress {
            ProgressStyle::Hidden => None,
            ProgressStyle::Lines => Some(Box::new(Lines::new(screen.clone()))),
            ProgressStyle::Sections => {
                let sections = Sections::new();
                screen.sections = Some(sections.clone());
                Some(Box::new(Folded::new(Lines::in_sections(screen.clone()), sections)))
            }
            ProgressStyle::Bars => {
                let bars = MultiProgress::new();
                screen.bars = Some(bars.clone());
                Some(Box::new(Bars::new(bars, console.err)))
            }
        };
        Self { screen, palette: console.err, verbosity: console.verbosity, view }
    }

    /// Where it draws, for others who write on standard error meanwhile.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }
}

impl Reporter for Progress {
    fn phase_started(&self, phase: Phase, items: u64, bytes: Option<u64>) {
        if let Some(view) = &self.view {
            view.phase_started(phase, items, bytes);
        }
    }

    fn item_started(&self, phase: Phase, item: ItemId, name: &str, bytes: Option<u64>) {
        if let Some(view) = &self.view {
            view.item_started(phase, item, &printable(name), bytes);
        }
    }

    fn item_advanced(&self, phase: Phase, item: ItemId, bytes: i64) {
        if let Some(view) = &self.view {
            view.item_advanced(phase, item, bytes);
        }
    }

    fn item_finished(&self, phase: Phase, item: ItemId) {
        if let Some(view) = &self.view {
            view.item_finished(phase, item);
        }
    }

    fn phase_finished(&self, phase: Phase) {
        if let Some(view) = &self.view {
            view.phase_finished(phase);
        }
    }

    fn note(&self, level: Level, text: &str) {
        if let Some(line) = note_line(self.verbosity, self.palette, level, text) {
            match level {
                Level::Info => self.screen.write_line(&line),
                Level::Warning => self.screen.write_line_outside(&line),
            }
        }
    }
}

/// An error that ended a phase is told after this: not in a folded section.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(sections) = &self.screen.sections {
            sections.end();
        }
    }
}

/// A note as it is printed, where it is.
fn note_line(verbosity: Verbosity, palette: Palette, level: Level, text: &str) -> Option<String> {
    match level {
        Level::Info if verbosity == Verbosity::Quiet => None,
        Level::Info => Some(printable_lines(text, 2)),
        Level::Warning => Some(format!("{}: {}", palette.paint(WARNING, "warning"), printable_lines(text, 2))),
    }
}

/// What a phase does, as its bar and its lines begin.
fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Metadata => "asking mirrors",
        Phase::Validate => "validating",
        Phase::Fetch => "fetching",
        Phase::Export => "exporting",
        Phase::Pack => "packing",
        Phase::Unpack => "unpacking",
    }
}

/// What its items are.
fn items(phase: Phase) -> &'static str {
    match phase {
        Phase::Metadata => "specs",
        Phase::Validate | Phase::Fetch | Phase::Export | Phase::Pack | Phase::Unpack => "files",
    }
}

/// How many items are done: of all, where their number is known before.
fn items_text(phase: Phase, done: u64, all: u64) -> String {
    let items = items(phase);
    if all == 0 { format!("{done} {items}") } else { format!("{done} of {all} {items}") }
}

/// A number that broken downloads take back from, never below zero.
fn advance(done: u64, by: i64) -> u64 {
    done.saturating_add_signed(by)
}

/// Bytes per second; nothing where there is no time to divide by.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn per_second(bytes: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0 && bytes > 0).then(|| bytes as f64 / seconds)
}

/// A rate as people read it: `45.1 MiB/s`.
fn rate_text(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = rate as u64;
    format!("{}/s", super::console::size(whole))
}

/// How long the rest takes at this rate: `40 s left`, in whole seconds because it is a guess. Nothing where it is no
/// better than "for ever".
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn time_left(done: u64, total: u64, rate: f64) -> Option<String> {
    let seconds = total.saturating_sub(done) as f64 / rate;
    match seconds {
        _ if !seconds.is_finite() || seconds > 360_000.0 => None,
        _ if seconds < 9.5 => Some(format!("{seconds:.0} s left")),
        _ => Some(format!("{} left", super::console::duration(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_leaves_only_warnings() {
        let line = |verbosity, level| note_line(verbosity, Palette::Plain, level, "a\nb\u{7}");
        assert_eq!(line(Verbosity::Quiet, Level::Info), None);
        assert_eq!(line(Verbosity::Quiet, Level::Warning).unwrap(), "warning: a\n  b\\u{7}");
        assert_eq!(line(Verbosity::Normal, Level::Info).unwrap(), "a\n  b\\u{7}");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        let line = note_line(Verbosity::Normal, Palette::Coloured, Level::Warning, "x").unwrap();
        assert_eq!(line, "\u{1b}[1m\u{1b}[33mwarning\u{1b}[0m: x");
    }

    #[test]
    fn an_estimate_is_whole_seconds_or_nothing() {
        assert_eq!(time_left(50, 100, 7.0).unwrap(), "7 s left");
        assert_eq!(time_left(0, 7200, 1.0).unwrap(), "2 h left");
        assert_eq!(time_left(9, 5, 1.0).unwrap(), "0 s left");
        assert_eq!(time_left(0, 5, 0.0), None);
        assert_eq!(time_left(0, u64::MAX, 1.0), None);
    }

    #[test]
    fn what_is_taken_back_never_leads_below_zero() {
        assert_eq!(advance(5, -9), 0);
        assert_eq!(advance(5, 9), 14);
    }
}
