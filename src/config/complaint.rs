//! What is wrong with one value, before it is known where in the file that is.

use std::fmt;

use serde::de;

/// A sentence about what is wrong, and often one about what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) help: Option<String>,
}

/// Frames a complaint on its way through serde, whose errors are one text, with a path before it and a position after it.
/// No complaint holds this character: whatever came from the file is escaped in it.
const FRAME: char = '\u{1f}';

impl Complaint {
    /// What is wrong.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// What to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// As an error of serde.
    pub(super) fn into_serde<E: de::Error>(self) -> E {
        let help = self.help.unwrap_or_default();
        E::custom(format_args!("{FRAME}{}{FRAME}{help}{FRAME}", self.message))
    }

    /// Out of the text of an error of serde, if it was one of ours.
    pub(super) fn from_serde(text: &str) -> Option<Self> {
        let mut parts = text.split(FRAME).skip(1);
        let (message, help) = (parts.next()?, parts.next()?);
        let help = (!help.is_empty()).then(|| help.to_owned());
        Some(Self { message: message.to_owned(), help })
    }
}

impl<T: fmt::Display> From<T> for Complaint {
    fn from(message: T) -> Self {
        Self::new(message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_survives_its_way_through_serde() {
        for complaint in [Complaint::new("bad"), Complaint::new("bad").help("better")] {
            let error: serde_yaml::Error = complaint.clone().into_serde();
            assert_eq!(Complaint::from_serde(&format!("a.b: {error} at line 1 column 2")), Some(complaint));
        }
        assert_eq!(Complaint::from_serde("invalid type"), None);
    }
}
