//! Downloading the blobs that no cache holds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use thiserror::Error;

use super::error::{FailedDownload, RunError};
use super::needed::{BlobNeed, CachedBlob, Obtained};
use super::run::{OutOfTime, Run};
use crate::reporter::Phase;
use crate::store::{DownloadLock, StoreError, Validation};
use crate::transport::{FetchRequest, Permit, TransportError};

/// Download, many at once. After a failure no new download starts, and those under way are finished: what they bring stays
/// in the cache for the next run.
pub(crate) async fn fetch(
    run: &Run<'_>,
    missing: &[&BlobNeed],
    staging: &Path,
    obtained: &mut Obtained,
) -> Result<(), RunError> {
    let Run { session, transport, remotes, .. } = run;
    if missing.is_empty() {
        return Ok(());
    }
    let sizes_are_known = missing.iter().all(|need| need.blob.expected.size.stated().is_some());
    let bytes = sizes_are_known.then(|| missing.iter().map(|need| need.stated_size()).sum());
    let progress = session.reporter.phase(Phase::Fetch, missing.len() as u64, bytes);
    let has_failed = AtomicBool::new(false);
    let fetch_one = async |need| {
        let need: &BlobNeed = need;
        let first = remotes.first_place(need).unwrap_or_else(|| need.mirror.location(&need.blob.path));
        let permit = transport.permit(&first).await;
        if has_failed.load(Ordering::Relaxed) {
            return None;
        }
        let size = Some(need.stated_size()).filter(|bytes| *bytes > 0);
        let item = progress.item(&need.title(), size);
        let result = fetch_blob(run, permit, need, staging, &|bytes| item.advance(bytes)).await;
        item.finish();
        has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
        Some((need, result))
    };
    let mut failed = Vec::new();
    let fetching = async {
        // All at once: the permits of the transport say who may begin.
        let mut results: FuturesUnordered<_> = missing.iter().copied().map(fetch_one).collect();
        while let Some(result) = results.next().await {
            match result {
                Some((need, Ok(held))) => {
                    obtained.reports[need.cache].added += u64::from(held.fetched || held.remote.is_some());
                    obtained.blobs.insert(held.blob.digest(), held);
                }
                Some((need, Err(FetchError::Transport(source)))) => {
                    failed.push(FailedDownload { name: need.title(), source });
                }
                // A cache that takes nothing: no need to name every blob that it did not take.
                Some((_, Err(FetchError::Store(error)))) => return Err(error.into()),
                None => {}
            }
        }
        Ok(())
    };
    // After a signal, and at the end of the time, downloads under way are dropped; the next run goes on with what arrived.
    let fetched = session.unless_interrupted(until(session.downloads_end(), fetching)).await;
    progress.finish();
    let in_time = fetched?;
    if !failed.is_empty() {
        return Err(RunError::Fetch { wanted: missing.len(), failed });
    }
    let is_missing = |need: &&&BlobNeed| !obtained.blobs.contains_key(&need.blob.expected.digest);
    obtained.left = missing.iter().filter(is_missing).count();
    if in_time == InTime::No && run.out_of_time == OutOfTime::Fails {
        return Err(RunError::OutOfTime { left: obtained.left, wanted: missing.len() });
    }
    Ok(())
}

/// Whether work was done before its time was over.
#[derive(Clone, Copy, PartialEq)]
enum InTime {
    Yes,
    No,
}

/// Do the work until then; at that moment it is dropped.
async fn until(end: Option<Instant>, work: impl Future<Output = Result<(), RunError>>) -> Result<InTime, RunError> {
    let Some(end) = end else { return work.await.map(|()| InTime::Yes) };
    match tokio::time::timeout_at(end.into(), work).await {
        Ok(done) => done.map(|()| InTime::Yes),
        Err(_) => Ok(InTime::No),
    }
}

#[derive(Debug, Error)]
enum FetchError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A blob that was missing: from another job, a remote cache or a mirror.
async fn fetch_blob(
    run: &Run<'_>,
    permit: Permit,
    need: &BlobNeed,
    staging: &Path,
    progress: &(dyn Fn(i64) + Sync),
) -> Result<CachedBlob, FetchError> {
    let Run { remotes, transport, .. } = run;
    let cache = &run.caches[need.cache];
    let expected = need.blob.expected;
    let claiming = cache.clone();
    // Without a claim the worst is that two jobs download the same.
    let claim = tokio::task::spawn_blocking(move || claiming.claim(expected.digest)).await.ok();
    if cache.size_of(expected.digest).is_some() {
        // Another job was faster.
        let validation = tokio::task::block_in_place(|| cache.validate(expected, &|_| ()))?;
        if let Validation::Intact(blob) = validation {
            return Ok(CachedBlob { blob, cache: need.cache, fetched: false, remote: None });
        }
    }
    let partial = cache.partial(claim.as_ref(), staging)?;
    let advance = |bytes| {
        claim.iter().for_each(DownloadLock::sign_of_life);
        progress(bytes);
    };
    let stored = |blob, fetched, remote| -> Result<CachedBlob, FetchError> {
        Ok(CachedBlob { blob: cache.insert(blob, staging)?, cache: need.cache, fetched, remote })
    };
    let mut permit = Some(permit);
    let suspects = match remotes.read(&mut permit, need, &partial, &advance).await {
        Ok((blob, remote)) => return stored(blob, false, Some(remote)),
        Err(suspects) => suspects,
    };
    let mirrors = std::iter::once(&need.mirror).chain(&need.others);
    let sources = mirrors.map(|mirror| mirror.location(&need.blob.path)).collect();
    let request = FetchRequest { sources, expected, partial };
    let permit = waiting(transport.permit_from(permit, &request.sources[0]), || advance(0)).await;
    let blob = transport.blob(permit, request, &advance).await?;
    remotes.remove_suspects(need, suspects).await;
    stored(blob, true, None)
}

/// Wait for something, and show other processes every second that this one goes on.
async fn waiting<T>(work: impl Future<Output = T>, sign_of_life: impl Fn()) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(Duration::from_secs(1), &mut work).await {
            Ok(done) => return done,
            Err(_) => sign_of_life(),
        }
    }
}
