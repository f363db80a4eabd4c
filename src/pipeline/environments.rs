//! The environments of a project: their lockfiles, the mirrors that each uses, and what is installed already.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::install_tree;
use crate::job::JobFolder;
use crate::lockfile::{Lockfile, LockfileError};
use crate::pipeline::aside;
use crate::pipeline::error::RunError;
use crate::pipeline::session::{MissingLockfile, Scope, Session, Wanted};
use crate::spack_config::{self, SpackMirror};
use crate::store::built::BuiltFolder;
use crate::types::{DagHash, Mirror, MirrorUrl, PlainHttp, Presence, Signatures};

/// Everything a command has to know of the environments.
pub(crate) struct Environments {
    /// Of the environments that have one, in the order of the configuration.
    pub lockfiles: Vec<Lockfile>,
    /// The others, as messages name them.
    pub without_lockfile: Vec<String>,
    /// All mirrors, each once.
    pub mirrors: Vec<Arc<Mirror>>,
    /// For each lockfile, its environment's mirrors in the order in which they are asked.
    pub mirrors_of: Vec<Vec<Arc<Mirror>>>,
    /// The folder of what the branch built, asked after all mirrors.
    pub built: Option<BuiltFolder>,
    /// What the install trees hold.
    pub installed: HashSet<DagHash>,
    /// The files of Spack's configuration that were read.
    pub files: Vec<PathBuf>,
}

impl Environments {
    /// Whether there is something to take, and nothing to take a binary from.
    pub(crate) fn have_no_mirror(&self) -> bool {
        !self.lockfiles.is_empty() && self.mirrors.is_empty() && self.built.is_none()
    }
}

pub(crate) fn load(session: &Session<'_>, wanted: &Wanted, scope: Scope) -> Result<Environments, RunError> {
    let Lockfiles { found, missing } = match wanted.missing_lockfile {
        MissingLockfile::Tell => known_lockfiles(session)?,
        MissingLockfile::Refuse => Lockfiles::complete(lockfiles(session)?, session),
    };
    tell_missing(session, &missing, scope);
    for (_, lockfile) in &found {
        if let Some(note) = lockfile.format().note() {
            session.warn(&format!("`{}`: {note}", lockfile.path().display()));
        }
    }
    let mut mirrors = Mirrors::default();
    let mut installed = HashSet::new();
    let mut files = Vec::new();
    for (path, _) in &found {
        let mut of_environment = session.config.mirrors.clone().unwrap_or_default();
        if session.config.mirrors.is_none() || scope == Scope::Job {
            let spack = discover(session, path)?;
            if session.config.mirrors.is_none() {
                of_environment = spack.mirrors.iter().map(of_spack).collect::<Result<_, _>>()?;
                spack.notes.iter().for_each(|note| session.warn(note));
            }
            files.extend(spack.files);
            if scope == Scope::Job && wanted.install_trees.is_empty() {
                for tree in spack.install_trees {
                    installed.extend(install_tree::installed_specs(&tree)?.unwrap_or_default());
                }
            }
        }
        mirrors.add(session, of_environment);
    }
    let Mirrors { all: mirrors, of_environments: mirrors_of } = mirrors;
    for tree in &wanted.install_trees {
        let specs = install_tree::installed_specs(tree)?;
        installed.extend(specs.ok_or_else(|| RunError::NoInstallTree { path: tree.clone() })?);
    }
    let built = built(session);
    files.sort();
    files.dedup();
    let lockfiles = found.into_iter().map(|(_, lockfile)| lockfile).collect();
    let without_lockfile = missing.iter().map(|path| shown(session, path)).collect();
    Ok(Environments { lockfiles, without_lockfile, mirrors, mirrors_of, built, installed, files })
}

/// The mirrors of all environments.
#[derive(Default)]
pub(crate) struct Mirrors {
    /// Each once.
    pub all: Vec<Arc<Mirror>>,
    /// For each environment, its mirrors in the order in which they are asked.
    pub of_environments: Vec<Vec<Arc<Mirror>>>,
}

impl Mirrors {
    fn add(&mut self, session: &Session<'_>, mut of_environment: Vec<Mirror>) {
        // What pipelines built comes last: it can only fill gaps. Where Spack's configuration names it as well, it has its place.
        let pushed = session.config.built_mirror.iter().map(|entry| &entry.mirror);
        let pushed = pushed.filter(|pushed| of_environment.iter().all(|mirror| mirror.url != pushed.url));
        of_environment.extend(pushed.map(|pushed| Mirror::clone(pushed)).collect::<Vec<_>>());
        let of_environment = of_environment.into_iter().map(|mirror| shared(&mut self.all, mirror)).collect();
        self.of_environments.push(of_environment);
    }
}

/// The mirrors alone. No environment needs a lockfile for that.
pub(crate) fn mirrors(session: &Session<'_>) -> Result<Mirrors, RunError> {
    let mut mirrors = Mirrors::default();
    for path in &session.config.environments {
        mirrors.add(
            session,
            match &session.config.mirrors {
                Some(configured) => configured.clone(),
                None => discover(session, path)?.mirrors.iter().map(of_spack).collect::<Result<_, _>>()?,
            },
        );
    }
    Ok(mirrors)
}

/// What Spack's configuration says of an environment.
fn discover(session: &Session<'_>, path: &Path) -> Result<spack_config::SpackConfig, RunError> {
    let job_folder = JobFolder::of(&session.config.root);
    let home = session.home.as_deref();
    Ok(spack_config::discover(folder_of(path), &session.variables, home, job_folder.root())?)
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

/// The environments, by whether they have a lockfile.
pub(crate) struct Lockfiles {
    /// Environment and lockfile.
    pub found: Vec<(PathBuf, Lockfile)>,
    /// The environments whose lockfile is yet to be made, or that are not there at all yet.
    pub missing: Vec<PathBuf>,
}

impl Lockfiles {
    fn complete(lockfiles: Vec<Lockfile>, session: &Session<'_>) -> Self {
        Self { found: session.config.environments.iter().cloned().zip(lockfiles).collect(), missing: Vec::new() }
    }
}

/// The lockfiles of all environments, none of which may lack one.
pub(crate) fn lockfiles(session: &Session<'_>) -> Result<Vec<Lockfile>, RunError> {
    let read = |path: &PathBuf| Lockfile::read(&lockfile_of(path)).map_err(RunError::from);
    session.config.environments.iter().map(read).collect()
}

/// The lockfiles that are there. Projects that concretize in the job have them only from then on.
pub(crate) fn known_lockfiles(session: &Session<'_>) -> Result<Lockfiles, RunError> {
    let mut lockfiles = Lockfiles { found: Vec::new(), missing: Vec::new() };
    for path in &session.config.environments {
        match Lockfile::read(&lockfile_of(path)) {
            Ok(lockfile) => lockfiles.found.push((path.clone(), lockfile)),
            Err(LockfileError::Missing { .. }) => lockfiles.missing.push(path.clone()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lockfiles)
}

/// The lockfile of an environment that is named by its folder or by the lockfile. What is not there yet is a folder, unless it is
/// called like a lockfile.
pub(crate) fn lockfile_of(path: &Path) -> PathBuf {
    let is_lockfile = path.is_file() || (!path.is_dir() && path.extension().is_some_and(|end| end == "lock"));
    if is_lockfile { path.to_owned() } else { path.join("spack.lock") }
}

/// An environment as messages name it: relative to the project, in which commands run.
pub(crate) fn shown(session: &Session<'_>, path: &Path) -> String {
    match path.strip_prefix(&session.config.root) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => inside.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

/// Say in two lines what to do where there is no lockfile yet.
fn tell_missing(session: &Session<'_>, missing: &[PathBuf], scope: Scope) {
    let Some(first) = missing.first() else { return };
    let names: Vec<String> = missing.iter().take(5).map(|path| format!("`{}`", shown(session, path))).collect();
    let more = if missing.len() > names.len() { ", …" } else { "" };
    let (outcome, alternative) = match scope {
        Scope::Job if missing.len() == session.config.environments.len() => {
            ("the job mirror is empty", "`larder prepare`")
        }
        Scope::Job => ("nothing of theirs is in the job mirror", "`larder prepare`"),
        Scope::WholeEnvironments => {
            ("there is nothing to fetch for them", "`larder warm`, or have `larder warm --concretize` do both")
        }
    };
    session.warn(&format!(
        "no lockfile yet in {}{more}: {outcome}\n`larder run -- COMMAND` has Spack concretize, prepares and runs the command; or \
         run `spack -e {} concretize` and then {alternative}",
        names.join(", "),
        shown(session, first)
    ));
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
    // Many environments name a folder of one site, and are used at others: Spack goes on without it.
    let presence = if url.to_path().is_some() { Presence::Optional } else { Presence::Required };
    let (plain_http, access) = (PlainHttp::LoopbackOnly, Arc::new(mirror.access.clone()));
    Ok(Mirror { name, url, signatures, plain_http, access, presence })
}

/// The same mirror of several environments is one.
fn shared(mirrors: &mut Vec<Arc<Mirror>>, mirror: Mirror) -> Arc<Mirror> {
    let mirror = mirrors.iter().find(|known| ***known == mirror).cloned().unwrap_or_else(|| Arc::new(mirror));
    if !mirrors.contains(&mirror) {
        mirrors.push(Arc::clone(&mirror));
    }
    mirror
}
