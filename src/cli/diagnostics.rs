//! The text of an error: what failed, why, and what to do.
//!
//! ```text
//! error: can't read the metadata of `zlib` on mirror `develop`
//! Caused by:
//!   can't get `https://binaries.example.org/develop/v3/…`
//!     connection refused
//! hint: is the server up, …
//! ```
//!
//! Several errors at once come one after the other. The line of a file that an error is about comes from the error: it may
//! hold a password, and only its reader knows where.

use miette::Diagnostic;

use super::palette::{ERROR, HINT, Palette, STRONG};
use super::printable::{printable, printable_lines};

/// The longest chain of causes that is shown: longer ones go in circles.
const MAX_CAUSES: usize = 16;

/// The whole message, with a newline at its end, and then those of the errors that this one brings along. `excerpt` is
/// the place in a file that the error is about.
pub(crate) fn render(error: &dyn Diagnostic, excerpt: Option<&str>, palette: Palette) -> String {
    let text = error.to_string();
    let strong = |text: &str| palette.paint(STRONG, text);
    let mut lines =
        vec![format!("{}{} {}", palette.paint(ERROR, "error"), strong(":"), strong(&printable_lines(&text, 2)))];
    lines.extend(excerpt.into_iter().flat_map(str::lines).map(|line| printable(line).into_owned()));
    lines.extend(causes(error, text, palette));
    let mut chain = std::iter::successors(Some(error), |error| error.diagnostic_source()).take(MAX_CAUSES);
    if let Some(help) = chain.find_map(Diagnostic::help) {
        lines.push(format!("{}: {}", palette.paint(HINT, "hint"), printable_lines(&help.to_string(), 6)));
    }
    let related = error.related().into_iter().flatten();
    lines.extend(related.map(|related| format!("\n{}", render(related, None, palette).trim_end())));
    lines.join("\n") + "\n"
}

/// The chain of sources. Some libraries repeat the cause in their own text: then it is not said twice.
fn causes(error: &dyn Diagnostic, text: String, palette: Palette) -> Vec<String> {
    let mut lines = Vec::new();
    let mut said = text;
    for cause in std::iter::successors(error.source(), |cause| (*cause).source()).take(MAX_CAUSES) {
        let text = cause.to_string();
        if text.trim().is_empty() || said.contains(text.trim()) {
            continue;
        }
        if lines.is_empty() {
            lines.push(palette.paint(STRONG, "Caused by:"));
        }
        let indent = 2 * lines.len();
        lines.push(format!("{:indent$}{}", "", printable_lines(&text, indent + 2)));
        said = text;
    }
    lines
}

#[cfg(test)]
mod tests;
