//! What is wrong with a configuration, and on which line.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use crate::types::PublicUrl;
use crate::yaml::{Place, Problem};

/// The longest piece of a line that is shown.
const SHOWN: usize = 160;

/// Why there is no configuration.
#[allow(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// The file that `--config` names is not there.
    #[error("there is no `{}`", path.display())]
    #[diagnostic(help(
        "`--config` names a file in the format of `larder.yaml`; without it, `larder.yaml` is optional"
    ))]
    Missing { path: PathBuf },
    /// A file that looks like the configuration and would be passed over.
    #[error("`{}` is not read: the configuration is named `larder.yaml`", path.display())]
    #[diagnostic(help("rename it, or name it with `--config`"))]
    OtherName { path: PathBuf },
    /// The file can't be read.
    #[error("can't read `{}`", path.display())]
    #[diagnostic(help("is it a file, and readable for this user?"))]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file is no configuration, by its size or its encoding.
    #[error("`{}` {reason}", path.display())]
    #[diagnostic(help("is it a configuration of larder?"))]
    NotText { path: PathBuf, reason: &'static str },
    /// Something in the file is wrong.
    #[error("{message}")]
    Invalid {
        message: String,
        /// Where, ready to be shown.
        excerpt: String,
        #[help]
        help: Option<String>,
    },
}

impl ConfigError {
    /// The place in the file, if the error is about one, ready to be shown between message and help.
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Invalid { excerpt, .. } => Some(excerpt),
            _ => None,
        }
    }

    /// Something that was found wrong in a text.
    pub(super) fn new(path: &Path, yaml: &str, problem: Problem) -> Self {
        Self::Invalid {
            message: problem.message,
            excerpt: excerpt(path, yaml, problem.place.as_ref()),
            help: problem.help,
        }
    }
}

/// A line of a file, shown as compilers do.
fn excerpt(path: &Path, yaml: &str, place: Option<&Place>) -> String {
    let path = path.display();
    let Some(&Place { line, column, .. }) = place else { return format!(" --> {path}") };
    let text = printable(yaml.lines().nth(line.saturating_sub(1)).unwrap_or_default());
    let mut excerpt = format!(" --> {path}:{line}:{column}\n {line} | {text}");
    if column <= text.chars().count() {
        let margin = line.to_string().len();
        // Writing to a string can't fail.
        let _ = write!(excerpt, "\n {:margin$} | {:>column$}", "", '^');
    }
    excerpt
}

/// A line as it may be shown: one line, not too long, and no password.
fn printable(line: &str) -> String {
    let mut line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if let Some(value) = secret_value(&line) {
        line.replace_range(value.., "…");
    }
    PublicUrl::in_line(line)
}

/// Where the value of a key begins that is named like a secret: the secret itself may have been written there, under a key of
/// Spack's, or one that only looks right.
fn secret_value(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(at, _)| {
        let key = line[..at]
            .trim_end_matches([' ', '"', '\''])
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'))
            .next()?;
        let key = key.to_ascii_lowercase();
        let value = &line[at + 1..];
        let is_secret = ["secret", "token", "password"].iter().any(|word| key.contains(word))
            || key.contains("pair") && !value.trim_start().starts_with('{');
        let start = at + 1 + (value.len() - value.trim_start().len());
        (is_secret && start < line.len()).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_passwords_and_control_characters() {
        assert_eq!(printable("url: https://me:secret@host/x, b: ftp://a@b"), "url: https://…@host/x, b: ftp://…@b");
        assert_eq!(printable("a: \u{1b}[2J@"), "a:  [2J@");
        assert_eq!(printable(&"x".repeat(1000)).len(), SHOWN);
    }

    #[test]
    fn the_value_of_a_key_that_is_named_like_a_secret_is_not_shown() {
        for (line, shown) in [
            ("  access_token: hunter2", "  access_token: …"),
            ("- { id: x, secret: hunter2, y: z }", "- { id: x, secret: …"),
            ("access_pair: [x, hunter2]", "access_pair: …"),
            ("access-pair: { id: x, 'secret-variable': hunter2 }", "access-pair: { id: x, 'secret-variable': …"),
            ("access-pair: { id: x, secret-variable: hunter2 }", "access-pair: { id: x, secret-variable: …"),
            ("access-pair:", "access-pair:"),
            ("url: https://host/token/x", "url: https://host/token/x"),
        ] {
            assert_eq!(printable(line), shown);
        }
    }
}
