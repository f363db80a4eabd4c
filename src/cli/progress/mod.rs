//! The reporter of the program: bars on a terminal, plain lines in a job log, and the notes of the domain above either.

mod bars;
mod display;
mod lines;
mod screen;
mod tally;

use std::sync::Arc;

use larder::reporter::Reporter;
use larder::types::Variables;

use self::display::Display;
use super::console::Console;
use super::global::GlobalOptions;

pub(crate) use self::screen::Screen;

/// A reporter that shows progress in the way that this console wants it, and where it draws, for others that write on
/// standard error meanwhile.
pub(crate) fn reporter(
    console: Console,
    options: &GlobalOptions,
    variables: &Variables,
) -> (impl Reporter + use<>, Arc<Screen>) {
    let screen = Arc::new(Screen::new(console, options, variables));
    (Display::new(Arc::clone(&screen)), screen)
}
