//! Standard error while a command runs.

use std::io::{self, IsTerminal as _};

use indicatif::MultiProgress;
use larder::reporter::Level;
use larder::types::Variables;

use crate::cli::console::{Console, Verbosity, tell};
use crate::cli::global::{GlobalOptions, When};
use crate::cli::palette::{Palette, WARNING};
use crate::cli::printable::printable_lines;
use crate::cli::sections::Sections;

/// Standard error, with or without bars at its bottom or sections that fold.
pub(crate) struct Screen {
    pub(super) kind: Kind,
    pub(super) palette: Palette,
    verbosity: Verbosity,
}

pub(super) enum Kind {
    Plain(Box<dyn Fn(&str) + Send + Sync>),
    Bars(MultiProgress),
    Sections(Sections),
}

impl Screen {
    /// As the options and the environment want it.
    pub(super) fn new(console: Console, options: &GlobalOptions, variables: &Variables) -> Self {
        let with_sections = match options.gitlab_sections {
            When::Always => true,
            When::Never => false,
            When::Auto => variables.set("GITLAB_CI").is_some(),
        };
        let can_draw = io::stderr().is_terminal() && variables.get("TERM") != Some("dumb");
        let kind = match console.verbosity {
            Verbosity::Quiet => Kind::Plain(Box::new(tell)),
            _ if with_sections => Kind::Sections(Sections::new()),
            _ if can_draw && !options.no_progress => Kind::Bars(MultiProgress::new()),
            _ => Kind::Plain(Box::new(tell)),
        };
        Self::with(console, kind)
    }

    pub(super) fn with(console: Console, kind: Kind) -> Self {
        Self { kind, palette: console.err, verbosity: console.verbosity }
    }

    /// Write a line: above the bars, or into the section that has begun.
    pub(crate) fn write_line(&self, line: &str) {
        match &self.kind {
            Kind::Plain(write) => write(&format!("{line}\n")),
            Kind::Bars(bars) => bars.suspend(|| tell(&format!("{line}\n"))),
            Kind::Sections(sections) => sections.line(line),
        }
    }

    /// Write a line that must be seen: outside of a folded section.
    pub(crate) fn write_line_outside(&self, line: &str) {
        match &self.kind {
            Kind::Sections(sections) => sections.line_outside(line),
            Kind::Plain(_) | Kind::Bars(_) => self.write_line(line),
        }
    }

    /// Write a note of the domain: a warning in any case, and so that it is seen.
    pub(super) fn note(&self, level: Level, text: &str) {
        if let Some(line) = note_line(self.verbosity, self.palette, level, text) {
            match level {
                Level::Info => self.write_line(&line),
                Level::Warning => self.write_line_outside(&line),
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
