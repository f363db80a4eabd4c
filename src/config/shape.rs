//! How a section of `larder.yaml` is taken apart: which keys it has, and where the text goes.
//!
//! Everything is read as text first, numbers and booleans too, because `${NAME}` may stand for any of them; meaning comes
//! in a second step (see [`super::reader`]). Keys are checked here, while the YAML parser stands on them, so that an error
//! about a key points at the key.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::complaint::Complaint;
use crate::types::shorten;
use crate::yaml;

/// A text as the file has it, variables not yet expanded. A number or `true` is its spelling.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Text(pub(super) String);

/// Either a text, or something with more structure.
#[derive(Debug)]
pub(super) enum TextOr<T> {
    /// A text.
    Text(Text),
    /// The other.
    Other(T),
}

/// What a person is told that a [`TextOr`] expects.
pub(super) trait Described {
    /// Completes "expected …".
    const EXPECTED: &'static str;
}

impl Described for Vec<Text> {
    const EXPECTED: &'static str = "a text or a list of texts";
}

impl TextOr<Vec<Text>> {
    /// The list; a single text is a list of one.
    pub(super) fn as_list(&self) -> &[Text] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Other(list) => list,
        }
    }
}

impl<'de, T: Deserialize<'de> + Described> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Described> Visitor<'de> for TextOrVisitor<T> {
            type Value = TextOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(Text(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                T::deserialize(SeqAccessDeserializer::new(list)).map(TextOr::Other)
            }
        }

        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

/// Reads a key: one of those known, and none that was there before.
pub(super) struct Key<'a> {
    /// The keys of this section.
    pub(super) known: &'static [&'static str],
    /// Those read so far.
    pub(super) seen: &'a [&'static str],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, found: &str) -> Result<Self::Value, E> {
        let Some(key) = self.known.iter().copied().find(|key| *key == found) else {
            let complaint = Complaint::new(format!("unknown key `{}`", shorten(found)));
            return Err(complaint.help(yaml::hint(found, self.known)).into_serde());
        };
        if self.seen.contains(&key) { Err(duplicate_key(key)) } else { Ok(key) }
    }
}

/// YAML forbids a key twice, and many parsers let the last one win in silence.
pub(super) fn duplicate_key<E: de::Error>(key: &str) -> E {
    Complaint::new(format!("the key `{}` is here twice", shorten(key))).help("remove one of them").into_serde()
}

/// Declares a section: a struct whose fields are all optional, and how it is read.
macro_rules! shape {
    ($(#[$attribute:meta])* $name:ident, $expected:literal { $($key:literal => $field:ident: $type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        pub(super) struct $name {
            $(pub(super) $field: Option<$type>,)*
        }

        impl $crate::config::shape::Described for $name {
            const EXPECTED: &'static str = $expected;
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ShapeVisitor;

                impl<'de> serde::de::Visitor<'de> for ShapeVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut shape = $name::default();
                        let mut seen = Vec::new();
                        let known = &[$($key),*];
                        while let Some(key) =
                            map.next_key_seed($crate::config::shape::Key { known, seen: &seen })?
                        {
                            match key {
                                $($key => shape.$field = map.next_value()?,)*
                                _ => {}
                            }
                            seen.push(key);
                        }
                        Ok(shape)
                    }
                }

                deserializer.deserialize_map(ShapeVisitor)
            }
        }
    };
}
pub(super) use shape;
