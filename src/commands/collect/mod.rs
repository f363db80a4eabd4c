//! `larder collect`: push what this job built from source to where the next pipeline finds it.
//!
//! There may be two places: a registry or a bucket that outlives the pipeline (`mirror`), and a folder that GitLab caches for the
//! branch (`folder`). A job that may push to the first does; the folder is for the others.

mod arrived;
mod batches;
mod bucket;
mod built;
mod folder;
mod mirror;
mod options;
mod registry;

use std::sync::Arc;
use std::time::Instant;

pub use self::options::CollectOptions;

use self::arrived::Arrived;
use self::batches::Batches;
use super::error::CommandError;
use crate::config::{BuiltEntry, BuiltMirrorEntry, PushRule};
use crate::job::{JobFolder, State};
use crate::lockfile::{ConcreteSpec, Lockfile};
use crate::pipeline::prune::Pruning;
use crate::pipeline::reporting::count_requests;
use crate::pipeline::uploads::Note;
use crate::pipeline::{Mode, RunError, Session, environments, stores, uploads};
use crate::plan::{Graph, Need, row};
use crate::report::{CacheReport, Report, SpecReport};
use crate::store::Store;
use crate::transport::Transport;
use crate::types::Signatures;

/// Where this job's builds go.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// A registry or a bucket.
    Mirror(&'a BuiltMirrorEntry),
    /// The folder that GitLab caches for the branch.
    Folder(&'a BuiltEntry),
    /// Nowhere: only other branches may push to this mirror.
    Nowhere(&'a BuiltMirrorEntry),
}

/// Push what this job built and the place lacks. The folder is pruned by its `keep:` then. With nothing to push it is left as it
/// is: pruning alone is not worth the upload, and `finish` decides over that.
pub async fn collect(session: &Session<'_>, options: &CollectOptions, mode: Mode) -> Result<Report, CommandError> {
    let place = Place::of(session)?;
    let transport = session.transport();
    let pushed = push_to(session, options, mode, place, &transport).await?;
    let added = if mode == Mode::Act { pushed.len() as u64 } else { 0 };
    let mut report = Report::new("collect");
    match place {
        Place::Folder(entry) => {
            let store = Store::Built(stores::open_built(session, entry)?, entry);
            let pruned = if added > 0 { prune(session, &store, &pushed).await? } else { CacheReport::default() };
            let state = store.report(&store.inventory().await?);
            let CacheReport { name, path, bytes, blobs, .. } = state;
            report.caches.push(CacheReport { name, path, bytes, blobs, added, changed: added > 0, ..pruned });
        }
        Place::Mirror(entry) | Place::Nowhere(entry) => {
            let (name, url) = (entry.mirror.name.clone(), Some(entry.mirror.url.to_string()));
            report.caches.push(CacheReport { name, url, added, changed: added > 0, ..CacheReport::default() });
        }
    }
    report.specs = pushed;
    count_requests(&mut report.totals, &transport);
    Ok(session.conclude(report))
}

/// Push, for `finish`. Tells what it does.
pub(super) async fn push(session: &Session<'_>, options: &CollectOptions, mode: Mode) -> Result<(), CommandError> {
    let place = Place::of(session)?;
    let pushed = push_to(session, options, mode, place, &session.transport()).await?;
    if let (Place::Mirror(entry), Mode::Act, 1..) = (place, mode, pushed.len()) {
        session.inform(&format!("pushed {} to `{}`", count(pushed.len()), entry.mirror.name));
    }
    Ok(())
}

impl<'a> Place<'a> {
    fn of(session: &'a Session<'_>) -> Result<Self, CommandError> {
        let folder = session.config.collect.as_ref();
        let (place, name, signatures, key) = match (&session.config.built_mirror, folder) {
            (Some(entry), _) if entry.push.allows(&session.variables) => {
                let mirror = &entry.mirror;
                (Self::Mirror(entry), &mirror.name, mirror.demanded_signatures(), &entry.signing_key)
            }
            (_, Some(entry)) => (Self::Folder(entry), &entry.name, entry.signatures, &entry.signing_key),
            (Some(entry), None) => return Ok(Self::Nowhere(entry)),
            (None, None) => return Err(CommandError::NoBuiltFolder),
        };
        if signatures == Signatures::Required && key.is_none() {
            return Err(CommandError::NoSigningKey { mirror: name.clone() });
        }
        Ok(place)
    }

    fn name(&self) -> &'a str {
        match self {
            Self::Mirror(entry) | Self::Nowhere(entry) => &entry.mirror.name,
            Self::Folder(entry) => &entry.name,
        }
    }
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

/// Push what this job built and the place lacks, and give what was pushed, or would be.
async fn push_to(
    session: &Session<'_>,
    options: &CollectOptions,
    mode: Mode,
    place: Place<'_>,
    transport: &Arc<Transport>,
) -> Result<Vec<SpecReport>, CommandError> {
    if let Place::Nowhere(entry) = place {
        tell_rule(session, entry);
        return Ok(Vec::new());
    }
    let job = JobFolder::of(&session.config.root);
    let found = environments::known_lockfiles(session)?.found;
    if found.is_empty() {
        session.inform("no environment has a lockfile: nothing was built for one, and nothing is collected");
        return Ok(Vec::new());
    }
    let lockfiles: Vec<Lockfile> = found.into_iter().map(|(_, lockfile)| lockfile).collect();
    let graph = Graph::new(&lockfiles);
    let built = built::built(session, options, &graph, &job)?;
    let folder = match place {
        Place::Folder(entry) => Some((entry, stores::open_built(session, entry)?)),
        _ => None,
    };
    let new = match (&folder, place) {
        (Some((_, folder)), _) => folder::lacking(folder, built),
        (None, Place::Mirror(entry)) => mirror::lacking(session, entry, transport, built).await?,
        (None, _) => Vec::new(),
    };
    let name = place.name();
    let as_pushed = |spec: &&ConcreteSpec| {
        let row = row(&spec.id, spec.id.hash, Need::Installed, None);
        SpecReport { mirror: Some(name.to_owned()), collected: true, ..row }
    };
    let specs: Vec<SpecReport> = new.iter().map(as_pushed).collect();
    if new.is_empty() {
        session.inform(&format!("this job built nothing that `{name}` lacks"));
        return Ok(specs);
    }
    if mode == Mode::Pretend {
        let target = folder.as_ref().map_or_else(|| name.to_owned(), |(entry, _)| entry.path.display().to_string());
        session.inform(&format!("would push {} into `{target}`", names(&new)));
        return Ok(specs);
    }
    let _lock = job.enter(|| session.inform("waiting for another larder in this project folder"))?;
    uploads::note(session, &job, Note::OfAnEarlierCommand, mode)?;
    let batches = Batches::new(session, options, &job, (&graph, &lockfiles))?;
    session.inform(&format!("pushing {} into `{name}`", names(&new)));
    let Arrived { bytes, pushed } = match (&folder, place) {
        (None, Place::Mirror(entry)) => mirror::push(&batches, entry, transport, &new).await?,
        (Some((entry, folder)), _) => folder::push(&batches, entry, folder, &new)?,
        (None, _) => return Ok(Vec::new()),
    };
    session.stop_if_asked()?;
    pushed.map_err(|source| CommandError::Push { wanted: new.len(), pushed: bytes.len(), source })?;
    let specs = specs.into_iter().filter_map(|spec| {
        let bytes = bytes.get(&spec.hash).copied()?;
        Some(SpecReport { bytes: Some(bytes), ..spec })
    });
    Ok(specs.collect())
}

/// Why this job does not push.
fn tell_rule(session: &Session<'_>, entry: &BuiltMirrorEntry) {
    debug_assert_eq!(entry.push, PushRule::Protected);
    session.inform(&format!(
        "nothing is pushed to `{}`: only jobs of protected branches and tags do (`push: protected`), since what is pushed is \
         installed by every later job, and this one is not (`CI_COMMIT_REF_PROTECTED` is not `true`). `push: always` lets all push",
        entry.mirror.name
    ));
}

/// `2 specs (py-tool@1.0rc1/jet6yur, unbuilt@0.1/nlfymfo)`, at most ten of them by name.
fn names(specs: &[&ConcreteSpec]) -> String {
    let shown: Vec<String> = specs.iter().take(10).map(|spec| spec.id.to_string()).collect();
    let more = if specs.len() > shown.len() { ", …" } else { "" };
    format!("{} ({}{more})", count(specs.len()), shown.join(", "))
}

fn count(specs: usize) -> String {
    format!("{specs} {}", if specs == 1 { "spec" } else { "specs" })
}
