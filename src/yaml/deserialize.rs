//! From a tree to what derived structs make of it.
//!
//! An error is at the value that is being read, or at the key if that is unknown or repeated.

use std::collections::HashSet;
use std::iter;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::problem::Problem;
use super::tree::{Entry, Node, Value};

impl Node {
    /// What a type makes of the value.
    pub(crate) fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Problem> {
        self.seed(PhantomData)
    }

    /// The same for what is no type. Whatever is wrong inside and has no place is wrong here.
    fn seed<'de, T: DeserializeSeed<'de>>(&'de self, seed: T) -> Result<T::Value, Problem> {
        seed.deserialize(self).map_err(|problem| problem.at(&self.place))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            _ if self.is_null() => visitor.visit_unit(),
            Value::Scalar(scalar) => visitor.visit_borrowed_str(&scalar.text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => {
                let mut entries = Entries { rest: entries.iter(), current: None, seen: HashSet::new() };
                // What is wrong with a key is said while that key is the current one.
                visitor.visit_map(&mut entries).map_err(|problem| match entries.current {
                    Some(entry) => problem.at(&entry.key_place),
                    None => problem,
                })
            }
            Value::Unreadable(problem) => Err(Problem::clone(problem)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    /// One of a text (a number is none where something else may stand) or something else: an enum whose variants are `Text` and `Other`.
    fn deserialize_enum<V: Visitor<'de>>(self, _: &str, _: &[&str], visitor: V) -> Result<V::Value, Problem> {
        let is_text = matches!(&self.value, Value::Scalar(scalar) if scalar.is_text());
        let variant = if is_text { "Text" } else { "Other" };
        visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(iter::once((variant, self)))))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() => {
                Err(Problem::invalid_type(Unexpected::Other(scalar.kind()), &visitor))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// A map, and not a list of its values, which derived structs would take as well.
    fn deserialize_struct<V: Visitor<'de>>(self, _: &str, _: &[&str], visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Value::List(_) => Err(Problem::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_seq(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        identifier ignored_any
    }
}

/// The items of a list.
struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        self.0.next().map(|item| item.seed(seed)).transpose()
    }
}

/// The entries of a map.
struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
    seen: HashSet<&'de str>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.current = self.rest.next();
        let Some(entry) = self.current else { return Ok(None) };
        // YAML forbids a key twice, and many parsers let the last one win in silence.
        if !self.seen.insert(&entry.key) {
            return Err(Problem::duplicate(&entry.key));
        }
        seed.deserialize(StrDeserializer::new(&entry.key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let entry = self.current.ok_or_else(|| Problem::new("a value without a key"))?;
        entry.value.seed(seed)
    }
}

impl<'de> IntoDeserializer<'de, Problem> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::dialect::Dialect;
    use super::super::tree::parse;
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, expecting = "a map with `name`")]
    struct Item {
        name: Option<String>,
        flag: Option<String>,
        list: Option<Vec<String>>,
    }

    fn read(yaml: &str) -> Result<Vec<Item>, String> {
        parse(yaml, Path::new("x.yaml"), Dialect::Standard).unwrap().read().map_err(|problem: Problem| {
            let place = problem.place.as_ref().unwrap();
            format!("{}:{} {problem:#}", place.line, place.column)
        })
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_is() {
        for (yaml, said) in [
            ("- name: a\n  nmae: b\n", "2:3 unknown key `nmae`\ndid you mean `name`?"),
            ("- { flag: true, flag: true }\n", "1:17 the key `flag` is here twice\nremove one of them"),
            ("- [a, true]\n", "1:3 expected a map with `name`, found a list"),
            ("- name: {}\n", "1:9 expected a text, found a map"),
            ("- list: [a, []]\n", "1:13 expected a text, found a list"),
            ("a: b\n", "1:1 expected a list, found a map"),
        ] {
            assert_eq!(read(yaml).unwrap_err(), said, "{yaml}");
        }
    }
}
