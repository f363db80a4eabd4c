//! Where text goes, in which colours, and how hostile text is made harmless.
//!
//! File names, versions and answers of servers are text that somebody else wrote. A control character in it could write
//! over other lines of a terminal, or open and close the sections of a GitLab job log. So whatever is printed and was not
//! written by larder itself goes through [`printable`] or [`printable_lines`].

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Effects, Style};
use bytesize::ByteSize;
use larder::types::Variables;

use super::args::{ColorOption, GlobalOptions, SectionsOption};

/// `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// `warning:`, and what costs time or money.
pub const WARNING: Style = AnsiColor::Yellow.on_default().effects(Effects::BOLD);
/// `hint:`, and the edges of a piece of a file.
pub const HINT: Style = AnsiColor::Cyan.on_default().effects(Effects::BOLD);
/// What is all right.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What is on its way.
pub const PENDING: Style = AnsiColor::Yellow.on_default();
/// What is missing.
pub const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// What matters little.
pub const FAINT: Style = Style::new().effects(Effects::DIMMED);
/// Headings.
pub const STRONG: Style = Style::new().effects(Effects::BOLD);

/// Paints, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// Text as it is.
    Plain,
    /// ANSI colours.
    Coloured,
}

/// How much larder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Those, progress and the closing summary.
    Normal,
    /// And a log: 1 says what is tried again, 2 what is decided, 3 everything.
    Verbose(u8),
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStyle {
    /// Not at all.
    Hidden,
    /// Lines at a human pace.
    Lines,
    /// Such lines, folded into sections of a GitLab job log.
    Sections,
    /// Bars that are drawn over.
    Bars,
}

/// The two streams of this process, as the options and the environment want them.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// Colours of standard output.
    pub out: Palette,
    /// Colours of standard error.
    pub err: Palette,
    /// The width of the terminal that standard output is, and nothing where it is a file or a pipe.
    pub width: Option<u16>,
    /// How much is said.
    pub verbosity: Verbosity,
    /// How progress is shown on standard error.
    pub progress: ProgressStyle,
}

impl Palette {
    /// The text in this style, where colours are wanted.
    pub fn paint(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{style}{text}{style:#}"),
        }
    }

    fn for_stream(choice: ColorOption, stream: &impl anstream::stream::RawStream) -> Self {
        let coloured = match choice {
            ColorOption::Always => true,
            ColorOption::Never => false,
            // Looks at `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR` and `TERM`.
            ColorOption::Auto => AutoStream::choice(stream) != ColorChoice::Never,
        };
        if coloured { Self::Coloured } else { Self::Plain }
    }
}

impl Console {
    /// Look at the options, the environment and the streams.
    pub fn new(options: &GlobalOptions, variables: &Variables) -> Self {
        let is_set = |name| variables.get(name).is_some_and(|value| !value.is_empty());
        let in_gitlab = is_set("GITLAB_CI");
        let verbosity = match (options.quiet, options.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, count) => Verbosity::Verbose(count),
        };
        let can_draw = io::stderr().is_terminal() && variables.get("TERM") != Some("dumb");
        let with_sections = match options.gitlab_sections {
            SectionsOption::Always => true,
            SectionsOption::Never => false,
            SectionsOption::Auto => in_gitlab,
        };
        let progress = match verbosity {
            Verbosity::Quiet => ProgressStyle::Hidden,
            _ if with_sections => ProgressStyle::Sections,
            _ if can_draw && !options.no_progress => ProgressStyle::Bars,
            _ => ProgressStyle::Lines,
        };
        Self {
            out: Palette::for_stream(options.color, &io::stdout()),
            err: match options.color {
                // No terminal, but GitLab shows colours all the same. Standard output stays plain: scripts read it.
                ColorOption::Auto if in_gitlab && !is_set("NO_COLOR") && variables.get("CLICOLOR") != Some("0") => {
                    Palette::Coloured
                }
                choice => Palette::for_stream(choice, &io::stderr()),
            },
            width: terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0),
            verbosity,
            progress,
        }
    }

    /// Print a message that `--quiet` leaves out.
    pub fn tell_more(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            tell(text);
        }
    }
}

/// Print a result on standard output. A reader that went away (`larder list | head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    until_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Print a message on standard error. Where even that fails, there is nobody left to tell.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A reader that has seen enough is a success.
pub(super) fn until_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The text on one line, with every character visible that a terminal would obey instead of showing.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_obeyed(character) {
            // Writing to a string can't fail.
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// The same for text that may have several lines. All but the first are indented by `indent`, so that no line of it can
/// pass for one of larder's own.
pub fn printable_lines(text: &str, indent: usize) -> String {
    let separator = format!("\n{:indent$}", "");
    let lines: Vec<_> = text.trim_end().lines().map(printable).collect();
    lines.join(&separator)
}

/// Control characters, line separators, and those that are invisible or turn the direction of writing.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A size as people read it: `2.0 GiB`.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// `1 blob`, `2 blobs`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A stretch of time as people read it: `4.2 s`, `40 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    // Whole seconds of a run or an estimate: neither negative nor beyond 64 bits, and `as` saturates anyway.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_keeps_a_character_that_a_terminal_obeys(text in "\\PC*|.*|[\\x00-\\x20]*") {
            prop_assert!(!printable(&text).contains(is_obeyed));
            prop_assert!(!printable_lines(&text, 2).contains(|c| is_obeyed(c) && c != '\n'));
        }

        #[test]
        fn what_can_be_seen_stays_as_it_is(text in "[a-zA-Z0-9 /.\"'`äöü…→-]*") {
            prop_assert_eq!(printable(&text), text.as_str());
        }
    }

    #[test]
    fn a_gitlab_section_can_not_be_forged() {
        let hostile = "x\u{1b}[0Ksection_end:1:job\r\u{1b}[0K\nerror: no\u{202e}";
        assert_eq!(printable(hostile), r"x\u{1b}[0Ksection_end:1:job\r\u{1b}[0K\nerror: no\u{202e}");
        assert_eq!(printable_lines(hostile, 2), "x\\u{1b}[0Ksection_end:1:job\\r\\u{1b}[0K\n  error: no\\u{202e}");
    }

    #[test]
    fn times_have_two_units_at_most() {
        let times = [0.04, 4.23, 9.94, 9.96, 59.6, 60.0, 200.0, 3600.0, 7512.0];
        let shown: Vec<_> = times.iter().map(|seconds| duration(*seconds)).collect();
        let expected = ["0.0 s", "4.2 s", "9.9 s", "10 s", "1 min", "1 min", "3 min 20 s", "1 h", "2 h 5 min"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_a_reader_that_left_is_forgiven() {
        assert!(until_closed(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(until_closed(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
