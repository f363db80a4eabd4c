//! From the text of a value to its meaning, with the way to it at hand for the case that it has none.

use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use super::expand::expand;
use super::shape::Text;
use super::walk::Step;
use crate::fs::normalise;
use crate::types::{Variables, shorten};

/// Something wrong with a value, and the way to it.
#[derive(Debug)]
pub(super) struct Problem {
    /// Which value.
    pub(super) way: Vec<Step>,
    /// What is wrong with it.
    pub(super) complaint: Complaint,
}

/// Reads values below one place of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    variables: &'a Variables,
    root: &'a Path,
    way: Way<'a>,
}

/// The way to a place, from its end to its beginning, so that going on costs nothing.
#[derive(Clone, Copy, Debug)]
enum Way<'a> {
    Top,
    Key(&'a Way<'a>, &'a str),
    Item(&'a Way<'a>, usize),
}

impl<'a> Reader<'a> {
    /// Reads the top of a file, whose relative paths are relative to `root`.
    pub(super) fn new(variables: &'a Variables, root: &'a Path) -> Self {
        Self { variables, root, way: Way::Top }
    }

    /// Goes on to the value of a key.
    pub(super) fn key<'b>(&'b self, key: &'b str) -> Reader<'b> {
        Reader { way: Way::Key(&self.way, key), ..*self }
    }

    /// Goes on to an item of a list.
    pub(super) fn item(&self, index: usize) -> Reader<'_> {
        Reader { way: Way::Item(&self.way, index), ..*self }
    }

    /// The folder that relative paths are relative to.
    pub(super) fn root(&self) -> &'a Path {
        self.root
    }

    /// The environment variables.
    pub(super) fn variables(&self) -> &'a Variables {
        self.variables
    }

    /// A complaint about the value here.
    pub(super) fn problem(&self, complaint: impl Into<Complaint>) -> Problem {
        Problem { way: self.way.steps(), complaint: complaint.into() }
    }

    /// The text here, as `parse` understands it.
    pub(super) fn read<T, E: Into<Complaint>>(
        &self,
        text: &Text,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Problem> {
        let text = expand(&text.0, self.variables).map_err(|complaint| self.problem(complaint))?;
        parse(&text).map_err(|complaint| self.problem(complaint))
    }

    /// The text of a key that may be absent, as `parse` understands it.
    pub(super) fn read_key<T, E: Into<Complaint>>(
        &self,
        key: &str,
        text: Option<&Text>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        text.map(|text| self.key(key).read(text, parse)).transpose()
    }

    /// The texts of a list, as `parse` understands each.
    pub(super) fn read_list<T, E: Into<Complaint>>(
        &self,
        texts: &[Text],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Problem> {
        texts.iter().enumerate().map(|(index, text)| self.item(index).read(text, &parse)).collect()
    }
}

impl Way<'_> {
    fn steps(&self) -> Vec<Step> {
        let (mut steps, mut way) = (Vec::new(), self);
        loop {
            way = match way {
                Way::Top => break,
                Way::Key(before, key) => {
                    steps.push(Step::Key((*key).to_owned()));
                    before
                }
                Way::Item(before, index) => {
                    steps.push(Step::Item(*index));
                    before
                }
            };
        }
        steps.reverse();
        steps
    }
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, Complaint> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Complaint::new(format!("`{}` is neither `true` nor `false`", shorten(text)))),
    }
}

/// A text that says something: not empty, and on one line.
pub(super) fn line(text: &str) -> Result<String, Complaint> {
    if text.trim().is_empty() {
        Err(Complaint::new("the text is empty"))
    } else if text.contains(char::is_control) {
        Err(Complaint::new(format!("`{}` holds a line break or another control character", shorten(text))))
    } else {
        Ok(text.to_owned())
    }
}

/// A path, made absolute and cleared of `.` and `..` without asking the file system: what it names may not exist yet.
pub(super) fn path(text: &str, root: &Path) -> Result<PathBuf, Complaint> {
    let text = line(text)?;
    if text == "~" || text.starts_with("~/") {
        return Err(Complaint::new(format!("`~` is not expanded in `{}`", shorten(&text))).help("write `${HOME}`"));
    }
    Ok(normalise(&root.join(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_has_no_detours() {
        let root = Path::new("/project");
        for (text, result) in [
            (".", "/project"),
            ("a/./b/../c/", "/project/a/c"),
            ("../x", "/x"),
            ("/../..", "/"),
            ("/cache", "/cache"),
            ("~x", "/project/~x"),
        ] {
            assert_eq!(path(text, root).unwrap(), Path::new(result), "{text}");
        }
        for text in ["", " ", "~", "~/x", "a\nb", "a\0b"] {
            assert!(path(text, root).is_err(), "{text:?}");
        }
    }
}
