//! The stack of scopes: which files and folders Spack reads, and which of them counts more.
//!
//! From low to high: Spack's defaults, the system's, the site's and the user's scope, the environment. What a scope includes
//! lies directly below it. Three generations of Spack differ in the rest, see [`Generation`].

use std::collections::{BTreeSet, HashMap};
use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use super::document;
use super::error::{Result, SpackConfigError};
use super::include::{Include, Includer};
use super::outline;
use super::scope::{Form, Generation, SECTIONS, Scope};
use crate::yaml::{Entry, Node};

/// The most bytes of one file. Real ones have some kilobytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Spack's own bound for includes that include others (`MAX_RECURSIVE_INCLUDES`).
const MAX_DEPTH: usize = 100;
/// A bound for their number: a few files that include each other twice each multiply without being a cycle.
const MAX_SCOPES: usize = 1000;

/// The scopes, the lowest first, and what was read for them.
pub(super) struct Stack<'a> {
    pub(super) includer: Includer<'a>,
    pub(super) scopes: Vec<Scope>,
    pushed: usize,
    /// The sections of each file that was looked for, `None` for one that is not there.
    files: HashMap<PathBuf, Option<Node>>,
}

impl<'a> Stack<'a> {
    pub(super) fn new(includer: Includer<'a>) -> Self {
        Self { includer, scopes: Vec::new(), pushed: 0, files: HashMap::new() }
    }

    /// Put a scope on top, with what it includes directly below it. Returns the names of all of them.
    pub(super) fn push(&mut self, scope: Scope, depth: usize) -> Result<BTreeSet<String>> {
        self.pushed += 1;
        if depth > MAX_DEPTH {
            return Err(SpackConfigError::IncludesTooDeep { path: scope.path, limit: MAX_DEPTH });
        }
        if self.pushed > MAX_SCOPES {
            return Err(SpackConfigError::TooManyIncludes { path: scope.path, limit: MAX_SCOPES });
        }
        let generation = self.includer.generation;
        let mut reach = BTreeSet::from([scope.name.clone()]);
        let follows = generation != Generation::Plain || scope.form == Form::Manifest;
        let includes = if follows { self.section(&scope, "include")? } else { None };
        if let Some(includes) = &includes {
            for included in self.included(&scope, includes)?.into_iter().rev() {
                reach.extend(self.push(included, depth + 1)?);
            }
        }
        if generation != Generation::Plain && includes.is_some_and(|includes| includes.replaces) {
            // `include::`: of all below, only what this scope itself includes remains.
            self.scopes.retain(|below| below.permanent || reach.contains(&below.name));
        }
        let same = self.scopes.iter().position(|other| other.name == scope.name);
        // Spack 0.23 keeps the place of the earlier one of the same name, Spack 1 that of the later one.
        let kept = same.filter(|_| generation == Generation::Plain);
        if let Some(at) = same {
            self.scopes.remove(at);
        }
        self.scopes.insert(kept.unwrap_or(self.scopes.len()), scope);
        Ok(reach)
    }

    /// The scopes that a scope includes, in the order of the file, which is from high to low.
    fn included(&mut self, scope: &Scope, section: &Entry) -> Result<Vec<Scope>> {
        let mut all: Vec<Scope> = Vec::new();
        for include in Include::list(&section.value)? {
            let Some(found) = self.includer.locate(&include, scope)? else { continue };
            if self.includer.generation != Generation::Plain && all.iter().any(|other| other.name == found.name) {
                self.includer.notes.push(format!(
                    "`{}` includes `{}` twice under the name `{}`; the first one counts",
                    scope.path.display(),
                    found.path.display(),
                    found.name
                ));
            } else {
                all.push(found);
            }
        }
        Ok(all)
    }

    /// One section of a scope.
    pub(super) fn section(&mut self, scope: &Scope, section: &str) -> Result<Option<Entry>> {
        let path = scope.file_of(section);
        if !self.files.contains_key(&path) {
            let sections = self.read(&path, scope.form)?;
            self.files.insert(path.clone(), sections);
        }
        Ok(self.files[&path].as_ref().and_then(|sections| sections.entry(section).cloned()))
    }

    /// The sections of a file; `None` where there is no file, or one that can't be understood and has none of them.
    fn read(&mut self, path: &Path, form: Form) -> Result<Option<Node>> {
        let unreadable = |source| SpackConfigError::Unreadable { path: path.to_owned(), source };
        // Links are followed: configuration is often kept in another place.
        let Some(bytes) = crate::fs::read_linked(path, MAX_FILE).map_err(unreadable)? else { return Ok(None) };
        let understood = match std::str::from_utf8(&bytes) {
            Ok(text) => document::parse(text, path, form).map_err(SpackConfigError::from),
            Err(error) => Err(unreadable(io::Error::other(error))),
        };
        match understood {
            Ok(sections) => Ok(Some(sections)),
            Err(error) if outline::may_name_sections(&String::from_utf8_lossy(&bytes)) => Err(error),
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                self.includer.notes.push(format!("{error}{cause}; it has nothing that larder needs, and is left out"));
                Ok(None)
            }
        }
    }

    /// The files that count, the most important first.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in self.scopes.iter().rev().flat_map(|scope| SECTIONS.map(|section| scope.file_of(section))) {
            if matches!(self.files.get(&path), Some(Some(_))) && !files.contains(&path) {
                files.push(path);
            }
        }
        files
    }
}
