//! The reporter of the program: bars on a terminal, plain lines in a job log, and the notes of the domain above either.

mod bars;
mod lines;
mod notes;
mod screen;
mod wording;

use indicatif::MultiProgress;
use larder::reporter::{ItemId, Level, Phase, Reporter};

use self::bars::Bars;
use self::lines::Lines;
use self::notes::Notes;
use super::console::{Console, ProgressStyle};
use super::sections::Sections;

pub(crate) use self::screen::Screen;

/// A reporter that shows progress in the way that this console wants it, and where it draws, for others that write on
/// standard error meanwhile.
pub(crate) fn reporter(console: &Console) -> (Box<dyn Reporter>, Screen) {
    let bars = MultiProgress::new();
    let screen = match console.progress {
        ProgressStyle::Hidden | ProgressStyle::Lines => Screen::plain(),
        ProgressStyle::Sections => Screen::Sections(Sections::new()),
        ProgressStyle::Bars => Screen::Bars(bars.clone()),
    };
    let notes = Notes { screen: screen.clone(), palette: console.err, verbosity: console.verbosity };
    let reporter: Box<dyn Reporter> = match console.progress {
        ProgressStyle::Hidden => Box::new(Hidden(notes)),
        ProgressStyle::Lines | ProgressStyle::Sections => Box::new(Lines::new(notes)),
        ProgressStyle::Bars => Box::new(Bars::new(notes, bars)),
    };
    (reporter, screen)
}

/// Notes, and no progress.
struct Hidden(Notes);

impl Reporter for Hidden {
    fn phase_started(&self, _: Phase, _: u64, _: Option<u64>) {}
    fn item_started(&self, _: Phase, _: ItemId, _: &str, _: Option<u64>) {}
    fn item_advanced(&self, _: Phase, _: ItemId, _: i64) {}
    fn item_finished(&self, _: Phase, _: ItemId) {}
    fn phase_finished(&self, _: Phase) {}

    fn note(&self, level: Level, text: &str) {
        self.0.write(level, text);
    }
}
