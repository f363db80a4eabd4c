//! Looking after the folder of what the branch built: pruning, listing, verifying, emptying.

use std::collections::HashSet;

use super::session::OnCorrupt;
use crate::config::{BuiltEntry, Slack, Upkeep};
use crate::fs::kind;
use crate::pipeline::error::RunError;
use crate::pipeline::{Mode, Session, inventory, uploads};
use crate::report::{BlobReport, CacheReport, Uploads};
use crate::runner::RestoredCaches;
use crate::store::built::prune::choose;
use crate::store::built::{BuiltError, BuiltSpec, Contents, Folder};
use crate::store::{StoredBlob, Validation};
use crate::types::DagHash;
use crate::verified::{Expected, Size};

/// The entry, where there is one and `--cache` does not name others only.
pub(crate) fn entry<'a>(session: &'a Session<'_>) -> Option<&'a BuiltEntry> {
    session.config.collect.as_ref().filter(|entry| entry.upkeep == Upkeep::Included)
}

/// Prune it by its `keep:`, and say whether the runner will upload it. A folder that is a link is left alone.
pub(crate) fn prune(
    session: &Session<'_>,
    used: &HashSet<DagHash>,
    note: &RestoredCaches,
    mode: Mode,
) -> Result<Option<CacheReport>, RunError> {
    let Some(entry) = entry(session) else { return Ok(None) };
    let folder = match Folder::open(entry, &session.config.root) {
        Ok(folder) => folder,
        Err(error @ BuiltError::NotAFolder { .. }) => {
            session.warn(&format!("mirror `{}` is left alone: {error}", entry.name));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let contents = folder.contents()?;
    warn_of_foreign(session, entry, &contents);
    let mut report = prune_folder(session, entry, &folder, &contents, used, note, mode)?;
    uploads::describe_collected(session, entry, note, &mut report)?;
    Ok(Some(report))
}

fn prune_folder(
    session: &Session<'_>,
    entry: &BuiltEntry,
    folder: &Folder,
    contents: &Contents,
    used: &HashSet<DagHash>,
    note: &RestoredCaches,
    mode: Mode,
) -> Result<CacheReport, RunError> {
    let policy = match inventory::policy_for(session, entry.keep) {
        Ok(policy) => policy.unwrap_or_default(),
        Err(error) => {
            session.warn(&format!(
                "nothing is pruned from mirror `{}`, since what it is to keep is unknown: {error}",
                entry.name
            ));
            return Ok(report_of(folder, contents));
        }
    };
    let removals = choose(contents, &policy, used, session.now);
    let of_strays: u64 = contents.strays.iter().map(|stray| stray.bytes).sum();
    let waste = removals.iter().map(|spec| spec.bytes).sum::<u64>() + of_strays;
    let before = report_of(folder, contents);
    if waste == 0 && removals.is_empty() && contents.strays.is_empty() {
        return Ok(before);
    }
    if entry.keep.slack() != Slack::NONE
        && entry.keep.slack().allows(waste, before.bytes)
        && uploads::judge_collected(session, entry, note)?.uploads == Uploads::No
    {
        return Ok(CacheReport { waste_bytes: waste, ..before });
    }
    let removed = removals.iter().map(|spec| spec.blobs.len() as u64).sum::<u64>() + contents.strays.len() as u64;
    let broken: Vec<&&BuiltSpec> = removals.iter().filter(|spec| spec.damage.is_some()).collect();
    for spec in &broken {
        let verb = if mode == Mode::Act { "is removed" } else { "would be removed" };
        let reason = spec.damage.as_deref().unwrap_or_default();
        session.warn(&format!("`{}` of mirror `{}` {verb}: {reason}", spec.metadata.display(), entry.name));
    }
    if mode == Mode::Act {
        folder.remove(contents, &removals)?;
    }
    Ok(CacheReport {
        blobs: before.blobs.saturating_sub(removed),
        bytes: before.bytes.saturating_sub(waste),
        removed,
        removed_bytes: waste,
        corrupt: broken.len() as u64,
        changed: mode == Mode::Act,
        ..before
    })
}

/// What it holds.
pub(crate) fn list(session: &Session<'_>) -> Result<Option<CacheReport>, RunError> {
    let Some(entry) = entry(session) else { return Ok(None) };
    let folder = Folder::open(entry, &session.config.root)?;
    let contents = folder.contents()?;
    warn_of_foreign(session, entry, &contents);
    for spec in &contents.specs {
        if let Some(reason) = &spec.damage {
            session.warn(&format!("`{}` of mirror `{}` can't be used: {reason}", spec.metadata.display(), entry.name));
        }
    }
    let mut report = report_of(&folder, &contents);
    report.contents = contents.specs.iter().flat_map(blobs_of).collect();
    Ok(Some(report))
}

/// Hash everything in it. Where something is corrupt, the spec goes as a whole.
pub(crate) fn verify(session: &Session<'_>, on_corrupt: OnCorrupt) -> Result<Option<CacheReport>, RunError> {
    let Some(entry) = entry(session) else { return Ok(None) };
    let folder = Folder::open(entry, &session.config.root)?;
    let contents = folder.contents()?;
    let mut blobs = Vec::new();
    let mut corrupt: Vec<&BuiltSpec> = Vec::new();
    for spec in &contents.specs {
        let mut damage = spec.damage.clone();
        for (blob, mut report) in spec.blobs.iter().zip(blobs_of(spec)) {
            let path = folder.root().join(&blob.path);
            let expected = Expected { digest: blob.digest, size: Size::Exactly(blob.bytes) };
            let unreadable = |source| BuiltError::Io { path: path.clone(), what: "read", source };
            let kind = kind(&path).map_err(unreadable)?;
            if let Validation::Corrupt(found) =
                StoredBlob::validate(&path, kind, expected, &|_| ()).map_err(unreadable)?
            {
                damage = Some(format!("`{}`: {}", blob.path.display(), found.reason()));
                report.intact = Some(false);
            } else {
                report.intact = Some(true);
            }
            blobs.push(report);
        }
        if let Some(reason) = damage {
            let verb = if on_corrupt == OnCorrupt::Delete { "; the spec was removed" } else { "" };
            session.warn(&format!("`{}` of mirror `{}` is bad: {reason}{verb}", spec.metadata.display(), entry.name));
            corrupt.push(spec);
        }
    }
    let mut report = report_of(&folder, &contents);
    report.corrupt = corrupt.len() as u64;
    report.contents = blobs;
    if on_corrupt == OnCorrupt::Delete && !corrupt.is_empty() {
        folder.remove(&contents, &corrupt)?;
        let left = report_of(&folder, &folder.contents()?);
        (report.bytes, report.blobs, report.changed) = (left.bytes, left.blobs, true);
    }
    Ok(Some(report))
}

/// Remove everything that a push put there.
pub(crate) fn clean(session: &Session<'_>, mode: Mode) -> Result<Option<CacheReport>, RunError> {
    let Some(entry) = entry(session) else { return Ok(None) };
    let folder = Folder::open(entry, &session.config.root)?;
    let before = report_of(&folder, &folder.contents()?);
    if mode == Mode::Act {
        folder.empty()?;
    }
    Ok(Some(CacheReport {
        bytes: 0,
        blobs: 0,
        removed: before.blobs,
        removed_bytes: before.bytes,
        changed: mode == Mode::Act && before.bytes > 0,
        ..before
    }))
}

/// The blobs of all specs and what belongs to none; the bytes are those of metadata, too.
fn report_of(folder: &Folder, contents: &Contents) -> CacheReport {
    let of_specs: u64 = contents.specs.iter().map(|spec| spec.bytes).sum();
    let of_strays: u64 = contents.strays.iter().map(|stray| stray.bytes).sum();
    let blobs: usize = contents.specs.iter().map(|spec| spec.blobs.len()).sum();
    CacheReport {
        name: folder.name().to_owned(),
        path: folder.root().display().to_string(),
        bytes: of_specs + of_strays,
        blobs: (blobs + contents.strays.len()) as u64,
        ..CacheReport::default()
    }
}

fn blobs_of(spec: &BuiltSpec) -> Vec<BlobReport> {
    let report = |blob: &crate::store::built::BuiltBlob| BlobReport {
        digest: blob.digest,
        bytes: blob.bytes,
        intact: None,
        last_used: spec.modified,
        requests: blob.request.iter().cloned().collect(),
    };
    spec.blobs.iter().map(report).collect()
}

fn warn_of_foreign(session: &Session<'_>, entry: &BuiltEntry, contents: &Contents) {
    if !contents.foreign.is_empty() {
        let shown: Vec<_> = contents.foreign.iter().take(3).map(|path| format!("`{}`", path.display())).collect();
        let more = if contents.foreign.len() > 3 { ", …" } else { "" };
        session.warn(&format!(
            "mirror `{}` holds what no push put there, and GitLab uploads it too: {}{more}",
            entry.name,
            shown.join(", ")
        ));
    }
}
