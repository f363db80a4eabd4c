//! Notes of the domain, which stand above bars and between lines.

use larder::reporter::Level;

use super::screen::Screen;
use crate::cli::console::Verbosity;
use crate::cli::palette::{Palette, WARNING};
use crate::cli::printable::printable_lines;

pub(super) struct Notes {
    pub(super) screen: Screen,
    pub(super) palette: Palette,
    pub(super) verbosity: Verbosity,
}

impl Notes {
    pub(super) fn write(&self, level: Level, text: &str) {
        if let Some(line) = note_line(self.verbosity, self.palette, level, text) {
            match level {
                Level::Info => self.screen.write_line(&line),
                Level::Warning => self.screen.write_line_outside(&line),
            }
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
}
