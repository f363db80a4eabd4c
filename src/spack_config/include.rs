//! `include:`, from an entry to the scope that it stands for.
//!
//! An entry is a path; since Spack 1.0 it may be a map with `path:`, `optional:`, `when:`, `name:`,
//! `path_override_env_var:`, or with `git:`. larder fetches nothing here: an include by URL or from git is left out, which
//! a note says. So is one whose condition larder can't evaluate. Left out means that fewer mirrors are asked, which costs a
//! build; read by mistake, it would bring binaries from a mirror that nobody wanted in this job.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::condition;
use super::document::{Entry, Kind, Node};
use super::error::SpackConfigError;
use super::instance::Generation;
use super::scopes::{Form, Scope, Stack};
use super::substitute::{Substitution, Target, lies_below};
use crate::fs::normalise;
use crate::types::PublicUrl;

/// One entry of `include:`.
#[derive(Clone, Debug, Default)]
pub(super) struct Include {
    path: String,
    git: Option<String>,
    name: String,
    when: String,
    override_variable: String,
    optional: bool,
    /// Written as a map, not as a bare path.
    is_map: bool,
}

impl Include {
    /// The entries of the section.
    pub(super) fn list(section: Option<&Entry>) -> Vec<Self> {
        match section.map(|entry| &entry.value) {
            Some(Node::List(items)) => items.iter().map(Self::read).collect(),
            _ => Vec::new(),
        }
    }

    fn read(node: &Node) -> Self {
        let text = |key: &str| node.get(key).and_then(Node::as_text).map(|text| text.text.clone());
        match node {
            Node::Text(path) => Self { path: path.text.clone(), ..Self::default() },
            _ => Self {
                path: text("path").unwrap_or_default(),
                git: text("git"),
                name: text("name").unwrap_or_default(),
                when: text("when").unwrap_or_default(),
                override_variable: text("path_override_env_var").unwrap_or_default(),
                optional: node.get("optional").and_then(Node::as_flag).unwrap_or_default(),
                is_map: true,
            },
        }
    }

    /// The path as written, unless a variable of the environment says otherwise.
    fn effective_path(&self, substitution: &Substitution) -> String {
        let set = substitution.variables.get(&self.override_variable).filter(|path| !path.is_empty());
        set.unwrap_or(&self.path).to_owned()
    }
}

/// The scope of an entry, `None` where it is not to be read.
pub(super) fn locate(
    include: &Include,
    parent: &Scope,
    stack: &mut Stack<'_>,
) -> Result<Option<Scope>, SpackConfigError> {
    let file = match parent.form {
        Form::Folder => parent.path.join("include.yaml"),
        Form::File(_) => parent.path.clone(),
    };
    if !include.when.is_empty() {
        match condition::evaluate(&include.when, &stack.substitution.variables) {
            Some(true) => {}
            Some(false) => return Ok(None),
            None => {
                stack.note(format!(
                    "`{}` includes `{}` when `{}`, which larder can't evaluate: left out",
                    file.display(),
                    include.git.as_ref().unwrap_or(&include.path),
                    include.when
                ));
                return Ok(None);
            }
        }
    }
    let written = include.effective_path(stack.substitution);
    if written.is_empty() {
        if let Some(git) = &include.git {
            stack.note(unreadable(&file, git));
        }
        return Ok(None);
    }
    // When Spack resolves includes, the environment is not active yet: `$env` has no meaning.
    let outside = Substitution { environment: None, ..stack.substitution.clone() };
    let (target, unknown) = outside.resolve(&written, &base(include, parent, &file, stack.generation));
    for name in unknown {
        stack.note(format!("`{}` includes `{written}`: larder does not know `${name}`", file.display()));
    }
    let path = match target {
        // Spack 0.23 resolves links of a relative path, so the paths in a linked file count from where it really is.
        Target::Local(path) if stack.generation == Generation::Plain && !outside.is_absolute(&written) => {
            fs::canonicalize(&path).unwrap_or(path)
        }
        Target::Local(path) => path,
        Target::Remote(url) => {
            stack.note(unreadable(&file, &url));
            return Ok(None);
        }
    };
    if lies_below(&path, stack.job_folder) {
        return Ok(None);
    }
    let form = match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Form::Folder,
        Ok(_) => Form::File(Kind::Sections),
        Err(_) if include.optional => return Ok(None),
        Err(_) => return Err(SpackConfigError::MissingInclude { include: written, path, declared_in: file }),
    };
    let name = name(include, parent, &path, form, stack.generation);
    Ok(Some(Scope { name, path, form, permanent: parent.permanent }))
}

fn unreadable(file: &Path, url: &str) -> String {
    format!(
        "`{}` includes `{}`, which Spack fetches and larder doesn't: mirrors that are named there are not known",
        file.display(),
        PublicUrl::of_text(url)
    )
}

/// The folder that a relative path counts from. Spack changes into it for a bare path, which resolves links, and takes it
/// from the file's name for a map.
fn base(include: &Include, parent: &Scope, file: &Path, generation: Generation) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    if include.is_map || generation == Generation::Plain || parent.path.as_os_str().is_empty() {
        folder
    } else {
        fs::canonicalize(&folder).unwrap_or(folder)
    }
}

/// Spack's name for the scope. It decides which of two scopes replaces the other.
fn name(include: &Include, parent: &Scope, path: &Path, form: Form, generation: Generation) -> String {
    if !include.name.is_empty() {
        return include.name.clone();
    }
    let shown = if generation == Generation::Plain && form == Form::Folder {
        path.file_name().map(PathBuf::from).unwrap_or_default()
    } else {
        let below = path.strip_prefix(normalise(&parent.path)).ok().filter(|below| !below.as_os_str().is_empty());
        below.unwrap_or(path).to_owned()
    };
    format!("{}:{}", parent.name, shown.display())
}
