//! The line of a file in which an error is, as rustc shows it.
//!
//! ```text
//!  --> larder.yaml:3:1
//!   |
//! 3 | mirors:
//!   | ^^^^^^ did you mean `mirrors`?
//! ```

use std::fmt::Write as _;

use miette::{LabeledSpan, SourceCode};

use crate::cli::palette::{ERROR, HINT, Palette};
use crate::cli::printable::printable;

/// The most characters of a line that are shown: a lockfile may be one line of a megabyte.
const WIDTH: usize = 100;
/// How many characters of a longer line come before the place.
const BEFORE: usize = 40;

/// A place in a file.
struct Place {
    file: Option<String>,
    /// Counted from 1.
    number: usize,
    /// In characters, counted from 1.
    column: usize,
    /// The line up to the place, the place, and the rest of the line; ready to be printed.
    before: String,
    marked: String,
    after: String,
    label: Option<String>,
}

/// The lines that the labels are about. A label beyond the end of the file is left out: the error's text stands.
pub(super) fn render(file: &dyn SourceCode, labels: impl Iterator<Item = LabeledSpan>, palette: Palette) -> String {
    let places: Vec<Place> = labels.filter_map(|label| locate(file, &label)).collect();
    let Some(first) = places.first() else { return String::new() };
    let edge = |text: &str| palette.paint(HINT, text);
    let gutter = places.iter().map(|place| place.number.to_string().len()).max().unwrap_or(1);

    let mut out = String::new();
    let name = first.file.as_deref().map(printable).unwrap_or_default();
    let position = if name.is_empty() {
        format!("line {}, column {}", first.number, first.column)
    } else {
        format!("{name}:{}:{}", first.number, first.column)
    };
    // Writing to a string can't fail.
    let _ = writeln!(out, "{:gutter$}{} {position}", "", edge("-->"));
    let _ = writeln!(out, "{:gutter$} {}", "", edge("|"));
    for place in &places {
        let number = edge(&format!("{:>gutter$} |", place.number));
        let _ = writeln!(out, "{}", format!("{number} {}{}{}", place.before, place.marked, place.after).trim_end());
        let indent = place.before.chars().count();
        let carets = "^".repeat(place.marked.chars().count().max(1));
        let label = place.label.as_deref().map(|label| format!(" {}", printable(label))).unwrap_or_default();
        let _ = writeln!(
            out,
            "{:gutter$} {} {:indent$}{}",
            "",
            edge("|"),
            "",
            palette.paint(ERROR, &format!("{carets}{label}"))
        );
    }
    out
}

fn locate(file: &dyn SourceCode, label: &LabeledSpan) -> Option<Place> {
    // With a line of context, what comes back begins at the start of a line; without, at the span.
    let contents = file.read_span(label.inner(), 1, 1).ok()?;
    let text = contents.data();
    let start = label.offset().checked_sub(contents.span().offset())?;
    let (head, tail) = text.split_at_checked(start)?;
    let line_start = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line_end = tail.iter().position(|byte| *byte == b'\n').map_or(text.len(), |newline| start + newline);
    // A span of several lines is marked on its first.
    let end = (start + label.len()).min(line_end);

    let text_of = |range: std::ops::Range<usize>| String::from_utf8_lossy(&text[range]).into_owned();
    let (before, marked, after) = (text_of(line_start..start), text_of(start..end), text_of(end..line_end));
    let number = contents.line() + head.split(|byte| *byte == b'\n').count();
    let column = before.chars().count() + 1;
    let before = printable(&cut_front(&before)).into_owned();
    let marked = printable(&cut_back(&marked, WIDTH / 2)).into_owned();
    let after = printable(&cut_back(after.trim_end(), WIDTH / 2)).into_owned();
    Some(Place {
        file: contents.name().map(str::to_owned),
        number,
        column,
        before,
        marked,
        after,
        label: label.label().map(str::to_owned),
    })
}

fn cut_front(text: &str) -> String {
    let length = text.chars().count();
    if length <= WIDTH / 2 {
        text.to_owned()
    } else {
        format!("…{}", text.chars().skip(length - BEFORE).collect::<String>())
    }
}

fn cut_back(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).collect();
    if text.chars().nth(limit).is_some() {
        short.push('…');
    }
    short
}
