//! One file of Spack's configuration, as far as larder needs it.
//!
//! Spack's YAML has two habits of its own. A key that ends in a second colon (`mirrors::`, which YAML reads as the key
//! `mirrors:`) replaces what scopes of lower precedence say instead of being merged with it. And a relative path counts from
//! the folder of the file it is written in, wherever merging takes it: the place of each value tells its file.

use std::collections::HashSet;
use std::mem;
use std::path::Path;

use super::scope::{Form, SECTIONS};
use crate::yaml::{self, Dialect, Entry, Node, Place, Problem, Result, Scalar, Value};

/// A value as Spack's schema takes it.
impl Node {
    /// What stands below all scopes: nothing is said.
    pub(super) fn empty() -> Self {
        Self { value: Value::Map(Vec::new()), place: Place { file: Path::new("").into(), line: 0, column: 0 } }
    }

    /// The text, if this is one, and neither a number nor a flag.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_text() && flag(scalar).is_none() => Some(&scalar.text),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Result<&str> {
        self.as_text().ok_or_else(|| self.refuse("a text"))
    }

    pub(super) fn flag(&self) -> Result<bool> {
        match &self.value {
            Value::Scalar(scalar) => flag(scalar),
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
}

fn flag(scalar: &Scalar) -> Option<bool> {
    match scalar.text.as_str() {
        "true" | "True" | "TRUE" if scalar.is_plain => Some(true),
        "false" | "False" | "FALSE" if scalar.is_plain => Some(false),
        _ => None,
    }
}

/// The sections of a file that larder needs. In `spack.yaml` they are under `spack:`, in old files under `env:`.
pub(super) fn parse(text: &str, file: &Path, form: Form) -> Result<Node> {
    let mut tree = yaml::parse(text, file, Dialect::Spack)?;
    keep_needed(&mut tree, form);
    normalise(&mut tree)?;
    let below = ["spack", "env"].iter().find_map(|key| tree.get(key)).filter(|_| form == Form::Manifest);
    let sections = below.unwrap_or(&tree);
    sections.section("sections such as `mirrors:`")?;
    Ok(sections.clone())
}

/// Drop the sections that larder does not need: what is wrong there never stops it.
fn keep_needed(tree: &mut Node, form: Form) {
    let Value::Map(entries) = &mut tree.value else { return };
    entries.retain_mut(|entry| match without_second_colon(&entry.key).0 {
        "spack" | "env" if form == Form::Manifest => {
            keep_needed(&mut entry.value, Form::File);
            true
        }
        key => SECTIONS.contains(&key) || key == "<<",
    });
}

/// Take off second colons and put merge keys into effect. Then no two keys of a map are the same.
fn normalise(node: &mut Node) -> Result<()> {
    match &mut node.value {
        // Spack takes the colon from values as well: it can't tell them from keys.
        Value::Scalar(scalar) => scalar.text.truncate(without_second_colon(&scalar.text).0.len()),
        Value::List(items) => items.iter_mut().try_for_each(normalise)?,
        Value::Map(entries) => normalise_map(entries)?,
        Value::Unreadable(_) => {}
    }
    Ok(())
}

fn normalise_map(entries: &mut Vec<Entry>) -> Result<()> {
    let (mut seen, mut merged) = (HashSet::new(), Vec::new());
    for mut entry in mem::take(entries) {
        normalise(&mut entry.value)?;
        // YAML's own merge key, which Spack's parser knows.
        if entry.key == "<<" {
            merge_keys(entry.value, &mut merged)?;
            continue;
        }
        let (stem, replaces) = without_second_colon(&entry.key);
        (entry.key, entry.replaces) = (stem.to_owned(), replaces);
        if !seen.insert(entry.key.clone()) {
            return Err(Problem::duplicate(&entry.key).at(&entry.key_place));
        }
        entries.push(entry);
    }
    entries.extend(merged.into_iter().filter(|entry| seen.insert(entry.key.clone())));
    Ok(())
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
