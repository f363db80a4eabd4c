//! `larder prepare`: before the job.

use std::path::PathBuf;
use std::sync::Arc;

use crate::job::{Entry, JobFolder, State};
use crate::mirror::{Document, PublishedBlob};
use crate::pipeline::environments::{self, InstallTrees};
use crate::pipeline::materialize::{self, Obtained};
use crate::pipeline::remote::RemoteCaches;
use crate::pipeline::resolve::{self, Documents, Located, Scope};
use crate::pipeline::uploads::Note;
use crate::pipeline::{Mode, Push, RunError, Session, Wanted, inventory, uploads};
use crate::report::Report;
use crate::runner::metrics;
use crate::transport::{Limits, Transport};

/// A job that can start.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What was done.
    pub report: Report,
    /// The configuration scope to give to Spack.
    pub scope: PathBuf,
}

/// Make everything that this job needs, and a mirror has, available to Spack in a local mirror.
pub async fn prepare(session: &Session<'_>, wanted: &Wanted) -> Result<Prepared, RunError> {
    let environments = environments::load(session, wanted, InstallTrees::Configured)?;
    let caches = inventory::open_all(session)?;
    let folder = JobFolder::of(&session.config.root);
    let lock = folder.enter(|| session.inform("waiting for another larder in this project folder"))?;
    folder.clear(&lock)?;
    uploads::note(session, &folder, Note::OfThisJob, Mode::Act)?;
    let transport = Arc::new(Transport::new(session.config.network.clone(), Limits::default(), &session.variables));
    let teams = RemoteCaches::beside(session, &transport);
    let staging = folder.partial();
    let documents = Documents::Keep(&staging);
    let resolution = resolve::resolve(session, &environments, wanted, Scope::Job, &transport, documents);
    let mut resolution = session.unless_interrupted(resolution).await?;
    let needs = materialize::needs(session, &resolution.found, &caches)?;
    let mut state = State::new(needs.iter().map(|need| need.blob.expected.digest).collect());
    state.to_build = resolution.to_build();
    state.collected = resolution.collected();
    state.write(&folder)?;

    let documents: Vec<_> =
        resolution.found.values_mut().filter_map(|found| Some((found.spec.hash, found.document.take()?))).collect();
    let build = |obtained: &Obtained| {
        let entries = documents
            .into_iter()
            .filter_map(|(hash, document)| entry(resolution.found.get(&hash)?, document, obtained));
        Ok(crate::job::build(&folder, entries.collect())?)
    };
    let (obtained, ()) = materialize::obtain(session, &needs, &caches, &teams, &transport, &staging, build).await?;

    state.teams = teams.note(&needs, &|digest| obtained.blobs.get(&digest).map(|held| held.fetched));
    if wanted.push == Push::Now {
        teams.push(&mut state.teams, &caches, None).await?;
    }
    let report = materialize::report(session, "prepare", &resolution, &obtained, &caches, &teams, &transport)?;
    state.added = report.caches.iter().map(|cache| (cache.name.clone(), cache.added)).collect();
    let report = session.conclude(report);
    state.prepared = Some(metrics::Prepared::of(&report));
    state.write(&folder)?;
    folder.write_report(&report)?;
    folder.write_metrics(state.prepared.as_ref(), None)?;
    Ok(Prepared { report, scope: folder.scope() })
}

/// What the job mirror is to hold of a spec.
fn entry<'a>(found: &'a Located, document: Document, obtained: &Obtained) -> Option<Entry<'a>> {
    let stored = |blob: &PublishedBlob| match &found.collected {
        Some(collected) => collected.blobs.iter().find(|stored| stored.digest() == blob.expected.digest).cloned(),
        None => obtained.blobs.get(&blob.expected.digest).map(|held| held.blob.clone()),
    };
    let blobs = found.published.blobs.iter().map(stored).collect::<Option<_>>()?;
    Some(Entry { spec: &found.spec, published: &found.published, document, blobs })
}
