//! `larder export`: a mirror of whole environments in a folder, for a site without a network.
//!
//! What the folder holds already, and is right, is not asked of any cache or mirror. The rest comes from the caches, into which
//! it is downloaded first where they lack it, and is copied and hashed once more on the way. The order in which files appear is
//! in [`crate::export`].

mod environments;
mod published;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use fs_err as fs;

use self::environments::write_environments;
use self::published::{keys, write_keys, write_metadata};
use crate::config::BuildDeps;
use crate::export::{Contents, ExportError, ExportFolder, ExportRecord, larder_yaml, mirrors_yaml, readme};
use crate::job::{JobFolder, SCOPE_FILE_NAME};
use crate::mirror::PublishedBlob;
use crate::pipeline::environments::InstallTrees;
use crate::pipeline::materialize::materialize;
use crate::pipeline::needed::{BlobNeed, CachedBlob, Obtained};
use crate::pipeline::reporting::report;
use crate::pipeline::resolve::{Documents, Located, Resolution, Scope};
use crate::pipeline::run::Run;
use crate::pipeline::{RunError, Session, Wanted, parallel};
use crate::plan::Need;
use crate::report::{ExportReport, Report, Status};
use crate::reporter::Phase;
use crate::types::{DagHash, MirrorPath, Sha256Digest, Signatures};

/// A blob, and where it goes.
struct Copy {
    name: String,
    path: MirrorPath,
    blob: PublishedBlob,
}

/// Write the environments and their binaries to a folder, or add to it what is missing.
pub async fn export(session: &Session<'_>, wanted: &Wanted, output: &Path) -> Result<Report, RunError> {
    // A plain `spack install`, which is what follows at the other site, wants all build dependencies.
    let build_deps = wanted.build_deps.or(session.config.build_deps).unwrap_or(BuildDeps::All);
    let wanted = Wanted { build_deps: Some(build_deps), ..wanted.clone() };
    let run = Run::open(session, &wanted, InstallTrees::Named)?;
    check_output(session, output)?;
    let (job_folder, _lock) = run.enter()?;
    let staging = job_folder.partial();
    let resolution = run.resolve(&wanted, Scope::WholeEnvironments, Documents::Keep(&staging)).await?;

    let mut folder = ExportFolder::enter(output)?;
    let found = sorted(&resolution);
    let folder_of = folders(&mut folder.record, &found);
    folder.write_record()?;
    let keys = session.unless_interrupted(keys(session, &found, &folder_of, &run.transport)).await?;
    let copies = copies(&found, &folder_of);
    let there = tokio::task::block_in_place(|| look(session, &folder, &copies))?;
    let missing: Vec<&Copy> = copies.iter().filter(|copy| !there.contains_key(&copy.path.to_string())).collect();
    let digests: HashSet<Sha256Digest> = missing.iter().map(|copy| copy.blob.expected.digest).collect();
    let mut needs = run.needs(&resolution)?;
    needs.retain(|need: &BlobNeed| digests.contains(&need.blob.expected.digest));

    let copy = |obtained: &Obtained| tokio::task::block_in_place(|| copy_all(session, &folder, &missing, obtained));
    let (obtained, ()) = materialize(&run, &needs, &staging, copy).await?;
    let fingerprints = write_keys(&folder, &found, &folder_of, &keys)?;
    write_metadata(&folder, &found, &folder_of)?;
    write_environments(session, &mut folder)?;
    let missing_specs = resolution.specs.iter().filter(|spec| matches!(spec.need, Need::Build(_) | Need::Unknown));
    let contents = Contents {
        keys: fingerprints.clone(),
        specs: found.len(),
        missing: missing_specs.map(|spec| spec.id.to_string()).collect(),
        selection: wanted.selection.specs.iter().cloned().chain(hashes(&wanted)).collect(),
    };
    write_texts(&folder, build_deps, &contents)?;

    let mut report = report(&run, "export", &resolution, &obtained)?;
    report.export = Some(describe(&mut report, &folder, &resolution, &copies, &there, fingerprints));
    folder.leave()?;
    let report = session.conclude(report);
    job_folder.write_report(&report)?;
    Ok(report)
}

/// Refuse what can be refused before anything is asked of a mirror.
fn check_output(session: &Session<'_>, output: &Path) -> Result<(), ExportError> {
    ExportFolder::check(output)?;
    let real = |path: &Path| {
        let known = path.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
        known.map_or_else(
            || path.to_owned(),
            |(above, real)| path.strip_prefix(above).map_or(real.clone(), |rest| real.join(rest)),
        )
    };
    let job_folder = JobFolder::of(&session.config.root).root().to_owned();
    let own = session.config.caches.iter().map(|entry| entry.path.clone()).chain([job_folder]);
    for inside in own {
        if real(output).starts_with(real(&inside)) {
            return Err(ExportError::InsideOwn { path: output.to_owned(), inside });
        }
    }
    Ok(())
}

fn sorted(resolution: &Resolution) -> Vec<&Located> {
    let mut found: Vec<&Located> = resolution.found.values().collect();
    found.sort_by(|a, b| (&a.spec.name, a.spec.hash).cmp(&(&b.spec.name, b.spec.hash)));
    found
}

/// The folder of each spec's binary. There is one even where nothing was found: a configuration without mirrors is an error.
fn folders(record: &mut ExportRecord, found: &[&Located]) -> HashMap<DagHash, String> {
    let mut kinds: Vec<Signatures> = found.iter().map(|found| found.published.mirror.demanded_signatures()).collect();
    // The first kind gets `mirror/`.
    kinds.sort_by_key(|kind| *kind == Signatures::NotRequired);
    if record.mirrors.is_empty() {
        kinds.push(Signatures::Required);
        record.folder_for(kinds[0]);
    }
    found
        .iter()
        .map(|found| (found.spec.hash, record.folder_for(found.published.mirror.demanded_signatures())))
        .collect()
}

/// A path in one of the export's mirrors.
fn inside(folder: &str, path: &MirrorPath) -> MirrorPath {
    MirrorPath::new([folder].into_iter().chain(path.parts()))
}

fn copies(found: &[&Located], folder_of: &HashMap<DagHash, String>) -> Vec<Copy> {
    let mut seen = HashSet::new();
    let mut copies = Vec::new();
    for found in found {
        for blob in &found.published.blobs {
            let path = inside(&folder_of[&found.spec.hash], &blob.path);
            if seen.insert(path.to_string()) {
                let name = format!("{}@{}", found.spec.name, found.spec.version);
                copies.push(Copy { name, path, blob: blob.clone() });
            }
        }
    }
    copies
}

/// What the folder holds already, by path, with its size. Read to the end: it may have come from anywhere.
fn look(session: &Session<'_>, folder: &ExportFolder, copies: &[Copy]) -> Result<HashMap<String, u64>, RunError> {
    let present: Vec<(&Copy, u64)> =
        copies.iter().filter_map(|copy| Some((copy, folder.size_of(&copy.path)?))).collect();
    if present.is_empty() {
        return Ok(HashMap::new());
    }
    let reporter = session.reporter;
    reporter.phase_started(Phase::Validate, present.len() as u64, Some(present.iter().map(|(_, bytes)| bytes).sum()));
    let check = |item: usize| -> Result<Option<(String, u64)>, RunError> {
        session.stop_if_asked()?;
        let (copy, bytes) = present[item];
        let item = item as u64;
        reporter.item_started(Phase::Validate, item, &copy.name, Some(bytes));
        let advance = |bytes| reporter.item_advanced(Phase::Validate, item, i64::try_from(bytes).unwrap_or(0));
        let held = folder.holds(&copy.path, copy.blob.expected, &advance);
        reporter.item_finished(Phase::Validate, item);
        if held.is_none() {
            session.warn(&format!("the export held a bad copy of {}; it is replaced", copy.name));
        }
        Ok(held.map(|bytes| (copy.path.to_string(), bytes)))
    };
    let results = parallel::in_parallel(present.len(), &check);
    reporter.phase_finished(Phase::Validate);
    results.into_iter().filter_map(|(_, result)| result.transpose()).collect()
}

fn copy_all(
    session: &Session<'_>,
    folder: &ExportFolder,
    missing: &[&Copy],
    obtained: &Obtained,
) -> Result<(), RunError> {
    let present = missing.iter().filter_map(|copy| Some((*copy, obtained.blobs.get(&copy.blob.expected.digest)?)));
    let present: Vec<(&Copy, &CachedBlob)> = present.collect();
    if present.is_empty() {
        return Ok(());
    }
    let reporter = session.reporter;
    let bytes = present.iter().map(|(_, held)| held.blob.bytes()).sum();
    reporter.phase_started(Phase::Export, present.len() as u64, Some(bytes));
    let copy = |item: usize| -> Result<(), RunError> {
        session.stop_if_asked()?;
        let (copy, held) = present[item];
        let item = item as u64;
        reporter.item_started(Phase::Export, item, &copy.name, Some(held.blob.bytes()));
        let advance = |bytes| reporter.item_advanced(Phase::Export, item, i64::try_from(bytes).unwrap_or(0));
        let copied = folder.copy(&held.blob, copy.blob.expected, &copy.path, &advance);
        reporter.item_finished(Phase::Export, item);
        Ok(copied?)
    };
    let results = parallel::in_parallel(present.len(), &copy);
    reporter.phase_finished(Phase::Export);
    results.into_iter().try_for_each(|(_, result)| result)
}

/// What makes the folder usable comes last.
fn write_texts(folder: &ExportFolder, build_deps: BuildDeps, contents: &Contents) -> Result<(), ExportError> {
    let record = &folder.record;
    folder.write(&MirrorPath::new(["spack", SCOPE_FILE_NAME]), mirrors_yaml(record).as_bytes())?;
    folder.write(&MirrorPath::new(["README.txt"]), readme(record, contents).as_bytes())?;
    folder.write(&MirrorPath::new(["larder.yaml"]), larder_yaml(record, build_deps).as_bytes())?;
    Ok(())
}

fn hashes(wanted: &Wanted) -> impl Iterator<Item = String> {
    wanted.selection.hashes.iter().map(|hash| format!("/{hash}"))
}

/// What the export holds, and what was there before: nobody had to look for that.
fn describe(
    report: &mut Report,
    folder: &ExportFolder,
    resolution: &Resolution,
    copies: &[Copy],
    there: &HashMap<String, u64>,
    keys: Vec<String>,
) -> ExportReport {
    let size = |copy: &Copy| folder.size_of(&copy.path).unwrap_or(0);
    let sizes: HashMap<Sha256Digest, u64> = copies.iter().map(|copy| (copy.blob.expected.digest, size(copy))).collect();
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
    let added = copies.iter().filter(|copy| !there.contains_key(&copy.path.to_string()));
    ExportReport {
        path: folder.root().display().to_string(),
        environments: folder.record.environments.clone(),
        blobs: copies.len() as u64,
        bytes: copies.iter().map(size).sum(),
        added: added.clone().count() as u64,
        added_bytes: added.map(size).sum(),
        keys,
    }
}
