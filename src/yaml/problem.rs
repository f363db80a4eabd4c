//! What is wrong with a YAML text, and where.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::nearest;
use super::place::Place;
use crate::types::shorten;

/// What was read, or why it could not be.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// A sentence about what is wrong, often one about what to do, and the place once it is known.
///
/// With `{:#}`, the help follows the message on a line of its own. So it survives the way through serde, where a type's error
/// is only text: no message has a line break, because whatever came from the file is escaped in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
    /// Where.
    pub(crate) place: Option<Place>,
}

impl Problem {
    /// What is wrong.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, place: None }
    }

    /// The same with what to do.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same with a place, unless it has one: the innermost counts.
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) if f.alternate() => write!(f, "\n{help}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: Display>(error: T) -> Self {
        let text = format!("{error:#}");
        match text.split_once('\n') {
            Some((message, help)) => Self::new(message).help(help),
            None => Self::new(text),
        }
    }

    /// A text that stands in the wrong place is not repeated: it may be a URL with a password, and the line is shown anyway.
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(_) => "a text",
            Unexpected::Other(kind) => kind,
            Unexpected::Unit | Unexpected::Option => "nothing",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a map",
            _ => "something else",
        };
        let expected = match expected.to_string() {
            text if text == "a string" => "a text".to_owned(),
            text if text == "a sequence" => "a list".to_owned(),
            text => text,
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key `{}`", shorten(found))).help(nearest::hint(found, known))
    }
}

impl Problem {
    /// A key that was there before.
    pub(crate) fn duplicate(key: &str) -> Self {
        Self::new(format!("the key `{}` is here twice", shorten(key))).help("remove one of them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_its_way_through_serde() {
        for problem in [Problem::new("bad"), Problem::new("bad").help("better")] {
            assert_eq!(<Problem as de::Error>::custom(&problem), problem);
            assert_eq!(problem.to_string(), "bad");
        }
    }
}
