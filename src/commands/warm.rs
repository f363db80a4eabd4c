//! `larder warm`: fill the caches for whole environments, by hand.

use super::environments::{self, InstallTrees};
use super::resolve::{self, Documents, Scope};
use super::upload::Note;
use super::{CommandError, Mode, Session, Wanted, obtain, upkeep, upload};
use crate::job::JobFolder;
use crate::report::Report;
use crate::transport::{Limits, Transport};

/// Have every binary of the environments in a cache. No job mirror is made, and nothing that is installed on this machine
/// counts unless it was named: the caches are for other machines.
pub async fn warm(session: &Session<'_>, wanted: &Wanted) -> Result<Report, CommandError> {
    let environments = environments::load(session, wanted, InstallTrees::Named)?;
    let caches = upkeep::open_all(session)?;
    let folder = JobFolder::of(&session.config.root);
    let _lock = folder.enter(|| session.inform("waiting for another larder in this project folder"))?;
    upload::note(session, &folder, Note::OfThisJob, Mode::Act)?;
    let transport = Transport::new(session.config.network.clone(), Limits::default());
    let scope = Scope::WholeEnvironments;
    let resolution = resolve::resolve(session, &environments, wanted, scope, &transport, Documents::Forget);
    let resolution = session.unless_interrupted(resolution).await?;
    let needs = obtain::needs(session, &resolution.found, &caches)?;
    let staging = folder.partial();
    let (obtained, ()) = obtain::obtain(session, &needs, &caches, &transport, &staging, |_| Ok(())).await?;
    let report = session.conclude(obtain::report(session, "warm", &resolution, &obtained, &caches, &transport)?);
    folder.write_report(&report)?;
    Ok(report)
}
