//! `larder plan`: what the job needs and where each binary would come from. Changes nothing.

use crate::mirror::PublishedBlob;
use crate::pipeline::reporting::{count_built, count_requests};
use crate::pipeline::resolve::Documents;
use crate::pipeline::run::Run;
use crate::pipeline::{RunError, Scope, Session, Wanted, stores};
use crate::plan::{Availability, Holding};
use crate::report::Report;
use crate::verified::Expected;

/// Ask the mirrors and look into the caches. A cached blob counts by its name and size; only `prepare` reads it.
pub async fn plan(session: &Session<'_>, wanted: &Wanted) -> Result<Report, RunError> {
    let run = Run::open(session, wanted, Scope::Job)?;
    let resolution = run.resolve(Documents::Forget).await?;
    let needs = run.needs(&resolution)?;
    let in_folder = |expected: Expected| {
        run.caches.iter().find_map(|cache| {
            let bytes = cache.size_of(expected.digest)?;
            expected.size.allows(bytes).then(|| (cache.name().to_owned(), bytes))
        })
    };
    let absent: Vec<_> = needs.iter().filter(|need| in_folder(need.blob.expected).is_none()).collect();
    let in_remotes = run.remotes.look_for(&absent).await;
    // Which cache has a blob, and how large it is there.
    let look_for = |expected: Expected| {
        let in_remote = || in_remotes.get(&expected.digest).map(|(at, bytes)| (run.remotes.name(*at), *bytes));
        in_folder(expected).or_else(in_remote)
    };
    let mut report = Report::new("plan");
    report.without_lockfile.clone_from(&run.environments.without_lockfile);
    report.specs = resolution.rows(|found| {
        let blobs = &found.published.blobs;
        let held: Vec<_> = blobs.iter().map(|blob| look_for(blob.expected)).collect();
        let is_cached = held.iter().all(Option::is_some);
        let size = |(blob, held): (&PublishedBlob, &Option<(String, u64)>)| {
            blob.expected.size.stated().or(held.as_ref().map(|(_, bytes)| *bytes))
        };
        let bytes = blobs.iter().zip(&held).map(size).sum();
        let target = session.config.cache_for(&found.published.mirror.url).map(|cache| cache.name.to_string());
        let holder = held.into_iter().next().flatten().map(|(name, _)| name);
        let availability = if is_cached { Availability::Cached } else { Availability::OnMirror };
        Holding { availability, bytes, cache: holder.or(target) }
    });
    for need in &needs {
        let held = look_for(need.blob.expected).map(|(_, bytes)| bytes);
        let bytes = need.blob.expected.size.stated().or(held).unwrap_or(0);
        report.totals.bytes_needed += bytes;
        report.totals.bytes_reused += held.map_or(0, |_| bytes);
    }
    count_built(&mut report.totals, &resolution);
    count_requests(&mut report.totals, &run.transport);
    for cache in &run.caches {
        report.caches.push(stores::state_of(session, cache)?);
    }
    Ok(session.conclude(report))
}
