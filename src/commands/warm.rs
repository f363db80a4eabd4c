//! `larder warm`: fill the caches for whole environments, by hand.

use std::collections::BTreeMap;

use crate::job::{JobFolder, Prepared, State};
use crate::pipeline::materialize::materialize;
use crate::pipeline::reporting::{count_indexes, report};
use crate::pipeline::resolve::Documents;
use crate::pipeline::run::{OutOfTime, Run};
use crate::pipeline::{Push, RunError, Scope, Session, Wanted};
use crate::report::Report;
use crate::runner::{RestoredCaches, metrics};

/// Have every binary of the environments in a cache. No job mirror is made, and nothing that is installed on this machine
/// counts unless it was named: the caches are for other machines.
pub async fn warm(session: &Session<'_>, wanted: &Wanted) -> Result<Report, RunError> {
    // What one warm-up leaves, the next one fetches, if the first gets to save what it has.
    let run = Run { out_of_time: OutOfTime::EndsWell, ..Run::open(session, wanted, Scope::WholeEnvironments)? };
    let job = JobFolder::of(&session.config.root);
    let is_same_job = RestoredCaches::read(&job).is_some_and(|note| note.is_of_this_job(&session.variables));
    let (folder, _lock) = run.enter()?;
    let indexes = State::of_indexes(&folder).unwrap_or_default().indexes;
    let resolution = run.resolve(Documents::Forget).await?;
    let needs = run.needs(&resolution)?;
    // `finish` is to remove none of this, nor what a `prepare` of the same job needed.
    let mut state = State::new(needs.iter().map(|need| need.blob.expected.digest).collect());
    let mut earlier_remotes = BTreeMap::new();
    if is_same_job && let Some(earlier) = State::read(&folder)? {
        state.used.extend(earlier.used);
        earlier_remotes = earlier.remotes;
        (state.to_build, state.built) = (earlier.to_build, earlier.built);
        state.without_lockfile = earlier.without_lockfile;
    }
    state.built.extend(resolution.built());
    state.indexes.clone_from(&indexes);
    state.write(&folder)?;
    let staging = folder.partial();
    let (obtained, ()) = materialize(&run, &needs, &staging, |_| Ok(())).await?;
    if obtained.left > 0 {
        session.warn(&format!(
            "stopped with {} downloads to go, since the job's timeout is near, and a job that runs into it saves no cache: the next \
             run goes on from here. A longer `timeout:` lets one job have it all",
            obtained.left
        ));
    }
    state.remotes = run.remotes.note(&needs, &obtained);
    // Before anything is pushed: among it are the indexes that the same job concretized with.
    state.add_remotes(earlier_remotes);
    if wanted.push == Push::Now {
        run.remotes.note_absent(&mut state.remotes).await;
        run.remotes.push(&mut state.remotes, &run.caches, None).await?;
    }
    let mut report = report(&run, "warm", &resolution, &obtained)?;
    report.indexes = indexes;
    count_indexes(&mut report);
    let report = session.conclude(report);
    state.added = report.caches.iter().map(|cache| (cache.name.clone(), cache.added)).collect();
    state.prepared = Some(Prepared::of(&report));
    state.write(&folder)?;
    folder.write_report(&report)?;
    metrics::write(&folder, state.prepared.as_ref(), None)?;
    Ok(report)
}
