//! One file of Spack's configuration, as far as larder needs it.
//!
//! Spack's YAML has two habits of its own. A key that ends in a second colon (`mirrors::`, which YAML reads as the key
//! `mirrors:`) replaces what scopes of lower precedence say instead of being merged with it. And a relative path counts from
//! the folder of the file it is written in, wherever merging takes it, so every value remembers its file. It remembers its
//! line as well, for the message if it is not what its reader expects.

use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use super::error::{Result, SpackConfigError};
use super::scope::{Form, SECTIONS};
use crate::yaml::{self, Place, Problem, Scalar};

/// A value, and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) file: Rc<Path>,
    place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; no two have the same key.
    Map(Vec<Entry>),
    /// Something with a tag that is not one of YAML's own.
    Tagged,
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Written with two colons: replaces what has a lower precedence.
    pub(super) replaces: bool,
    pub(super) value: Node,
}

/// What counts is what is said, not where.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// What stands below all scopes: nothing is said.
    pub(super) fn empty() -> Self {
        Self { value: Value::Map(Vec::new()), file: Path::new("").into(), place: Place { line: 0, column: 0 } }
    }

    /// The entry of a key, where this is a map that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// The text, if this is one, and neither a number nor a flag.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if is_text(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Result<&str> {
        self.as_text().ok_or_else(|| self.refuse("a text"))
    }

    pub(super) fn flag(&self) -> Result<bool> {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_plain => flag(&scalar.text),
            _ => None,
        }
        .ok_or_else(|| self.refuse("`true` or `false`"))
    }

    /// The entries of a section. Spack refuses one that says nothing; it means the same as none.
    pub(super) fn section(&self, expected: &str) -> Result<&[Entry]> {
        if self.is_null() { Ok(&[]) } else { self.entries(expected) }
    }

    pub(super) fn entries(&self, expected: &str) -> Result<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.refuse(expected)),
        }
    }

    /// An error that does not repeat what is there: it may be a password out of place.
    pub(super) fn refuse(&self, expected: &str) -> SpackConfigError {
        let found = match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(scalar) if is_text(scalar) => "a text",
            Value::Scalar(_) => "a number or flag",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Tagged => "a tag",
        };
        let problem = Problem::new(format!("expected {expected}, found {found}"));
        SpackConfigError::malformed(&self.file, problem.at(self.place))
    }
}

fn is_text(scalar: &Scalar) -> bool {
    let is_number = scalar.text.parse::<f64>().is_ok() && scalar.text.contains(|c: char| c.is_ascii_digit());
    !scalar.is_plain || !(is_number || scalar.is_null() || flag(&scalar.text).is_some())
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The sections of a file that larder needs. In `spack.yaml` they are under `spack:`, in old files under `env:`.
pub(super) fn parse(text: &str, file: &Rc<Path>, form: Form) -> Result<Node> {
    let mut tree = yaml::parse(text).map_err(|problem| SpackConfigError::malformed(file, problem))?;
    skip(&mut tree, form);
    let tree = read(tree, file)?;
    let below = ["spack", "env"].iter().find_map(|key| tree.get(key)).filter(|_| form == Form::Manifest);
    let sections = below.unwrap_or(&tree);
    sections.section("sections such as `mirrors:`")?;
    Ok(sections.clone())
}

/// Empty the sections that larder does not need: what is wrong there never stops it.
fn skip(tree: &mut yaml::Node, form: Form) {
    let yaml::Value::Map(entries) = &mut tree.value else { return };
    for entry in entries {
        match without_second_colon(&entry.key).0 {
            "spack" | "env" if form == Form::Manifest => skip(&mut entry.value, Form::File),
            key if SECTIONS.contains(&key) || key == "<<" => {}
            _ => entry.value.value = yaml::Value::Tagged,
        }
    }
}

fn read(node: yaml::Node, file: &Rc<Path>) -> Result<Node> {
    let value = match node.value {
        yaml::Value::Scalar(mut scalar) => {
            // Spack takes the colon from values as well: it can't tell them from keys.
            scalar.text.truncate(without_second_colon(&scalar.text).0.len());
            Value::Scalar(scalar)
        }
        yaml::Value::List(items) => Value::List(items.into_iter().map(|item| read(item, file)).collect::<Result<_>>()?),
        yaml::Value::Map(entries) => Value::Map(read_map(entries, file)?),
        yaml::Value::Tagged => Value::Tagged,
    };
    Ok(Node { value, file: Rc::clone(file), place: node.place })
}

fn read_map(entries: Vec<yaml::Entry>, file: &Rc<Path>) -> Result<Vec<Entry>> {
    let mut map = Vec::new();
    let mut seen = HashSet::new();
    let mut merged = Vec::new();
    for yaml::Entry { key, key_place, value } in entries {
        let (stem, replaces) = without_second_colon(&key);
        let value = read(value, file)?;
        // YAML's own merge key, which Spack's parser knows.
        if key == "<<" {
            merge_keys(value, &mut merged)?;
        } else if seen.insert(stem.to_owned()) {
            map.push(Entry { key: stem.to_owned(), replaces, value });
        } else {
            return Err(SpackConfigError::malformed(file, Problem::duplicate(stem).at(key_place)));
        }
    }
    map.extend(merged.into_iter().filter(|entry| seen.insert(entry.key.clone())));
    Ok(map)
}

/// What stands under `<<`: one map, or a list of them of which the first counts most.
fn merge_keys(node: Node, merged: &mut Vec<Entry>) -> Result<()> {
    match node.value {
        Value::Map(entries) => merged.extend(entries),
        Value::List(maps) => maps.into_iter().try_for_each(|map| merge_keys(map, merged))?,
        _ => return Err(node.refuse("a map to merge")),
    }
    Ok(())
}

/// A key without its second colon, and whether it had one. With an `@` it is a spec, whose colons are its own.
fn without_second_colon(key: &str) -> (&str, bool) {
    match key.strip_suffix(':') {
        Some(stem) if !key.contains('@') => (stem, true),
        _ => (key, false),
    }
}
