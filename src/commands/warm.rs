//! `larder warm`: fill the caches for whole environments, by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::environments::{self, InstallTrees};
use super::resolve::{self, Documents, Scope};
use super::team_cache::TeamCaches;
use super::upload::Note;
use super::{CommandError, Mode, Push, Session, Wanted, obtain, upkeep, upload};
use crate::job::{JobFolder, RestoredCaches, State};
use crate::metrics::Prepared;
use crate::report::Report;
use crate::transport::{Limits, Transport};

/// Have every binary of the environments in a cache. No job mirror is made, and nothing that is installed on this machine
/// counts unless it was named: the caches are for other machines.
pub async fn warm(session: &Session<'_>, wanted: &Wanted) -> Result<Report, CommandError> {
    let environments = environments::load(session, wanted, InstallTrees::Named)?;
    let caches = upkeep::open_all(session)?;
    let folder = JobFolder::of(&session.config.root);
    let _lock = folder.enter(|| session.inform("waiting for another larder in this project folder"))?;
    let is_same_job = RestoredCaches::read(&folder).is_some_and(|note| note.is_of_this_job(&session.variables));
    upload::note(session, &folder, Note::OfThisJob, Mode::Act)?;
    let transport = Arc::new(Transport::new(session.config.network.clone(), Limits::default(), &session.variables));
    let teams = TeamCaches::beside(session, &transport);
    let scope = Scope::WholeEnvironments;
    let resolution = resolve::resolve(session, &environments, wanted, scope, &transport, Documents::Forget);
    let resolution = session.unless_interrupted(resolution).await?;
    let needs = obtain::needs(session, &resolution.found, &caches)?;
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
    let (obtained, ()) = obtain::obtain(session, &needs, &caches, &teams, &transport, &staging, |_| Ok(())).await?;
    state.teams = teams.note(&needs, &|digest| obtained.blobs.get(&digest).map(|held| held.fetched));
    if wanted.push == Push::Now {
        teams.note_absent(&mut state.teams, &needs).await;
        teams.push(&mut state.teams, &caches, None).await?;
    }
    state.add_teams(earlier_teams);
    let report =
        session.conclude(obtain::report(session, "warm", &resolution, &obtained, &caches, &teams, &transport)?);
    state.added = report.caches.iter().map(|cache| (cache.name.clone(), cache.added)).collect();
    state.prepared = Some(Prepared::of(&report));
    state.write(&folder)?;
    folder.write_report(&report)?;
    folder.write_metrics(state.prepared.as_ref(), None)?;
    Ok(report)
}
