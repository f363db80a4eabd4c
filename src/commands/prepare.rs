//! `larder prepare`: before the job.

use std::path::PathBuf;

use crate::job::{self, Entry, State};
use crate::mirror::PublishedBlob;
use crate::pipeline::index::{Provided, provide};
use crate::pipeline::materialize::materialize;
use crate::pipeline::needed::Obtained;
use crate::pipeline::reporting::{count_indexes, report};
use crate::pipeline::resolve::{Documents, Located};
use crate::pipeline::run::Run;
use crate::pipeline::{Push, RunError, Scope, Session, Wanted};
use crate::report::Report;
use crate::runner::metrics;

/// A job that can start.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What was done.
    pub report: Report,
    /// The configuration scope to give to Spack.
    pub scope: PathBuf,
}

/// A job that can concretize.
#[derive(Clone, Debug)]
pub struct PreparedIndexes {
    /// What was done.
    pub report: Report,
    /// For each environment, the configuration scope to give to Spack.
    pub scopes: Vec<PathBuf>,
}

/// Make everything that this job needs, and a mirror has, available to Spack in a local mirror.
pub async fn prepare(session: &Session<'_>, wanted: &Wanted) -> Result<Prepared, RunError> {
    let run = Run::open(session, wanted, Scope::Job)?;
    let (folder, lock) = run.enter()?;
    job::hand_over::undo(&folder)?.iter().for_each(|remark| session.warn(remark));
    let before = State::of_indexes(&folder).unwrap_or_default();
    folder.clear(&lock)?;
    let staging = folder.partial();
    let resolution = run.resolve(Documents::Keep(&staging)).await?;
    let needs = run.needs(&resolution)?;
    let mut state = State::new(needs.iter().map(|need| need.blob.expected.digest).collect());
    state.to_build = resolution.to_build();
    state.built = resolution.built();
    state.without_lockfile.clone_from(&run.environments.without_lockfile);
    state.add_indexes(&before.indexes);
    state.write(&folder)?;

    let build = |obtained: &Obtained| {
        let entries = resolution.found.values().filter_map(|found| entry(found, obtained));
        Ok(job::build(&folder, entries.collect())?)
    };
    let (obtained, ()) = materialize(&run, &needs, &staging, build).await?;

    state.remotes = run.remotes.note(&needs, &obtained);
    state.add_remotes(before.remotes);
    if wanted.push == Push::Now {
        run.remotes.push(&mut state.remotes, &run.caches, None).await?;
    }
    let mut report = report(&run, "prepare", &resolution, &obtained)?;
    report.indexes.clone_from(&state.indexes);
    count_indexes(&mut report);
    state.added = report.caches.iter().map(|cache| (cache.name.clone(), cache.added)).collect();
    let report = session.conclude(report);
    state.prepared = Some(job::Prepared::of(&report));
    state.write(&folder)?;
    folder.write_report(&report)?;
    metrics::write(&folder, state.prepared.as_ref(), None)?;
    Ok(Prepared { report, scope: folder.scope() })
}

/// Make the indexes of all mirrors available to Spack for concretizing, before there is a lockfile: `prepare --index`.
pub async fn prepare_indexes(session: &Session<'_>) -> Result<PreparedIndexes, RunError> {
    let Provided { report, scopes } = provide(session).await?;
    Ok(PreparedIndexes { report, scopes: scopes.into_iter().map(|scope| scope.scope).collect() })
}

/// What the job mirror is to hold of a spec.
fn entry<'a>(found: &'a Located, obtained: &Obtained) -> Option<Entry<'a>> {
    let stored = |blob: &PublishedBlob| match &found.built {
        Some(built) => built.blobs.iter().find(|stored| stored.digest() == blob.expected.digest).cloned(),
        None => obtained.blobs.get(&blob.expected.digest).map(|held| held.blob.clone()),
    };
    let blobs = found.published.blobs.iter().map(stored).collect::<Option<_>>()?;
    Some(Entry { published: &found.published, blobs })
}
