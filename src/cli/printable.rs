//! Hostile text made harmless.
//!
//! File names, versions and answers of servers are text from outside. A control character in it could write over other
//! lines of a terminal, or open and close the sections of a GitLab job log. So whatever is printed and was not written by
//! larder itself goes through [`printable`] or [`printable_lines`].

use std::borrow::Cow;

/// The text on one line, with every character visible that a terminal would obey instead of showing.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = |character: char| {
        if is_obeyed(character) { character.escape_default().to_string() } else { character.to_string() }
    };
    text.chars().map(shown).collect()
}

/// The same for text that may have several lines. All but the first are indented by `indent`, so that no line of it can
/// pass for one of larder's own.
pub(crate) fn printable_lines(text: &str, indent: usize) -> String {
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
}
