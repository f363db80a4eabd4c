//! One file of Spack's configuration, as far as larder needs it.
//!
//! Spack's YAML has two habits of its own. A key that ends in a second colon (`mirrors::`, which YAML reads as the key
//! `mirrors:`) replaces what scopes of lower precedence say instead of being merged with it. And a relative path counts from
//! the folder of the file it is written in, wherever merging takes it, so every text remembers its file.
//!
//! What larder needs is checked while it is parsed, because only then does the parser know the line. All else is skipped.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A piece of configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Flag(bool),
    Number(u64),
    Text(Text),
    List(Vec<Node>),
    Map(Map),
}

/// A text, and the file that it is written in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) file: Rc<Path>,
}

/// Entries in the order of the file; no two have the same key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Map(pub(super) Vec<Entry>);

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Written with two colons: replaces what has a lower precedence.
    pub(super) replaces: bool,
    pub(super) value: Node,
}

impl Node {
    /// The value under a key, where this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(map) => map.entry(key).map(|entry| &entry.value),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&Text> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_flag(&self) -> Option<bool> {
        match self {
            Node::Flag(flag) => Some(*flag),
            _ => None,
        }
    }
}

impl Map {
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }
}

/// What may stand at a place of the file, after Spack's schemas.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Manifest,
    Document,
    Mirrors,
    Mirror,
    Connection,
    Includes,
    Include,
    Config,
    InstallTree,
    Upstreams,
    Upstream,
    Text,
    Flag,
    Padding,
    Skipped,
}

impl Shape {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Manifest, "spack" | "env") => Self::Document,
            (Self::Manifest | Self::Document, "mirrors") => Self::Mirrors,
            (Self::Manifest | Self::Document, "include") => Self::Includes,
            (Self::Manifest | Self::Document, "config") => Self::Config,
            (Self::Manifest | Self::Document, "upstreams") => Self::Upstreams,
            (Self::Mirrors, _) => Self::Mirror,
            (Self::Mirror, "fetch" | "push") => Self::Connection,
            (Self::Mirror | Self::Connection, "url")
            | (Self::Include, "path" | "git" | "when" | "name" | "path_override_env_var")
            | (Self::InstallTree, "root")
            | (Self::Upstream, "install_tree") => Self::Text,
            (Self::Mirror, "binary" | "signed") | (Self::Include, "optional") => Self::Flag,
            (Self::Config, "install_tree") => Self::InstallTree,
            (Self::InstallTree, "padded_length") => Self::Padding,
            (Self::Upstreams, _) => Self::Upstream,
            _ => Self::Skipped,
        }
    }

    fn may_be_text(self) -> bool {
        matches!(self, Self::Text | Self::Mirror | Self::Connection | Self::Include | Self::InstallTree)
    }

    fn may_be_map(self) -> bool {
        !matches!(self, Self::Text | Self::Flag | Self::Padding | Self::Includes)
    }

    /// Spack refuses an empty section. It says the same as none, so larder is not stricter than it has to be.
    fn may_be_null(self) -> bool {
        matches!(
            self,
            Self::Manifest | Self::Document | Self::Mirrors | Self::Includes | Self::Config | Self::Upstreams
        )
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Manifest | Self::Document => "sections such as `mirrors:`",
            Self::Mirrors => "names of mirrors, each with a URL",
            Self::Mirror | Self::Connection => "a URL, or a map with `url:`",
            Self::Includes => "a list of files and folders",
            Self::Include => "a path, or a map with `path:`",
            Self::Config => "a map with settings",
            Self::InstallTree => "a map with `root:`",
            Self::Upstreams => "names of Spack instances",
            Self::Upstream => "a map with `install_tree:`",
            Self::Text => "a text",
            Self::Flag => "`true` or `false`",
            Self::Padding => "`true`, `false` or a length",
            Self::Skipped => "anything",
        }
    }
}

/// Which kind of file is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `spack.yaml`: the sections are under the key `spack:`, in old files `env:`.
    Manifest,
    /// Any other: the sections are at the top.
    Sections,
}

/// Parse a file. An empty one has no sections.
pub(super) fn parse(text: &str, file: &Rc<Path>, kind: Kind) -> Result<Map, serde_yaml::Error> {
    let shape = if kind == Kind::Manifest { Shape::Manifest } else { Shape::Document };
    // A file of nothing but comments is no YAML document at all, and no error.
    if text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Map::default());
    }
    crate::yaml::refuse_depth::<serde_yaml::Error>(text)?;
    let node = Place { shape, file }.deserialize(serde_yaml::Deserializer::from_str(text))?;
    let section = |key| node.get(key).filter(|_| kind == Kind::Manifest).cloned();
    Ok(match section("spack").or_else(|| section("env")).unwrap_or(node) {
        Node::Map(map) => map,
        _ => Map::default(),
    })
}

/// A place in a file, with what may stand there.
#[derive(Clone, Copy)]
struct Place<'a> {
    shape: Shape,
    file: &'a Rc<Path>,
}

impl Place<'_> {
    fn text(&self, text: &str) -> Text {
        // Spack takes the colon from values as well: it can't tell them from keys.
        Text { text: without_second_colon(text).0.to_owned(), file: Rc::clone(self.file) }
    }
}

/// A key without its second colon, and whether it had one. With an `@` it is a spec, whose colons are its own.
fn without_second_colon(key: &str) -> (&str, bool) {
    match key.strip_suffix(':') {
        Some(stem) if !key.contains('@') => (stem, true),
        _ => (key, false),
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if matches!(self.shape, Shape::Skipped) {
            deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Node::Null)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape.expected())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Node, E> {
        match self.shape {
            Shape::Flag | Shape::Padding => Ok(Node::Flag(flag)),
            _ => Err(E::invalid_type(de::Unexpected::Bool(flag), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Node, E> {
        match self.shape {
            Shape::Padding => Ok(Node::Number(number)),
            _ => Err(E::invalid_type(de::Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        if self.shape.may_be_text() {
            Ok(Node::Text(self.text(text)))
        } else {
            Err(E::invalid_type(de::Unexpected::Str(text), &self))
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        if self.shape.may_be_null() { Ok(Node::Null) } else { Err(E::invalid_type(de::Unexpected::Unit, &self)) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        if !matches!(self.shape, Shape::Includes) {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Place { shape: Shape::Include, ..self })? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        if !self.shape.may_be_map() {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let mut map = Map::default();
        let mut seen = HashSet::new();
        let mut merged = Vec::new();
        while let Some(Key(written)) = entries.next_key()? {
            // YAML's own merge key, which Spack's parser knows.
            if written == "<<" {
                merged.extend(entries.next_value_seed(MergeKey(self))?);
                continue;
            }
            let (key, replaces) = without_second_colon(&written);
            if !seen.insert(key.to_owned()) {
                return Err(de::Error::custom(format_args!("`{key}` is there twice")));
            }
            let value = entries.next_value_seed(Place { shape: self.shape.below(key), ..self })?;
            map.0.push(Entry { key: key.to_owned(), replaces, value });
        }
        map.0.extend(merged.into_iter().filter(|entry| seen.insert(entry.key.clone())));
        Ok(Node::Map(map))
    }
}

/// What stands under `<<`: one map, or a list of them of which the first counts most.
struct MergeKey<'a>(Place<'a>);

impl<'de> DeserializeSeed<'de> for MergeKey<'_> {
    type Value = Vec<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Entry>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MergeKey<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map to merge")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Vec<Entry>, A::Error> {
        self.0.visit_map(entries).map(|node| if let Node::Map(map) = node { map.0 } else { Vec::new() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Entry>, A::Error> {
        let mut all = Vec::new();
        while let Some(entries) = items.next_element_seed(MergeKey(self.0))? {
            all.extend(entries);
        }
        Ok(all)
    }
}

/// A key. YAML reads some names as numbers or booleans; as the name of a mirror they are texts.
struct Key(String);

impl<'de> de::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                Ok(Key(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Key, E> {
                Ok(Key(flag.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Key, E> {
                Ok(Key(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Key, E> {
                Ok(Key(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Key, E> {
                Ok(Key(number.to_string()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Key, E> {
                Ok(Key("null".to_owned()))
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}
