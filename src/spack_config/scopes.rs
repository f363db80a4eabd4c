//! The stack of scopes: which files and folders Spack reads, and which of them counts more.
//!
//! From low to high: Spack's defaults, the system's, the site's and the user's scope, the environment. What a scope includes
//! lies directly below it. Three generations of Spack differ in the rest, see [`Generation`].

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use fs_err as fs;

use super::document::{self, Entry, Kind, Map};
use super::error::SpackConfigError;
use super::include::{self, Include};
use super::instance::Generation;
use super::substitute::Substitution;

/// The most bytes of one file. Real ones have some kilobytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Spack's own bound for includes that include others (`MAX_RECURSIVE_INCLUDES`).
const MAX_DEPTH: usize = 100;
/// A bound for their number: a few files that include each other twice each multiply without being a cycle.
const MAX_SCOPES: usize = 1000;

/// The files of a folder that larder needs.
const SECTIONS: [&str; 4] = ["include", "mirrors", "config", "upstreams"];

/// What a scope consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A folder with one file per section.
    Folder,
    /// A file with all sections.
    File(Kind),
}

/// One source of settings.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Spack's name for it. A scope pushed later under the same name takes the place of the earlier one.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) form: Form,
    /// Whether `include::` of an environment can't remove it: Spack would not run without its defaults.
    pub(super) permanent: bool,
}

/// The scopes, the lowest first, and what was read for them.
pub(super) struct Stack<'a> {
    pub(super) generation: Generation,
    pub(super) substitution: &'a Substitution,
    /// larder's own folder. What lies below it is our own work and no configuration of the user's.
    pub(super) job_folder: &'a Path,
    pub(super) notes: Vec<String>,
    scopes: Vec<Scope>,
    pushed: usize,
    files: HashMap<PathBuf, Option<Rc<Map>>>,
}

impl<'a> Stack<'a> {
    pub(super) fn new(generation: Generation, substitution: &'a Substitution, job_folder: &'a Path) -> Self {
        Self {
            generation,
            substitution,
            job_folder,
            notes: Vec::new(),
            scopes: Vec::new(),
            pushed: 0,
            files: HashMap::new(),
        }
    }

    /// Put a scope on top, with what it includes directly below it.
    pub(super) fn push(&mut self, scope: Scope) -> Result<(), SpackConfigError> {
        self.push_at(scope, 0).map(|_| ())
    }

    /// Returns the names of the scope and of all that it includes.
    fn push_at(&mut self, scope: Scope, depth: usize) -> Result<BTreeSet<String>, SpackConfigError> {
        self.pushed += 1;
        if depth > MAX_DEPTH {
            return Err(SpackConfigError::IncludesTooDeep { path: scope.path, limit: MAX_DEPTH });
        }
        if self.pushed > MAX_SCOPES {
            return Err(SpackConfigError::TooManyIncludes { path: scope.path, limit: MAX_SCOPES });
        }
        let mut reach = BTreeSet::from([scope.name.clone()]);
        let includes =
            if self.generation.follows_includes_of(scope.form) { self.section(&scope, "include")? } else { None };
        let replaces = includes.as_ref().is_some_and(|entry| entry.replaces);
        for included in self.included(&scope, includes.as_ref())?.into_iter().rev() {
            reach.extend(self.push_at(included, depth + 1)?);
        }
        if replaces && self.generation != Generation::Plain {
            // `include::`: of all below, only what this scope itself includes remains.
            self.scopes.retain(|below| below.permanent || reach.contains(&below.name));
        }
        self.put(scope);
        Ok(reach)
    }

    fn put(&mut self, scope: Scope) {
        let same = self.scopes.iter().position(|other| other.name == scope.name);
        match same {
            // Spack 0.23 keeps the place of the earlier one, Spack 1 that of the later one.
            Some(at) if self.generation == Generation::Plain => self.scopes[at] = scope,
            Some(at) => {
                self.scopes.remove(at);
                self.scopes.push(scope);
            }
            None => self.scopes.push(scope),
        }
    }

    /// The scopes that a scope includes, in the order of the file, which is from high to low.
    fn included(&mut self, scope: &Scope, section: Option<&Entry>) -> Result<Vec<Scope>, SpackConfigError> {
        let mut all: Vec<Scope> = Vec::new();
        for include in Include::list(section) {
            let Some(found) = include::locate(&include, scope, self)? else { continue };
            if self.generation != Generation::Plain && all.iter().any(|other| other.name == found.name) {
                self.note(format!(
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

    /// Say something once.
    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The scopes, the lowest first.
    pub(super) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// One section of a scope.
    pub(super) fn section(&mut self, scope: &Scope, section: &str) -> Result<Option<Entry>, SpackConfigError> {
        let (path, kind) = match scope.form {
            Form::Folder => (scope.path.join(format!("{section}.yaml")), Kind::Sections),
            Form::File(kind) => (scope.path.clone(), kind),
        };
        Ok(self.file(&path, kind)?.and_then(|map| map.entry(section).cloned()))
    }

    /// The files that count, the most important first.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for scope in self.scopes.iter().rev() {
            let names: Vec<_> = match scope.form {
                Form::Folder => SECTIONS.iter().map(|name| scope.path.join(format!("{name}.yaml"))).collect(),
                Form::File(_) => vec![scope.path.clone()],
            };
            for path in names {
                if matches!(self.files.get(&path), Some(Some(_))) && !files.contains(&path) {
                    files.push(path);
                }
            }
        }
        files
    }

    fn file(&mut self, path: &Path, kind: Kind) -> Result<Option<Rc<Map>>, SpackConfigError> {
        if let Some(known) = self.files.get(path) {
            return Ok(known.clone());
        }
        let map = read(path)?.map(|text| parse(&text, path, kind).map(Rc::new)).transpose()?;
        self.files.insert(path.to_owned(), map.clone());
        Ok(map)
    }
}

fn parse(text: &str, path: &Path, kind: Kind) -> Result<Map, SpackConfigError> {
    document::parse(text, &path.into(), kind).map_err(|source| SpackConfigError::Malformed {
        path: path.to_owned(),
        line: source.location().map(|at| at.line()),
        source,
    })
}

/// The text of a file, `None` where there is none. Links are followed: people keep their configuration in other places.
fn read(path: &Path) -> Result<Option<String>, SpackConfigError> {
    use std::io::ErrorKind;
    let unreadable = |source| SpackConfigError::Unreadable { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err(SpackConfigError::NotAFile { path: path.to_owned() }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(SpackConfigError::TooLarge { path: path.to_owned(), limit: MAX_FILE });
    }
    String::from_utf8(bytes).map(Some).map_err(|_| SpackConfigError::NotText { path: path.to_owned() })
}
