//! Making room by `keep:` in the mirror that collects what pipelines built.

use super::error::RunError;
use super::session::{Mode, Session};
use crate::report::CacheReport;
use crate::store::policy::{Policy, Removal, choose};
use crate::store::pushed::PushedMirror;

/// Prune a registry or a bucket. There is no lock in either, and none is needed: see [`crate::store::pushed`].
pub(crate) async fn prune_mirror(
    session: &Session<'_>,
    mirror: &PushedMirror<'_>,
    policy: &Policy,
    mode: Mode,
) -> Result<CacheReport, RunError> {
    if mirror.entry.mirror.url.is_registry() {
        registry(session, mirror, policy, mode).await
    } else {
        bucket(session, mirror, policy, mode).await
    }
}

async fn registry(
    session: &Session<'_>,
    mirror: &PushedMirror<'_>,
    policy: &Policy,
    mode: Mode,
) -> Result<CacheReport, RunError> {
    let images = mirror.images(session.now).await?;
    let before = mirror.report(&images.items);
    let mut removals = choose(&images.items, policy, &PushedMirror::fresh(&images.items, session.now), session.now);
    if mode == Mode::Act && !removals.is_empty() {
        removals = mirror.delete_images(&images, removals).await?;
        let (count, is) = match removals.len() {
            1 => ("1 image".to_owned(), "is"),
            count => (format!("{count} images"), "are"),
        };
        session.inform(&format!(
            "{count} of {mirror} {is} deleted; the registry frees the room when it next collects its garbage"
        ));
    }
    let blobs: u64 = removals.iter().map(|removal| removal.item.blobs.len() as u64).sum();
    Ok(after(before, mode, blobs, bytes_of(&removals)))
}

async fn bucket(
    session: &Session<'_>,
    mirror: &PushedMirror<'_>,
    policy: &Policy,
    mode: Mode,
) -> Result<CacheReport, RunError> {
    let now = session.now;
    let objects = mirror.objects(now).await?;
    let strays: u64 = objects.strays.iter().map(|stray| stray.bytes).sum();
    let mut before = mirror.report(&objects.items);
    before.bytes += strays;
    before.blobs += objects.strays.len() as u64;
    let removals = choose(&objects.items, policy, &PushedMirror::fresh(&objects.items, now), now);
    let removed = if mode == Mode::Pretend {
        objects.strays_without(&removals, now)
    } else {
        if !removals.is_empty() {
            let on_stay = |name: &str| session.inform(&format!("`{name}` of {mirror} was written anew: it stays"));
            mirror.remove_metadata(&objects, removals, now, &on_stay).await?;
        }
        // Once more, for what refers to blobs by now: a job may have pushed meanwhile.
        mirror.remove_strays(&mirror.objects(now).await?, now).await?
    };
    Ok(after(before, mode, removed.len() as u64, removed.iter().map(|stray| stray.bytes).sum()))
}

fn bytes_of(removals: &[Removal<'_>]) -> u64 {
    removals.iter().map(|removal| removal.item.bytes).sum()
}

fn after(before: CacheReport, mode: Mode, removed: u64, removed_bytes: u64) -> CacheReport {
    CacheReport {
        bytes: before.bytes.saturating_sub(removed_bytes),
        blobs: before.blobs.saturating_sub(removed),
        removed,
        removed_bytes,
        changed: mode == Mode::Act && removed > 0,
        ..before
    }
}
