//! The entry of `mirrors:` that collects what a pipeline built: a folder that GitLab caches for one branch.
//!
//! It is read as a mirror and written as a cache, so it follows the rules of both: a name among the mirrors, and a place that
//! overlaps with nothing else.

use std::path::{Path, PathBuf};

use crate::config::cache_entry::{CacheEntry, Place, overlap};
use crate::config::complaint::Complaint;
use crate::config::keep::Keep;
use crate::config::mirrors::MirrorShape;
use crate::config::reader::{Problem, Reader, flag, line, path};
use crate::config::remote_cache::RemoteCacheEntry;
use crate::config::slack::Slack;
use crate::types::{Signatures, shorten};

/// A folder that collects what a pipeline built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltEntry {
    /// Its name; no mirror and no cache has it.
    pub name: String,
    /// Its folder, absolute, inside the project. It overlaps with no cache.
    pub path: PathBuf,
    /// The key that Spack signs with; without one, it pushes unsigned.
    pub signing_key: Option<String>,
    /// Whether metadata without a signature is used.
    pub signatures: Signatures,
    /// What stays in it after a job.
    pub keep: Keep,
    /// How much of the rest may stay as well, as long as it would take an upload to be rid of it.
    pub slack: Slack,
    /// Whether commands that look after caches look after it, too.
    pub upkeep: Upkeep,
}

/// Whether `finish`, `list`, `verify` and `clean` are about the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// They are.
    #[default]
    Included,
    /// `--cache` names others only.
    LeftAlone,
}

impl BuiltEntry {
    /// Whether an entry of `mirrors:` is one that collects. Complains of keys that only one kind has.
    pub(super) fn is_meant_by(reader: &Reader<'_>, shape: &MirrorShape) -> Result<bool, Problem> {
        let collects = reader.read_key("collect", shape.collect.as_ref(), flag)?.unwrap_or(false);
        let refuse = |key: &str, complaint: Complaint| Err(reader.key(key).problem(complaint));
        if collects {
            for (key, text) in [("url", &shape.url), ("insecure", &shape.insecure)] {
                if text.is_some() {
                    let complaint = Complaint::new(format!("a mirror with `collect: true` has no `{key}`"));
                    return refuse(key, complaint.help("it is a folder of the project: `path: .larder/built`"));
                }
            }
            if let Some(key) = shape.access_keys().first() {
                let complaint = Complaint::new(format!("a mirror with `collect: true` has no `{key}`"));
                return refuse(
                    key,
                    complaint.help("it is a folder of the project, and nobody asks for credentials there"),
                );
            }
            return Ok(true);
        }
        if shape.path.is_some() {
            let complaint = Complaint::new("`path` is for a mirror with `collect: true`");
            return refuse("path", complaint.help("the folder of any other mirror is its `url`"));
        }
        for (key, is_there) in [("signing-key", shape.signing_key.is_some()), ("keep", shape.keep.is_some())] {
            if is_there {
                let complaint = Complaint::new(format!("`{key}` is for a mirror with `collect: true`"));
                return refuse(key, complaint.help("larder writes into no other mirror"));
            }
        }
        Ok(false)
    }

    pub(super) fn read(reader: &Reader<'_>, shape: &MirrorShape) -> Result<Self, Problem> {
        let root = reader.root();
        let Some(path) = reader.read_key("path", shape.path.as_ref(), |text| path(text, root))? else {
            let complaint = Complaint::new("a mirror with `collect: true` needs a `path`");
            return Err(reader.problem(complaint.help("for example `path: .larder/built`")));
        };
        let name = reader.read_key("name", shape.name.as_ref(), line)?;
        let name = name.unwrap_or_else(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let signing_key = reader.read_key("signing-key", shape.signing_key.as_ref(), key_id)?;
        let signed = reader.read_key("signed", shape.signed.as_ref(), flag)?;
        let signatures =
            if signed.unwrap_or(signing_key.is_some()) { Signatures::Required } else { Signatures::NotRequired };
        let keep = shape.keep.as_ref().map(|keep| Keep::read(&reader.key("keep"), keep)).transpose()?;
        let (keep, slack) = keep.unwrap_or((Keep::Lockfile, Slack::NONE));
        Ok(Self { name, path, signing_key, signatures, keep, slack, upkeep: Upkeep::default() })
    }

    /// What is wrong with its place or its name, once the caches and environments are known.
    pub(super) fn check(
        &self,
        reader: &Reader<'_>,
        caches: &[CacheEntry],
        teams: &[RemoteCacheEntry],
        environments: &[PathBuf],
    ) -> Result<(), Problem> {
        let mut names = caches.iter().map(|cache| &cache.name).chain(teams.iter().map(|cache| &cache.name));
        if let Some(name) = names.find(|name| name.as_str() == self.name) {
            let complaint = Complaint::new(format!("a cache has the name `{name}`, too"));
            return Err(reader.problem(complaint.help("give the mirror a `name` of its own")));
        }
        let refuse = |complaint| Err(reader.key("path").problem(complaint));
        let place = Place { what: format!("the mirror `{}`", self.name), path: &self.path };
        if let Some(complaint) =
            overlap(&place, "for example `path: .larder/built`", caches, reader.root(), environments)
        {
            return refuse(complaint);
        }
        if !is_inside(&self.path, reader.root()) {
            let complaint =
                Complaint::new(format!("the folder of the mirror `{}` is outside of the project", self.name));
            return refuse(
                complaint.help("GitLab caches folders of the project only; for example `path: .larder/built`"),
            );
        }
        Ok(())
    }
}

fn is_inside(path: &Path, root: &Path) -> bool {
    path != root && path.starts_with(root)
}

/// The key goes onto a command line: one that begins with a dash would be an option there.
fn key_id(text: &str) -> Result<String, Complaint> {
    let text = line(text)?;
    if text.starts_with('-') {
        return Err(Complaint::new(format!("`{}` is not the ID of a key", shorten(&text)))
            .help("`gpg --list-secret-keys` lists them; a fingerprint or an e-mail address will do"));
    }
    Ok(text)
}
