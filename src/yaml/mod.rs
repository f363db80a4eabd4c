//! YAML with places: the one way in which larder reads it, for `larder.yaml` and for Spack's files.
//!
//! [`parse`] makes a tree of a text in which each value knows its line and column, and bounds what a text can cost. A
//! [`Node`] can be walked, or be the deserializer of derived structs ([`Node::read`]): their errors then are [`Problem`]s
//! with the place, a plain message and, for an unknown key, the nearest known one. [`At`] hands a place on to a struct.
//!
//! Every scalar is its spelling, so that `2024.10` stays a name where one belongs. What it means is up to the type that
//! reads it.

mod deserialize;
mod nearest;
mod problem;
mod tree;

pub(crate) use deserialize::At;
pub(crate) use nearest::hint;
pub(crate) use problem::Problem;
pub(crate) use tree::{Entry, Node, Place, Scalar, Value, parse};

use serde::de;

/// The most brackets that may be open at once, counted without regard to quotes. The parser refuses more than 128 levels, but
/// only once its scanner has been through them, in time that grows with the square of their number: a megabyte of `[` kept a
/// processor busy for seconds. No configuration comes near this, not even one with brackets in its texts.
const OPEN_BRACKETS: usize = 4096;

/// Refuse a text that is made to keep the parser busy.
pub(crate) fn refuse_depth<E: de::Error>(text: &str) -> Result<(), E> {
    let mut open = 0usize;
    for (line, content) in (1..).zip(text.lines()) {
        for byte in content.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        if open > OPEN_BRACKETS {
            return Err(E::custom(format_args!("line {line}: more than {OPEN_BRACKETS} brackets are open")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> bool {
        refuse_depth::<serde::de::value::Error>(text).is_err()
    }

    #[test]
    fn brackets_without_end_are_refused_and_ordinary_ones_are_not() {
        assert!(refused(&"[".repeat(1 << 20)));
        assert!(refused(&"{a: ".repeat(1 << 18)));
        assert!(!refused(&"- [a, {b: c}]\n".repeat(1000)));
    }
}
