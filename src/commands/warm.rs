//! `larder warm`: fill the caches for whole environments, by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::job::{JobFolder, State};
use crate::pipeline::environments::{self, InstallTrees};
use crate::pipeline::remote::RemoteCaches;
use crate::pipeline::resolve::{self, Documents, Scope};
use crate::pipeline::uploads::Note;
use crate::pipeline::{Mode, Push, RunError, Session, Wanted, inventory, materialize, uploads};
use crate::report::Report;
use crate::runner::RestoredCaches;
use crate::runner::metrics::Prepared;
use crate::transport::{Limits, Transport};

/// Have every binary of the environments in a cache. No job mirror is made, and nothing that is installed on this machine
/// counts unless it was named: the caches are for other machines.
pub async fn warm(session: &Session<'_>, wanted: &Wanted) -> Result<Report, RunError> {
    let environments = environments::load(session, wanted, InstallTrees::Named)?;
    let caches = inventory::open_all(session)?;
    let folder = JobFolder::of(&session.config.root);
    let _lock = folder.enter(|| session.inform("waiting for another larder in this project folder"))?;
    let is_same_job = RestoredCaches::read(&folder).is_some_and(|note| note.is_of_this_job(&session.variables));
    uploads::note(session, &folder, Note::OfThisJob, Mode::Act)?;
    let transport = Arc::new(Transport::new(session.config.network.clone(), Limits::default(), &session.variables));
    let teams = RemoteCaches::beside(session, &transport);
    let scope = Scope::WholeEnvironments;
    let resolution = resolve::resolve(session, &environments, wanted, scope, &transport, Documents::Forget);
    let resolution = session.unless_interrupted(resolution).await?;
    let needs = materialize::needs(session, &resolution.found, &caches)?;
    // `finish` is to remove none of this, nor what a `prepare` of the same job needed.
    let mut state = State::new(needs.iter().map(|need| need.blob.expected.digest).collect());
    let mut earlier_teams = BTreeMap::new();
    if is_same_job && let Some(earlier) = State::read(&folder)? {
        state.used.extend(earlier.used);
        earlier_teams = earlier.teams;
        (state.to_build, state.collected) = (earlier.to_build, earlier.collected);
    }
    state.collected.extend(resolution.collected());
    state.write(&folder)?;
    let staging = folder.partial();
    let (obtained, ()) =
        materialize::obtain(session, &needs, &caches, &teams, &transport, &staging, |_| Ok(())).await?;
    state.teams = teams.note(&needs, &|digest| obtained.blobs.get(&digest).map(|held| held.fetched));
    if wanted.push == Push::Now {
        teams.note_absent(&mut state.teams, &needs).await;
        teams.push(&mut state.teams, &caches, None).await?;
    }
    state.add_teams(earlier_teams);
    let report =
        session.conclude(materialize::report(session, "warm", &resolution, &obtained, &caches, &teams, &transport)?);
    state.added = report.caches.iter().map(|cache| (cache.name.clone(), cache.added)).collect();
    state.prepared = Some(Prepared::of(&report));
    state.write(&folder)?;
    folder.write_report(&report)?;
    folder.write_metrics(state.prepared.as_ref(), None)?;
    Ok(report)
}
