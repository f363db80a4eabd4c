//! Colours.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Effects, Style};

use super::global::When;

/// `error:`.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// `warning:`, and what costs time or money.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().effects(Effects::BOLD);
/// `hint:`, and the edges of a piece of a file.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().effects(Effects::BOLD);
/// What is all right.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is on its way.
pub(crate) const PENDING: Style = AnsiColor::Yellow.on_default();
/// What is missing.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// What matters little.
pub(crate) const FAINT: Style = Style::new().effects(Effects::DIMMED);
/// Headings.
pub(crate) const STRONG: Style = Style::new().effects(Effects::BOLD);

/// Paints, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    /// Text as it is.
    Plain,
    /// ANSI colours.
    Coloured,
}

impl Palette {
    /// The text in this style, where colours are wanted.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{style}{text}{style:#}"),
        }
    }

    pub(crate) fn for_stream(choice: When, stream: &impl RawStream) -> Self {
        match choice {
            When::Always => Self::Coloured,
            // Looks at `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR` and `TERM`.
            When::Auto if AutoStream::choice(stream) != ColorChoice::Never => Self::Coloured,
            When::Auto | When::Never => Self::Plain,
        }
    }
}
