//! Types that are text which was checked: what they print is what they were read from, for people and for serde.

use thiserror::Error;

/// A text that is not what it should be.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{found}` is not a {what}: expected {expected}")]
pub struct InvalidText {
    what: &'static str,
    found: String,
    expected: &'static str,
}

impl InvalidText {
    pub(super) fn new(what: &'static str, found: &str, expected: &'static str) -> Self {
        Self { what, found: shorten(found), expected }
    }
}

/// Hostile text in an error message: one line, and short.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

/// Serde through `FromStr` and `Display`, so that a value can't enter by a door that skips the checks.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        $crate::types::deserialize_as_text!($type);
    };
}

/// The half of it that reads.
macro_rules! deserialize_as_text {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A text that is printed as it is, and read through `FromStr` alone.
macro_rules! text_like {
    ($type:ty) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        $crate::types::printed_as_str!($type);
    };
}

/// `Display`, `Debug` and serde of a type that has `as_str` and `FromStr`.
macro_rules! printed_as_str {
    ($type:ty) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $crate::types::serde_as_text!($type);
    };
}

pub(crate) use {deserialize_as_text, printed_as_str, serde_as_text, text_like};
