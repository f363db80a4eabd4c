//! An error as people read it: what failed, why, and what to do.
//!
//! ```text
//! error: can't read the metadata of `zlib` on mirror `develop`
//! Caused by:
//!   can't get `https://binaries.example.org/develop/v3/…`
//!     connection refused
//! hint: is the server up, …
//! ```
//!
//! An error in a file that a person wrote shows the line, as rustc does. Several errors at once come one after the other.

mod snippet;

use std::fmt::Write as _;

use miette::{Diagnostic, Severity, SourceCode};

use crate::cli::palette::{ERROR, HINT, Palette, STRONG, WARNING};
use crate::cli::printable::{printable, printable_lines};

/// The longest chain of causes that is shown: longer ones go in circles.
const MAX_CAUSES: usize = 16;

/// The whole message, with a newline at its end. `excerpt` is the place in a file that the error is about, where the error
/// knows how to show it itself.
pub(crate) fn render(error: &dyn Diagnostic, excerpt: Option<&str>, palette: Palette) -> String {
    let mut out = String::new();
    one(&mut out, error, excerpt, None, palette);
    out
}

/// One error, and then those that it brings along. `file` is what spans are in where an error does not say so itself.
fn one<'a>(
    out: &mut String,
    error: &'a dyn Diagnostic,
    excerpt: Option<&str>,
    file: Option<&'a dyn SourceCode>,
    palette: Palette,
) {
    let label = match error.severity() {
        None | Some(Severity::Error) => palette.paint(ERROR, "error"),
        Some(Severity::Warning) => palette.paint(WARNING, "warning"),
        Some(Severity::Advice) => palette.paint(HINT, "note"),
    };
    let text = error.to_string();
    line(out, &format!("{label}{} {}", palette.paint(STRONG, ":"), palette.paint(STRONG, &printable_lines(&text, 2))));

    for place in excerpt.into_iter().flat_map(str::lines) {
        line(out, &printable(place));
    }
    let chain = diagnostics_of(error);
    let file = chain.iter().find_map(|error| error.source_code()).or(file);
    if let Some(file) = file {
        let labels = chain.iter().find_map(|error| error.labels());
        out.push_str(&snippet::render(file, labels.into_iter().flatten(), palette));
    }
    causes(out, error, text, palette);
    if let Some(help) = chain.iter().find_map(|error| error.help()) {
        let hint = palette.paint(HINT, "hint");
        line(out, &format!("{hint}: {}", printable_lines(&help.to_string(), 6)));
    }
    for related in error.related().into_iter().flatten() {
        out.push('\n');
        one(out, related, None, file, palette);
    }
}

/// The error and those of its causes that have hints and spans of their own.
fn diagnostics_of(error: &dyn Diagnostic) -> Vec<&dyn Diagnostic> {
    std::iter::successors(Some(error), |error| error.diagnostic_source()).take(MAX_CAUSES).collect()
}

/// The chain of sources. Some libraries repeat the cause in their own text: then it is not said twice.
fn causes(out: &mut String, error: &dyn Diagnostic, text: String, palette: Palette) {
    let mut said = text;
    let mut indent = 2;
    for cause in std::iter::successors(error.source(), |cause| (*cause).source()).take(MAX_CAUSES) {
        let text = cause.to_string();
        if text.trim().is_empty() || said.contains(text.trim()) {
            continue;
        }
        if indent == 2 {
            line(out, &palette.paint(STRONG, "Caused by:"));
        }
        line(out, &format!("{:indent$}{}", "", printable_lines(&text, indent + 2)));
        indent += 2;
        said = text;
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests;
