//! `include:`, from an entry to the scope that it stands for.
//!
//! An entry is a path; since Spack 1.0 it may be a map with `path:`, `optional:`, `when:`, `name:`,
//! `path_override_env_var:`, or with `git:`. larder fetches nothing here: an include by URL or from git is left out, which
//! a note says. So is one whose condition larder can't evaluate. Left out means that fewer mirrors are asked, which costs a
//! build; read by mistake, it would bring binaries from a mirror that this job is not meant to use.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::condition;
use super::error::SpackConfigError;
use super::scope::{Form, Generation, Scope};
use super::substitute::{Substitution, Target, lies_below};
use crate::types::{PublicUrl, normalise};
use crate::yaml::{Node, Result, Value};

/// One entry of `include:`.
pub(super) struct Include<'a> {
    path: &'a str,
    git: Option<&'a str>,
    name: Option<&'a str>,
    when: Option<&'a str>,
    override_variable: Option<&'a str>,
    optional: bool,
    /// Written as a map, not as a bare path.
    is_map: bool,
}

impl<'a> Include<'a> {
    /// The entries of the section.
    pub(super) fn list(section: &'a Node) -> Result<Vec<Self>> {
        match &section.value {
            Value::List(items) => items.iter().map(Self::read).collect(),
            _ if section.is_null() => Ok(Vec::new()),
            _ => Err(section.refuse("a list of files and folders")),
        }
    }

    fn read(node: &'a Node) -> Result<Self> {
        if node.as_text().is_none() {
            node.entries("a path, or a map with `path:`")?;
        }
        let text = |key| node.get(key).map(Node::text).transpose();
        let set = |key| Ok(text(key)?.filter(|text| !text.is_empty()));
        Ok(Self {
            path: text("path")?.or(node.as_text()).unwrap_or_default(),
            git: text("git")?,
            name: set("name")?,
            when: set("when")?,
            override_variable: text("path_override_env_var")?,
            optional: node.get("optional").map_or(Ok(false), Node::flag)?,
            is_map: node.as_text().is_none(),
        })
    }
}

/// What decides where includes lead.
pub(super) struct Includer<'a> {
    pub(super) generation: Generation,
    /// Without an environment: when Spack resolves includes, it is not active yet, and `$env` has no meaning.
    pub(super) substitution: Substitution,
    /// larder's own folder. What lies below it is its own work and no configuration of the user's.
    pub(super) job_folder: &'a Path,
    /// What is to be told, perhaps several times.
    pub(super) notes: Vec<String>,
}

impl Includer<'_> {
    /// The scope of an entry, `None` where it is not to be read.
    pub(super) fn locate(
        &mut self,
        include: &Include<'_>,
        parent: &Scope,
    ) -> std::result::Result<Option<Scope>, SpackConfigError> {
        let file = parent.file_of("include");
        let base = self.base(include, &file);
        let mut note = |text: String| self.notes.push(format!("`{}` includes {text}", file.display()));
        let variables = &self.substitution.variables;
        if let Some(when) = include.when {
            let outcome = condition::evaluate(when, variables);
            if outcome.is_none() {
                let shown = include.git.unwrap_or(include.path);
                note(format!("`{shown}` when `{when}`, which larder can't evaluate: left out"));
            }
            if outcome != Some(true) {
                return Ok(None);
            }
        }
        let set = include.override_variable.and_then(|name| variables.set(name));
        let written = set.unwrap_or(include.path);
        if written.is_empty() {
            if let Some(git) = include.git {
                note(unreadable(git));
            }
            return Ok(None);
        }
        let unknown = |name: &str| note(format!("`{written}`: larder does not know `${name}`"));
        let target = self.substitution.resolve(written, &base, unknown);
        let path = match target {
            // Spack 0.23 resolves links of a relative path, so the paths in a linked file count from where it really is.
            Target::Local(path) if self.generation == Generation::Plain && !self.substitution.is_absolute(written) => {
                fs::canonicalize(&path).unwrap_or(path)
            }
            Target::Local(path) => path,
            Target::Remote(url) => {
                note(unreadable(&url));
                return Ok(None);
            }
        };
        if lies_below(&path, self.job_folder) {
            return Ok(None);
        }
        let form = match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Form::Folder,
            Ok(_) => Form::File,
            Err(_) if include.optional => return Ok(None),
            Err(_) => {
                let include = written.to_owned();
                return Err(SpackConfigError::MissingInclude { include, path, declared_in: file });
            }
        };
        let name = include.name.map_or_else(|| self.name(parent, &path, form), str::to_owned);
        Ok(Some(Scope { name, path, form, permanent: parent.permanent }))
    }

    /// The folder that a relative path counts from. Spack changes into it for a bare path, which resolves links, and takes it
    /// from the file's name for a map.
    fn base(&self, include: &Include<'_>, file: &Path) -> PathBuf {
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        if include.is_map || self.generation == Generation::Plain {
            folder
        } else {
            fs::canonicalize(&folder).unwrap_or(folder)
        }
    }

    /// Spack's name for the scope. It decides which of two scopes replaces the other.
    fn name(&self, parent: &Scope, path: &Path, form: Form) -> String {
        let shown = if self.generation == Generation::Plain && form == Form::Folder {
            path.file_name().map_or(Path::new(""), Path::new)
        } else {
            let below = path.strip_prefix(normalise(&parent.path)).ok();
            below.filter(|below| !below.as_os_str().is_empty()).unwrap_or(path)
        };
        format!("{}:{}", parent.name, shown.display())
    }
}

fn unreadable(url: &str) -> String {
    let url = PublicUrl::of_text(url);
    format!("`{url}`, which Spack fetches and larder doesn't: mirrors that are named there are not known")
}
