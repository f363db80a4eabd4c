//! The reporter of the program: bars on a terminal, plain lines in a job log, and the notes of the domain above either.

mod bars;
mod lines;
mod screen;
mod tally;

use larder::reporter::Reporter;

use self::bars::Bars;
use self::lines::Lines;
use self::screen::Kind;
use super::console::Console;

pub(crate) use self::screen::Screen;

/// A reporter that shows progress in the way that this console wants it, and where it draws, for others that write on
/// standard error meanwhile.
pub(crate) fn reporter(console: &Console) -> (Box<dyn Reporter>, Screen) {
    let screen = Screen::new(console);
    let reporter: Box<dyn Reporter> = match &screen.kind {
        Kind::Bars(bars) => Box::new(Bars::new(screen.clone(), bars.clone())),
        Kind::Plain(_) | Kind::Sections(_) => Box::new(Lines::new(screen.clone())),
    };
    (reporter, screen)
}
