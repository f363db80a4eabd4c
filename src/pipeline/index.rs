//! The indexes of mirrors, for a concretization that downloads none.
//!
//! `spack concretize` with reuse reads the whole index of each mirror, in every job. Here each is a blob like any other: mirrors are
//! asked for the small document that names it, a cache has it or gets it, and Spack gets mirrors with nothing else in them. No
//! lockfile is needed for any of this, and no index is parsed.

use std::sync::Arc;

use super::error::RunError;
use super::materialize::materialize;
use super::needed::{BlobNeed, Obtained, SourceBlob};
use super::reporting;
use super::run::Run;
use super::session::{Session, Wanted};
use crate::job::{IndexMirror, IndexScope, State, build_indexes, hand_over};
use crate::mirror::{MirrorError, PublishedIndex};
use crate::report::{CacheReport, IndexReport, IndexStatus, Report};
use crate::transport::TransportError;
use crate::types::{Access, IndexRequest, IndexStanding, Mirror, Purpose, Sha256Digest};

/// What Spack can concretize with.
pub(crate) struct Provided {
    /// What was done.
    pub report: Report,
    /// For each environment, in the order of the configuration: the scope for `spack -C` in which its mirrors have nothing but their
    /// indexes. All lie in the job folder, and the next `prepare` replaces them.
    pub scopes: Vec<IndexScope>,
}

/// A mirror and its indexes.
struct Offer {
    mirror: Arc<Mirror>,
    /// None where the mirror is a folder that is not there.
    indexes: Option<Vec<PublishedIndex>>,
}

/// Have the indexes of all mirrors of the environments in a cache, and mirrors in the job folder that hold nothing else.
pub(crate) async fn provide(session: &Session<'_>) -> Result<Provided, RunError> {
    let wanted = Wanted::default();
    let run = Run::of_mirrors(session, &wanted)?;
    let (folder, lock) = run.enter()?;
    hand_over::undo(&folder)?.iter().for_each(|remark| session.warn(remark));
    folder.clear(&lock)?;
    let staging = folder.partial();
    let mut offers = session.unless_interrupted(ask(&run)).await?;
    let mut needs = Vec::new();
    for offer in &offers {
        for index in offer.indexes.iter().flatten() {
            add_needs(&run, &offer.mirror, index, &mut needs)?;
        }
    }
    let digests = needs.iter().map(|need: &BlobNeed| need.blob.expected.digest).collect();
    let mut state = State::new(digests);
    state.write(&folder)?;

    // A hash and its index are two files, written one after the other: they may not belong together.
    let (torn, whole): (Vec<_>, Vec<_>) =
        needs.into_iter().partition(|need| need.blob.expected.size.stated().is_none());
    let (mut obtained, ()) = materialize(&run, &whole, &staging, |_| Ok(())).await?;
    state.remotes = run.remotes.note(&whole, &obtained);
    for need in torn {
        // One at a time: one that does not go with its hash is no reason to be without the others.
        let need = [need];
        match materialize(&run, &need, &staging, |_| Ok(())).await {
            Ok((more, ())) => {
                state.add_remotes(run.remotes.note(&need, &more));
                join(&mut obtained, more);
            }
            Err(error) if is_mismatch(&error) => session.warn(&format!(
                "{} does not go with its `index.json.hash`: it is being written just now, or an update was cut short. Spack is \
                 left to download it itself; `spack buildcache update-index` writes both anew",
                need[0].title()
            )),
            Err(error) => return Err(error),
        }
    }
    for offer in &mut offers {
        let is_there =
            |index: &PublishedIndex| index.blobs.iter().all(|(index, _)| obtained.blobs.contains_key(&index.digest));
        if let Some(indexes) = &mut offer.indexes {
            indexes.retain(is_there);
        }
    }

    let shown: Vec<IndexMirror<'_>> = offers.iter().map(shown).collect();
    let position = |mirror: &Arc<Mirror>| offers.iter().position(|offer| offer.mirror == *mirror);
    let groups: Vec<Vec<usize>> =
        run.environments.mirrors_of.iter().map(|mirrors| mirrors.iter().filter_map(position).collect()).collect();
    let blob = |digest: Sha256Digest| obtained.blobs.get(&digest).map(|held| held.blob.clone());
    let scopes = build_indexes(&folder, &shown, &blob, &groups)?;

    let mut report = reporting::of_caches(&run, "prepare", &obtained)?;
    report.indexes = offers.iter().flat_map(|offer| rows(&run, offer, &obtained)).collect();
    reporting::count_indexes(&mut report);
    let report = session.conclude(report);
    state.used.retain(|digest| obtained.blobs.contains_key(digest));
    state.added = report.caches.iter().map(|cache| (cache.name.clone(), cache.added)).collect();
    state.indexes.clone_from(&report.indexes);
    state.write(&folder)?;
    folder.write_report(&report)?;
    Ok(Provided { report, scopes })
}

/// Ask every mirror, all at once.
async fn ask(run: &Run<'_>) -> Result<Vec<Offer>, RunError> {
    let ask_one = async |mirror: &Arc<Mirror>| {
        let mirror = Arc::clone(mirror);
        if let Err(error @ MirrorError::NoFolder { .. }) = mirror.check_folder() {
            // As to Spack, which goes on without it. Whether the job can do without its binaries is for `prepare` to say.
            run.session.warn(&format!("{error}: Spack concretizes without its index"));
            return Ok(Offer { mirror, indexes: None });
        }
        let indexes = match mirror.indexes(&run.transport).await {
            Ok(indexes) => indexes,
            Err(error) => {
                run.absent.note(run.session, &mirror, error)?;
                return Ok(Offer { mirror, indexes: None });
            }
        };
        if indexes.is_empty() {
            run.session.inform(&format!(
                "mirror `{}` has no index: Spack reuses nothing of it; `spack buildcache update-index` makes one",
                mirror.name
            ));
        }
        Ok::<_, RunError>(Offer { mirror, indexes: Some(indexes) })
    };
    futures::future::try_join_all(run.environments.mirrors.iter().map(ask_one)).await
}

/// The blobs of an index, each once.
fn add_needs(
    run: &Run<'_>,
    mirror: &Arc<Mirror>,
    index: &PublishedIndex,
    needs: &mut Vec<BlobNeed>,
) -> Result<(), RunError> {
    let cache = run.cache_for(mirror)?;
    for (expected, path) in &index.blobs {
        let (url, document) = (mirror.url.to_string(), index.document.clone());
        let purpose = Purpose::Index(IndexRequest { mirror: url, document, standing: IndexStanding::Newest });
        match needs.iter_mut().find(|need| need.blob.expected.digest == expected.digest) {
            Some(need) => need.purposes.push(purpose),
            None => needs.push(BlobNeed {
                blob: SourceBlob { expected: *expected, path: path.clone() },
                title: format!("the index of mirror `{}`", mirror.name),
                mirror: Arc::clone(mirror),
                others: Vec::new(),
                cache,
                purposes: vec![purpose],
            }),
        }
    }
    Ok(())
}

/// What Spack is to see of a mirror. Where there is no index that a digest vouches for, a mirror may still have one of layout v2
/// without a hash: Spack looks for itself, which takes no more than a request where there is none. A mirror with credentials in
/// its entry stays hidden: they are not copied into the job folder.
fn shown(offer: &Offer) -> IndexMirror<'_> {
    let mirror = &*offer.mirror;
    match &offer.indexes {
        None => IndexMirror::Hidden,
        Some(indexes) if !indexes.is_empty() => IndexMirror::Indexes(mirror, indexes.iter().collect()),
        Some(_) if mirror.url.is_registry() || *mirror.access != Access::default() => IndexMirror::Hidden,
        Some(_) => IndexMirror::Itself(mirror),
    }
}

/// Whether bytes arrived and were not those that the digest stands for.
fn is_mismatch(error: &RunError) -> bool {
    let RunError::Fetch { failed, .. } = error else { return false };
    failed.iter().all(|failed| matches!(failed.source, TransportError::Mismatch { .. }))
}

fn join(obtained: &mut Obtained, more: Obtained) {
    obtained.blobs.extend(more.blobs);
    for (report, CacheReport { added, corrupt, changed, .. }) in obtained.reports.iter_mut().zip(more.reports) {
        report.added += added;
        report.corrupt += corrupt;
        report.changed |= changed;
    }
}

fn rows(run: &Run<'_>, offer: &Offer, obtained: &Obtained) -> Vec<IndexReport> {
    let mirror = offer.mirror.name.clone();
    let mut rows = Vec::new();
    for index in offer.indexes.iter().flatten() {
        for held in index.blobs.iter().filter_map(|(expected, _)| obtained.blobs.get(&expected.digest)) {
            rows.push(IndexReport {
                mirror: mirror.clone(),
                status: if held.fetched { IndexStatus::Fetched } else { IndexStatus::Cached },
                document: Some(index.document.clone()),
                cache: Some(reporting::holder(run, held)),
                digest: Some(held.blob.digest()),
                bytes: held.blob.bytes(),
            });
        }
    }
    if rows.is_empty() {
        let status = IndexStatus::Missing;
        rows.push(IndexReport { mirror, status, document: None, cache: None, digest: None, bytes: 0 });
    }
    rows
}
