//! `larder export`: a mirror of whole environments in a folder, for a site without a network.
//!
//! What the folder holds already, and is right, is not asked of any cache or mirror. The rest comes from the caches, into which
//! it is downloaded first where they lack it, and is copied and hashed once more on the way. The order in which files appear is
//! in [`crate::export`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::config::BuildDeps;
use crate::export::{self, Batch, Contents, Copy, ExportFolder};
use crate::job::JobFolder;
use crate::mirror::Published;
use crate::pipeline::materialize::materialize;
use crate::pipeline::needed::{BlobNeed, CachedBlob, Obtained};
use crate::pipeline::parallel::{self, Task};
use crate::pipeline::reporting::report;
use crate::pipeline::resolve::{Documents, Resolution};
use crate::pipeline::run::Run;
use crate::pipeline::{RunError, Scope, Session, Wanted};
use crate::plan::Need;
use crate::report::{ExportReport, Report, Status};
use crate::reporter::Phase;
use crate::types::Sha256Digest;

/// Write the environments and their binaries to a folder, or add to it what is missing.
pub async fn export(session: &Session<'_>, wanted: &Wanted, output: &Path) -> Result<Report, RunError> {
    // A plain `spack install`, which is what follows at the other site, wants all build dependencies.
    let build_deps = wanted.build_deps.or(session.config.build_deps).unwrap_or(BuildDeps::All);
    let wanted = Wanted { build_deps: Some(build_deps), ..wanted.clone() };
    let run = Run::open(session, &wanted, Scope::WholeEnvironments)?;
    if run.environments.have_no_mirror() {
        return Err(RunError::NoMirror);
    }
    let job = JobFolder::of(&session.config.root);
    let own = session.config.caches.iter().map(|entry| entry.path.clone());
    ExportFolder::check(output, own.chain([job.root().to_owned()]))?;
    let (job, _lock) = run.enter()?;
    let staging = job.partial();
    let resolution = run.resolve(Documents::Keep(&staging)).await?;

    let mut folder = ExportFolder::enter(output)?;
    let mut specs: Vec<&Published> = resolution.found.values().map(|found| &found.published).collect();
    specs.sort_by_key(|published| (&published.spec.name, published.spec.hash));
    let mut batches = Batch::all(&mut folder.record, &specs);
    folder.write_record()?;
    let warn = |text: &str| session.warn(text);
    for batch in &mut batches {
        let asking = async { Ok(batch.ask_for_keys(&run.transport, &warn).await?) };
        session.unless_interrupted(asking).await?;
    }
    let copies: Vec<Copy> = batches.iter().flat_map(Batch::copies).collect();
    let missing = lacking(session, &folder, &copies)?;
    let digests: HashSet<Sha256Digest> = missing.iter().map(|copy| copy.expected.digest).collect();
    let mut needs = run.needs(&resolution)?;
    needs.retain(|need: &BlobNeed| digests.contains(&need.blob.expected.digest));

    let copy = |obtained: &Obtained| copy_all(session, &folder, &missing, obtained);
    let (obtained, ()) = materialize(&run, &needs, &staging, copy).await?;
    let mut keys = BTreeSet::new();
    for batch in batches {
        keys.extend(batch.publish(&folder).await?);
    }
    let keys: Vec<String> = keys.into_iter().collect();
    export::write_environments(&mut folder, &session.config.environments, &warn)?;
    let missing_specs = resolution.specs.iter().filter(|spec| matches!(spec.need, Need::Build(_) | Need::Unknown));
    let hashes = wanted.selection.hashes.iter().map(|hash| format!("/{}", hash.as_str()));
    let contents = Contents {
        keys: keys.clone(),
        specs: specs.len(),
        missing: missing_specs.map(|spec| spec.id.to_string()).collect(),
        selection: wanted.selection.specs.iter().cloned().chain(hashes).collect(),
    };
    export::write_texts(&folder, build_deps, &contents)?;

    let mut report = report(&run, "export", &resolution, &obtained)?;
    report.export = Some(describe(&mut report, &folder, &resolution, &copies, &missing, keys));
    folder.leave()?;
    let report = session.conclude(report);
    job.write_report(&report)?;
    Ok(report)
}

/// What the folder lacks. What it holds is read to its end: it may have come from anywhere.
fn lacking<'a>(session: &Session<'_>, folder: &ExportFolder, copies: &'a [Copy]) -> Result<Vec<&'a Copy>, RunError> {
    let (mut missing, mut present) = (Vec::new(), Vec::new());
    for copy in copies {
        match folder.size_of(&copy.path) {
            Some(bytes) => present.push(Task { name: copy.name.clone(), bytes, subject: copy }),
            None => missing.push(copy),
        }
    }
    let bad = each(session, Phase::Validate, &present, |copy, advance| {
        let is_right = folder.holds(&copy.path, copy.expected, advance);
        if !is_right {
            session.warn(&format!("the export held a bad copy of {}; it is replaced", copy.name));
        }
        Ok((!is_right).then_some(*copy))
    });
    missing.extend(bad?.into_iter().flatten());
    Ok(missing)
}

fn copy_all(
    session: &Session<'_>,
    folder: &ExportFolder,
    missing: &[&Copy],
    obtained: &Obtained,
) -> Result<(), RunError> {
    let present = missing.iter().filter_map(|copy| {
        let CachedBlob { blob, .. } = obtained.blobs.get(&copy.expected.digest)?;
        Some(Task { name: copy.name.clone(), bytes: blob.bytes(), subject: (*copy, blob) })
    });
    let copied = each(session, Phase::Export, &present.collect::<Vec<_>>(), |(copy, blob), advance| {
        Ok(folder.copy(blob, copy.expected, &copy.path, advance)?)
    });
    copied.map(drop)
}

/// Do something with each of these, if there are any, until a signal asks to stop.
fn each<T: Sync, R: Send>(
    session: &Session<'_>,
    phase: Phase,
    tasks: &[Task<T>],
    work: impl Fn(&T, &dyn Fn(usize)) -> Result<R, RunError> + Sync,
) -> Result<Vec<R>, RunError> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    parallel::in_phase(session.reporter, phase, tasks, |subject, advance| {
        session.stop_if_asked()?;
        work(subject, advance)
    })
}

/// What the export holds. Of what was there before, `materialize` knows nothing.
fn describe(
    report: &mut Report,
    folder: &ExportFolder,
    resolution: &Resolution,
    copies: &[Copy],
    added: &[&Copy],
    keys: Vec<String>,
) -> ExportReport {
    let size = |copy: &Copy| folder.size_of(&copy.path).unwrap_or(0);
    let sizes: HashMap<Sha256Digest, u64> = copies.iter().map(|copy| (copy.expected.digest, size(copy))).collect();
    for spec in &mut report.specs {
        let binary = spec.build_spec.unwrap_or(spec.hash);
        if let (Some(found), Status::Cached | Status::Fetched) = (resolution.found.get(&binary), spec.status) {
            let sizes = found.published.blobs.iter().filter_map(|blob| sizes.get(&blob.expected.digest));
            spec.bytes = Some(sizes.sum());
        }
    }
    // Sums are of digests: what two mirrors of the export have in common was needed once.
    report.totals.bytes_needed = sizes.values().sum();
    report.totals.bytes_reused = report.totals.bytes_needed.saturating_sub(report.totals.bytes_fetched);
    ExportReport {
        path: folder.root().display().to_string(),
        environments: folder.record.environments.clone(),
        blobs: copies.len() as u64,
        bytes: copies.iter().map(size).sum(),
        added: added.len() as u64,
        added_bytes: added.iter().map(|copy| size(copy)).sum(),
        keys,
    }
}
