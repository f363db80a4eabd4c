//! The environments of a project: their lockfiles, the mirrors that each uses, and what is installed already.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::install_tree;
use crate::job::JobFolder;
use crate::lockfile::Lockfile;
use crate::pipeline::aside;
use crate::pipeline::error::RunError;
use crate::pipeline::session::{Scope, Session, Wanted};
use crate::spack_config::{self, SpackMirror};
use crate::store::built::BuiltFolder;
use crate::types::{DagHash, Mirror, MirrorUrl, PlainHttp, Signatures};

/// Everything a command has to know of the environments.
pub(crate) struct Environments {
    /// In the order of the configuration.
    pub lockfiles: Vec<Lockfile>,
    /// All mirrors, each once.
    pub mirrors: Vec<Arc<Mirror>>,
    /// For each environment, its mirrors in the order in which they are asked.
    pub mirrors_of: Vec<Vec<Arc<Mirror>>>,
    /// The folder of what the branch built, asked after all mirrors.
    pub built: Option<BuiltFolder>,
    /// What the install trees hold.
    pub installed: HashSet<DagHash>,
}

pub(crate) fn load(session: &Session<'_>, wanted: &Wanted, scope: Scope) -> Result<Environments, RunError> {
    let lockfiles = lockfiles(session)?;
    let mut mirrors: Vec<Arc<Mirror>> = Vec::new();
    let mut mirrors_of = Vec::new();
    let mut installed = HashSet::new();
    let mut files = Vec::new();
    let job_folder = JobFolder::of(&session.config.root);
    for path in &session.config.environments {
        let mut found = session.config.mirrors.clone().unwrap_or_default();
        if session.config.mirrors.is_none() || scope == Scope::Job {
            let home = session.home.as_deref();
            let spack = spack_config::discover(folder_of(path), &session.variables, home, job_folder.root())?;
            if session.config.mirrors.is_none() {
                found = spack.mirrors.iter().map(of_spack).collect::<Result<_, _>>()?;
                spack.notes.iter().for_each(|note| session.warn(note));
            }
            files.extend(spack.files);
            if scope == Scope::Job && wanted.install_trees.is_empty() {
                for tree in spack.install_trees {
                    installed.extend(install_tree::installed_specs(&tree)?.unwrap_or_default());
                }
            }
        }
        mirrors_of.push(found.into_iter().map(|mirror| shared(&mut mirrors, mirror)).collect());
    }
    for tree in &wanted.install_trees {
        let found = install_tree::installed_specs(tree)?;
        installed.extend(found.ok_or_else(|| RunError::NoInstallTree { path: tree.clone() })?);
    }
    let built = built(session);
    if mirrors.is_empty() && built.is_none() {
        files.sort();
        files.dedup();
        return Err(RunError::NoMirror { files });
    }
    Ok(Environments { lockfiles, mirrors, mirrors_of, built, installed })
}

/// The folder of what the branch built. One that can't be used is as good as none: then Spack builds.
fn built(session: &Session<'_>) -> Option<BuiltFolder> {
    let entry = session.config.collect.as_ref()?;
    let opened = aside::bring_back(session, &entry.name, &entry.path);
    match opened.and_then(|()| BuiltFolder::open(entry, &session.config.root)) {
        Ok(folder) => Some(folder),
        Err(error) => {
            session.warn(&format!("nothing is taken from mirror `{}`: {error}", entry.name));
            None
        }
    }
}

/// The lockfiles of all environments.
pub(crate) fn lockfiles(session: &Session<'_>) -> Result<Vec<Lockfile>, RunError> {
    let read = |path: &PathBuf| {
        let file = if path.is_dir() { path.join("spack.lock") } else { path.clone() };
        Lockfile::read(&file).map_err(RunError::from)
    };
    session.config.environments.iter().map(read).collect()
}

/// The folder of an environment that is named by it or by its lockfile.
pub(crate) fn folder_of(path: &Path) -> Option<&Path> {
    if path.is_dir() { Some(path) } else { folder_of_lockfile(path) }
}

/// The environment's folder where a lockfile was named and `spack.yaml` lies beside it.
pub(crate) fn folder_of_lockfile(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| path.ends_with("spack.lock") && folder.join("spack.yaml").is_file())
}

fn of_spack(mirror: &SpackMirror) -> Result<Mirror, RunError> {
    let url: MirrorUrl = mirror.url.parse().map_err(|source| RunError::UnusableMirror {
        name: mirror.name.clone(),
        declared_in: mirror.declared_in.clone(),
        source,
    })?;
    if url.is_refused_by(PlainHttp::LoopbackOnly) {
        let (name, declared_in) = (mirror.name.clone(), mirror.declared_in.clone());
        return Err(RunError::InsecureMirror { name, url: url.to_string(), declared_in });
    }
    let (name, signatures) = (mirror.name.clone(), Signatures::from(mirror.signed));
    Ok(Mirror { name, url, signatures, plain_http: PlainHttp::LoopbackOnly, access: Arc::new(mirror.access.clone()) })
}

/// The same mirror of several environments is one.
fn shared(mirrors: &mut Vec<Arc<Mirror>>, mirror: Mirror) -> Arc<Mirror> {
    let mirror = mirrors.iter().find(|known| ***known == mirror).cloned().unwrap_or_else(|| Arc::new(mirror));
    if !mirrors.contains(&mirror) {
        mirrors.push(Arc::clone(&mirror));
    }
    mirror
}
