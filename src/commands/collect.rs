//! `larder collect`: push what this job built from source into the folder that GitLab caches for the branch.
//!
//! Spack pushes into a scratch folder. What arrived there whole is then moved, blobs first and metadata last: a push that is
//! killed leaves nothing half-written in the folder, and one that fails half-way still brings what it had finished.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::error::CommandError;
use crate::config::BuiltEntry;
use crate::install_tree;
use crate::job::{JobError, JobFolder, State};
use crate::lockfile::{ConcreteSpec, Lockfile, Origin};
use crate::pipeline::environments::{self, folder_of, folder_of_lockfile};
use crate::pipeline::prune::Pruning;
use crate::pipeline::uploads::Note;
use crate::pipeline::{Mode, RunError, Session, stores, uploads};
use crate::plan::{Graph, Need, row};
use crate::report::{CacheReport, Report, SpecReport};
use crate::spack::{self, Push};
use crate::spack_config;
use crate::store::Store;
use crate::store::built::{BuiltFolder, Depth, Lookup};
use crate::types::{DagHash, Signatures};

/// Options of `collect`.
#[derive(Clone, Debug, Default)]
pub struct CollectOptions {
    /// Spack, where it is not the one on the PATH.
    pub spack: Option<PathBuf>,
    /// Install trees named on the command line.
    pub install_trees: Vec<PathBuf>,
    /// How long Spack may take, all pushes together.
    pub patience: Option<Duration>,
}

/// Push what this job built and the folder lacks, and then prune the folder by its `keep:`. With nothing to push it is left as it
/// is: pruning alone is not worth the upload, and `finish` decides over that.
pub async fn collect(session: &Session<'_>, options: &CollectOptions, mode: Mode) -> Result<Report, CommandError> {
    let entry = session.config.collect.as_ref().ok_or(CommandError::NoBuiltFolder)?;
    let pushed = push(session, options, mode)?;
    let added = if mode == Mode::Act { pushed.len() as u64 } else { 0 };
    let store = Store::Built(BuiltFolder::open(entry, &session.config.root)?, entry);
    let pruned = if added > 0 { prune(session, &store, &pushed).await? } else { CacheReport::default() };
    let state = store.report(&store.inventory().await?);
    let mut report = Report::new("collect");
    let CacheReport { name, path, bytes, blobs, .. } = state;
    report.caches.push(CacheReport { name, path, bytes, blobs, added, changed: added > 0, ..pruned });
    report.specs = pushed;
    Ok(session.conclude(report))
}

/// Make room, but not for what this job needed or built.
async fn prune(session: &Session<'_>, store: &Store<'_>, pushed: &[SpecReport]) -> Result<CacheReport, RunError> {
    if stores::built_entry(session).is_none() {
        return Ok(CacheReport::default());
    }
    let job = JobFolder::of(&session.config.root);
    let mode = Mode::Act;
    let restored = uploads::note(session, &job, Note::OfAnEarlierCommand, mode)?;
    let mut used = State::read(&job)?.map(|state| state.used()).unwrap_or_default();
    used.specs.extend(pushed.iter().map(|spec| spec.hash));
    let pruning = Pruning { session, job, used, restored, mode, deadline: Instant::now() };
    let mut report = pruning.prune(store).await?;
    uploads::describe(session, store, &pruning.restored, &mut report)?;
    Ok(report)
}

/// Push, for `finish` too. Tells what it does, and gives what it pushed, or would push.
pub(super) fn push(
    session: &Session<'_>,
    options: &CollectOptions,
    mode: Mode,
) -> Result<Vec<SpecReport>, CommandError> {
    let entry = session.config.collect.as_ref().ok_or(CommandError::NoBuiltFolder)?;
    if entry.signatures == Signatures::Required && entry.signing_key.is_none() {
        return Err(CommandError::NoSigningKey { mirror: entry.name.clone() });
    }
    let folder = BuiltFolder::open(entry, &session.config.root)?;
    let job = JobFolder::of(&session.config.root);
    let found = environments::known_lockfiles(session)?.found;
    if found.is_empty() {
        session.inform("no environment has a lockfile: nothing was built for one, and nothing is collected");
        return Ok(Vec::new());
    }
    let lockfiles: Vec<Lockfile> = found.into_iter().map(|(_, lockfile)| lockfile).collect();
    let graph = Graph::new(&lockfiles);
    let candidates = candidates(&graph, State::read(&job)?.as_ref());
    let built = built(session, options, candidates)?;
    let is_new = |spec: &&ConcreteSpec| !matches!(folder.look_for(&spec.id, Depth::Bytes), Lookup::Has(_));
    let new: Vec<&ConcreteSpec> = built.into_iter().filter(is_new).collect();
    let as_pushed = |spec: &&ConcreteSpec| {
        let row = row(&spec.id, spec.id.hash, Need::Installed, None);
        SpecReport { mirror: Some(entry.name.clone()), collected: true, ..row }
    };
    let specs: Vec<SpecReport> = new.iter().map(as_pushed).collect();
    if new.is_empty() {
        session.inform(&format!("this job built nothing that `{}` lacks", entry.name));
        return Ok(specs);
    }
    if mode == Mode::Pretend {
        session.inform(&format!("would push {} into `{}`", names(&new), entry.path.display()));
        return Ok(specs);
    }
    let program = spack::find(options.spack.as_deref(), &session.variables).map_err(RunError::Spack)?;
    let _lock = job.enter(|| session.inform("waiting for another larder in this project folder"))?;
    uploads::note(session, &job, Note::OfAnEarlierCommand, mode)?;
    let pusher = Pusher { session, entry, folder: &folder, job: &job, program: &program, patience: options.patience };
    let arrived = pusher.push(&graph, &lockfiles, &new)?;
    let specs = specs.into_iter().filter_map(|spec| {
        let bytes = arrived.get(&spec.hash).copied()?;
        Some(SpecReport { bytes: Some(bytes), ..spec })
    });
    Ok(specs.collect())
}

/// What this job may have built. Where `prepare` ran and there was a lockfile to read, it knows; else everything that can be built.
fn candidates<'a>(graph: &Graph<'a>, state: Option<&State>) -> Vec<&'a ConcreteSpec> {
    // A spliced spec is a relinked binary; what is built is its build spec.
    let can_be_built = |spec: &&ConcreteSpec| spec.origin == Origin::Package && spec.build_spec.is_none();
    match state.filter(|state| state.without_lockfile.is_empty()) {
        Some(state) => state.to_build.iter().filter_map(|hash| graph.spec(*hash)).filter(can_be_built).collect(),
        None => graph.specs().filter(can_be_built).collect(),
    }
}

/// Those that are installed by now, and not from a binary.
fn built<'a>(
    session: &Session<'_>,
    options: &CollectOptions,
    candidates: Vec<&'a ConcreteSpec>,
) -> Result<Vec<&'a ConcreteSpec>, CommandError> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let mut installed: HashMap<DagHash, Option<PathBuf>> = HashMap::new();
    let mut found_one = false;
    for tree in install_trees(session, options)? {
        match install_tree::installations(&tree)? {
            Some(found) => {
                found_one = true;
                installed.extend(found);
            }
            None if options.install_trees.contains(&tree) => {
                return Err(RunError::NoInstallTree { path: tree }.into());
            }
            None => {}
        }
    }
    if !found_one {
        return Err(CommandError::NothingInstalled);
    }
    let is_built = |spec: &&ConcreteSpec| match installed.get(&spec.id.hash) {
        Some(Some(prefix)) => !install_tree::is_from_binary(prefix),
        // Without a folder there is nothing to push.
        Some(None) | None => false,
    };
    Ok(candidates.into_iter().filter(is_built).collect())
}

/// Those on the command line, or those of Spack's configuration.
fn install_trees(session: &Session<'_>, options: &CollectOptions) -> Result<Vec<PathBuf>, CommandError> {
    if !options.install_trees.is_empty() {
        return Ok(options.install_trees.clone());
    }
    let job = JobFolder::of(&session.config.root);
    let mut trees = Vec::new();
    for path in &session.config.environments {
        let folder = folder_of(path);
        let spack = spack_config::discover(folder, &session.variables, session.home.as_deref(), job.root())?;
        trees.extend(spack.install_trees);
    }
    trees.sort();
    trees.dedup();
    Ok(trees)
}

/// Pushes, environment by environment.
struct Pusher<'a> {
    session: &'a Session<'a>,
    entry: &'a BuiltEntry,
    folder: &'a BuiltFolder,
    job: &'a JobFolder,
    program: &'a Path,
    patience: Option<Duration>,
}

impl Pusher<'_> {
    /// Push, then take what arrived. Says how large each is that did.
    fn push(
        &self,
        graph: &Graph<'_>,
        lockfiles: &[Lockfile],
        specs: &[&ConcreteSpec],
    ) -> Result<HashMap<DagHash, u64>, CommandError> {
        let (session, name) = (self.session, &self.entry.name);
        session.inform(&format!("pushing {} into `{name}`", names(specs)));
        let scratch = self.job.partial().join("collect");
        let io = |source| JobError::Io { path: scratch.clone(), what: "make a folder for the push", source };
        fs::create_dir(&scratch).map_err(io)?;
        let deadline = self.patience.map(|patience| (Instant::now() + patience, patience));
        let mut batches: BTreeMap<usize, Vec<DagHash>> = BTreeMap::new();
        for spec in specs {
            let environment = graph.environments(spec.id.hash).first().copied().unwrap_or_default();
            batches.entry(environment).or_default().push(spec.id.hash);
        }
        let pushed = batches.into_iter().try_for_each(|(environment, hashes)| {
            let lockfile = lockfiles.get(environment).map(Lockfile::path);
            let push = Push {
                program: self.program,
                environment: lockfile.and_then(folder_of_lockfile),
                target: &scratch,
                signing_key: self.entry.signing_key.as_deref(),
                specs: &hashes,
                deadline,
                log: &self.job.partial().join("spack.log"),
            };
            spack::push(&push, &session.interrupt)
        });
        let arrived = self.take(specs, &BuiltFolder::scratch(self.entry, &scratch)?, pushed.is_ok())?;
        session.stop_if_asked()?;
        match pushed {
            Ok(()) => Ok(arrived),
            Err(source) => Err(CommandError::Push { wanted: specs.len(), pushed: arrived.len(), source }),
        }
    }

    /// Move what is whole into the folder. `all` says that Spack claims to have pushed everything.
    fn take(
        &self,
        specs: &[&ConcreteSpec],
        scratch: &BuiltFolder,
        all: bool,
    ) -> Result<HashMap<DagHash, u64>, CommandError> {
        let mut arrived = HashMap::new();
        for spec in specs {
            match scratch.look_for(&spec.id, Depth::Bytes) {
                Lookup::Has(found) => {
                    self.folder.take(&spec.id, scratch, &found)?;
                    let document = found.published.document.read().map_or(0, |document| document.len() as u64);
                    arrived.insert(spec.id.hash, found.binary.bytes + document);
                }
                Lookup::Lacks if all => self
                    .session
                    .warn(&format!("Spack did not push {}: its package forbids to redistribute the binary", spec.id)),
                Lookup::Unusable(reason) if all => {
                    self.session.warn(&format!("what Spack pushed of {} is not collected: {reason}", spec.id));
                }
                Lookup::Lacks | Lookup::Unusable(_) => {}
            }
        }
        Ok(arrived)
    }
}

/// `2 specs (py-tool@1.0rc1/jet6yur, unbuilt@0.1/nlfymfo)`, at most ten of them by name.
fn names(specs: &[&ConcreteSpec]) -> String {
    let shown: Vec<String> = specs.iter().take(10).map(|spec| spec.id.to_string()).collect();
    let more = if specs.len() > shown.len() { ", …" } else { "" };
    let word = if specs.len() == 1 { "spec" } else { "specs" };
    format!("{} {word} ({}{more})", specs.len(), shown.join(", "))
}
