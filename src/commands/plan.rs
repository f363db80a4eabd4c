//! `larder plan`: what the job needs and where each binary would come from. Changes nothing.

use crate::mirror::PublishedBlob;
use crate::pipeline::environments::{self, InstallTrees};
use crate::pipeline::remote::RemoteCaches;
use crate::pipeline::resolve::{self, Documents, Scope};
use crate::pipeline::{RunError, Session, Wanted, inventory, materialize};
use crate::plan::Need;
use crate::report::{Report, Status};
use crate::transport::{Limits, Transport};
use crate::verified::Size;

/// Ask the mirrors and look into the caches. A cached blob counts by its name and size; only `prepare` reads it.
pub async fn plan(session: &Session<'_>, wanted: &Wanted) -> Result<Report, RunError> {
    let environments = environments::load(session, wanted, InstallTrees::Configured)?;
    let caches = inventory::open_all(session)?;
    let transport = Transport::new(session.config.network.clone(), Limits::default(), &session.variables);
    let resolution =
        resolve::resolve(session, &environments, wanted, Scope::Job, &transport, Documents::Forget).await?;
    // Finds out, too, whether every mirror has a cache.
    let needs = materialize::needs(session, &resolution.found, &caches)?;
    let absent: Vec<_> = needs.iter().filter(|need| materialize::look_for(&need.blob, &caches).is_none()).collect();
    let teams = RemoteCaches::new(session);
    let in_teams = teams.look_for(&absent).await;
    // Who has a blob, and how large it is there.
    let look_for = |blob: &PublishedBlob| {
        let in_folder = materialize::look_for(blob, &caches);
        let in_folder = in_folder.map(|(position, bytes)| (caches[position].name().to_owned(), bytes));
        let in_team = || in_teams.get(&blob.expected.digest).map(|(team, bytes)| (teams.name(*team), *bytes));
        in_folder.or_else(in_team)
    };
    let mut report = Report::new("plan");
    for spec in &resolution.specs {
        let found = resolution.found.get(&spec.binary).filter(|_| spec.need == Need::Binary);
        let mut entry = resolve::report_of(spec, found);
        if let Some(collected) = found.and_then(|found| found.collected.as_ref()) {
            (entry.status, entry.bytes) = (Status::Cached, Some(collected.bytes));
        } else if let Some(found) = found {
            let held: Vec<_> = found.published.blobs.iter().map(&look_for).collect();
            let is_cached = held.iter().all(Option::is_some);
            entry.status = if is_cached { Status::Cached } else { Status::Fetch };
            let stated = found.published.blobs.iter().map(|blob| match blob.expected.size {
                Size::Exactly(bytes) => Some(bytes),
                Size::AtMost(_) => look_for(blob).map(|(_, bytes)| bytes),
            });
            entry.bytes = stated.sum();
            let target = session.config.cache_for(&found.published.mirror.url).map(|cache| cache.name.to_string());
            let holder = held.into_iter().next().flatten().map(|(name, _)| name);
            entry.cache = holder.or(target);
        }
        report.specs.push(entry);
    }
    for need in &needs {
        let held = look_for(&need.blob).map(|(_, bytes)| bytes);
        let bytes = match need.blob.expected.size {
            Size::Exactly(bytes) => bytes,
            Size::AtMost(_) => held.unwrap_or(0),
        };
        report.totals.bytes_needed += bytes;
        report.totals.bytes_reused += held.map_or(0, |_| bytes);
    }
    materialize::count_collected(&mut report.totals, &resolution);
    materialize::count_requests(&mut report.totals, &transport);
    for cache in &caches {
        report.caches.push(inventory::state_of(session, cache)?);
    }
    Ok(session.conclude(report))
}
