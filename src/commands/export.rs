//! `larder export`: a mirror of whole environments in a folder, for a site without a network.
//!
//! What the folder holds already, and is right, is not asked of any cache or mirror. The rest comes from the caches, into which
//! it is downloaded first where they lack it, and is copied and hashed once more on the way. The order in which files appear is
//! in [`crate::export`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::environments::{self, InstallTrees};
use super::obtain::{self, BlobNeed, Held, Obtained};
use super::resolve::{self, Documents, Found, Resolution, Scope};
use super::upload::Note;
use super::{CommandError, Mode, Session, Wanted, upkeep, upload};
use crate::config::BuildDeps;
use crate::export::{Contents, ExportError, ExportFolder, ExportRecord, larder_yaml, mirrors_yaml, readme};
use crate::job::{
    IndexFormat, JobError, JobFolder, Listed, SCOPE_FILE_NAME, SpecNodes, index, nodes_of, v2_index_files,
    v3_index_files, v3_index_manifest,
};
use crate::mirror::{Fingerprint, Layout, PublishedBlob, v2_key_files, v3_key_files};
use crate::report::{BlobRole, ExportReport, Report, Status};
use crate::reporter::Phase;
use crate::transport::{Limits, Transport};
use crate::types::{DagHash, Mirror, MirrorPath, Sha256Digest, Signatures, path_part};

/// The most bytes of a `spack.yaml` that is looked at for what does not travel.
const MAX_YAML_BYTES: u64 = 1 << 20;

/// A blob, and where it goes.
struct Copy {
    name: String,
    path: MirrorPath,
    blob: PublishedBlob,
}

/// The keys for each folder of the export.
type KeysOf = BTreeMap<String, BTreeMap<Fingerprint, Vec<u8>>>;

/// Write the environments and their binaries to a folder, or add to it what is missing.
pub async fn export(session: &Session<'_>, wanted: &Wanted, output: &Path) -> Result<Report, CommandError> {
    // A plain `spack install`, which is what follows at the other site, wants all build dependencies.
    let build_deps = wanted.build_deps.or(session.config.build_deps).unwrap_or(BuildDeps::All);
    let wanted = Wanted { build_deps: Some(build_deps), ..wanted.clone() };
    let environments = environments::load(session, &wanted, InstallTrees::Named)?;
    let caches = upkeep::open_all(session)?;
    check_output(session, output)?;
    let job_folder = JobFolder::of(&session.config.root);
    let _lock = job_folder.enter(|| session.inform("waiting for another larder in this project folder"))?;
    upload::note(session, &job_folder, Note::OfThisJob, Mode::Act)?;
    let transport = Transport::new(session.config.network.clone(), Limits::default());
    let staging = job_folder.partial();
    let documents = Documents::Keep(&staging);
    let resolution = resolve::resolve(session, &environments, &wanted, Scope::WholeEnvironments, &transport, documents);
    let resolution = session.unless_interrupted(resolution).await?;

    let mut folder = ExportFolder::enter(output)?;
    let found = sorted(&resolution);
    let folder_of = folders(&mut folder.record, &found);
    folder.write_record()?;
    let keys = session.unless_interrupted(keys(session, &found, &folder_of, &transport)).await?;
    let copies = copies(&found, &folder_of);
    let there = tokio::task::block_in_place(|| look(session, &folder, &copies))?;
    let missing: Vec<&Copy> = copies.iter().filter(|copy| !there.contains_key(&copy.path.to_string())).collect();
    let digests: HashSet<Sha256Digest> = missing.iter().map(|copy| copy.blob.expected.digest).collect();
    let mut needs = obtain::needs(session, &resolution.found, &caches)?;
    needs.retain(|need: &BlobNeed| digests.contains(&need.blob.expected.digest));

    let copy = |obtained: &Obtained| tokio::task::block_in_place(|| copy_all(session, &folder, &missing, obtained));
    let (obtained, ()) = obtain::obtain(session, &needs, &caches, &transport, &staging, copy).await?;
    let fingerprints = write_keys(&folder, &found, &folder_of, &keys)?;
    write_metadata(&folder, &found, &folder_of)?;
    write_environments(session, &mut folder)?;
    let missing_specs = resolution.specs.iter().filter(|spec| resolve::report_of(spec, None).status == Status::Build);
    let contents = Contents {
        keys: fingerprints.clone(),
        specs: found.len(),
        missing: missing_specs.map(|spec| spec.id.to_string()).collect(),
        selection: wanted.selection.specs.iter().cloned().chain(hashes(&wanted)).collect(),
    };
    write_texts(&folder, build_deps, &contents)?;

    let mut report = obtain::report(session, "export", &resolution, &obtained, &caches, &transport)?;
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

fn sorted(resolution: &Resolution) -> Vec<&Found> {
    let mut found: Vec<&Found> = resolution.found.values().collect();
    found.sort_by(|a, b| (&a.spec.name, a.spec.hash).cmp(&(&b.spec.name, b.spec.hash)));
    found
}

/// The folder of each spec's binary. There is one even where nothing was found: a configuration without mirrors is an error.
fn folders(record: &mut ExportRecord, found: &[&Found]) -> HashMap<DagHash, String> {
    let mut kinds: Vec<Signatures> = found.iter().map(|found| found.published.mirror.signatures).collect();
    // The first kind gets `mirror/`.
    kinds.sort_by_key(|kind| *kind == Signatures::NotRequired);
    if record.mirrors.is_empty() {
        kinds.push(Signatures::Required);
        record.folder_for(kinds[0]);
    }
    found.iter().map(|found| (found.spec.hash, record.folder_for(found.published.mirror.signatures))).collect()
}

/// A path in one of the export's mirrors.
fn inside(folder: &str, path: &MirrorPath) -> MirrorPath {
    MirrorPath::new([folder].into_iter().chain(path.parts()))
}

fn copies(found: &[&Found], folder_of: &HashMap<DagHash, String>) -> Vec<Copy> {
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
fn look(session: &Session<'_>, folder: &ExportFolder, copies: &[Copy]) -> Result<HashMap<String, u64>, CommandError> {
    let present: Vec<(&Copy, u64)> =
        copies.iter().filter_map(|copy| Some((copy, folder.size_of(&copy.path)?))).collect();
    if present.is_empty() {
        return Ok(HashMap::new());
    }
    let reporter = session.reporter;
    reporter.phase_started(Phase::Validate, present.len() as u64, Some(present.iter().map(|(_, bytes)| bytes).sum()));
    let check = |item: usize| -> Result<Option<(String, u64)>, CommandError> {
        session.go_on()?;
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
    let results = obtain::in_parallel(present.len(), &check);
    reporter.phase_finished(Phase::Validate);
    results.into_iter().filter_map(|(_, result)| result.transpose()).collect()
}

fn copy_all(
    session: &Session<'_>,
    folder: &ExportFolder,
    missing: &[&Copy],
    obtained: &Obtained,
) -> Result<(), CommandError> {
    let present = missing.iter().filter_map(|copy| Some((*copy, obtained.blobs.get(&copy.blob.expected.digest)?)));
    let present: Vec<(&Copy, &Held)> = present.collect();
    if present.is_empty() {
        return Ok(());
    }
    let reporter = session.reporter;
    let bytes = present.iter().map(|(_, held)| held.blob.bytes()).sum();
    reporter.phase_started(Phase::Export, present.len() as u64, Some(bytes));
    let copy = |item: usize| -> Result<(), CommandError> {
        session.go_on()?;
        let (copy, held) = present[item];
        let item = item as u64;
        reporter.item_started(Phase::Export, item, &copy.name, Some(held.blob.bytes()));
        let advance = |bytes| reporter.item_advanced(Phase::Export, item, i64::try_from(bytes).unwrap_or(0));
        let copied = folder.copy(&held.blob, copy.blob.expected, &copy.path, &advance);
        reporter.item_finished(Phase::Export, item);
        Ok(copied?)
    };
    let results = obtain::in_parallel(present.len(), &copy);
    reporter.phase_finished(Phase::Export);
    results.into_iter().try_for_each(|(_, result)| result)
}

/// Ask each mirror that something comes from for its keys, in the layouts in which it has the specs.
async fn keys(
    session: &Session<'_>,
    found: &[&Found],
    folder_of: &HashMap<DagHash, String>,
    transport: &Transport,
) -> Result<KeysOf, CommandError> {
    let mut asked: Vec<(&Mirror, Layout)> = Vec::new();
    let mut keys = KeysOf::new();
    for found in found {
        let (mirror, layout) = (&*found.published.mirror, found.published.layout);
        if asked.contains(&(mirror, layout)) {
            continue;
        }
        asked.push((mirror, layout));
        let published = mirror.keys(layout, transport).await?;
        for reason in published.refused {
            session.warn(&format!("mirror `{}`: left out {reason}", mirror.name));
        }
        let keys = keys.entry(folder_of[&found.spec.hash].clone()).or_default();
        for key in published.found {
            keys.entry(key.fingerprint).or_insert(key.armored);
        }
    }
    Ok(keys)
}

/// Write the keys in each layout of each mirror, and say which there are.
fn write_keys(
    folder: &ExportFolder,
    found: &[&Found],
    folder_of: &HashMap<DagHash, String>,
    keys: &KeysOf,
) -> Result<Vec<String>, CommandError> {
    let mut fingerprints = Vec::new();
    for mirror in &folder.record.mirrors {
        let mut keys = keys.get(&mirror.folder).cloned().unwrap_or_default();
        keep_earlier_keys(folder, &mirror.folder, &mut keys);
        fingerprints.extend(keys.keys().map(ToString::to_string));
        if keys.is_empty() {
            continue;
        }
        for layout in layouts(found, folder_of, &mirror.folder) {
            let files = match layout {
                Layout::V3 => v3_key_files(&keys),
                Layout::V2 => v2_key_files(&keys),
            };
            for (path, bytes) in files {
                folder.write(&inside(&mirror.folder, &path), &bytes)?;
            }
        }
    }
    fingerprints.sort();
    fingerprints.dedup();
    Ok(fingerprints)
}

/// What an earlier run exported may be signed with a key of another mirror, which its index must not lose.
fn keep_earlier_keys(folder: &ExportFolder, mirror: &str, keys: &mut BTreeMap<Fingerprint, Vec<u8>>) {
    for (fingerprint, armored) in crate::mirror::keys_in(&|path| folder.read(&inside(mirror, path)), &|path| {
        folder.names_in(&inside(mirror, path))
    }) {
        keys.entry(fingerprint).or_insert(armored);
    }
}

fn layouts(found: &[&Found], folder_of: &HashMap<DagHash, String>, folder: &str) -> Vec<Layout> {
    let has = |layout: &Layout| {
        found.iter().any(|found| found.published.layout == *layout && folder_of[&found.spec.hash] == folder)
    };
    [Layout::V3, Layout::V2].into_iter().filter(has).collect()
}

/// The metadata, byte for byte, and then the index of all of it.
fn write_metadata(
    folder: &ExportFolder,
    found: &[&Found],
    folder_of: &HashMap<DagHash, String>,
) -> Result<(), CommandError> {
    for mirror in &folder.record.mirrors {
        let (mut v3, mut v2) = (Vec::new(), Vec::new());
        for found in found.iter().filter(|found| folder_of[&found.spec.hash] == mirror.folder) {
            let published = &found.published;
            // Kept by `resolve`, as it was asked to.
            let Some(document) = &found.document else { continue };
            let spec_blob = published.blobs.iter().find(|blob| blob.role == BlobRole::Spec).and_then(|blob| {
                let path = inside(&mirror.folder, &blob.path);
                Some((folder.path_of(&path), folder.size_of(&path)?))
            });
            let spec_blob = spec_blob.as_ref().map(|(path, bytes)| (path.as_path(), *bytes));
            let nodes =
                nodes_of(&found.spec, &published.mirror, published.layout, &published.path, document, spec_blob)?;
            match published.layout {
                Layout::V3 => v3.push(nodes),
                Layout::V2 => v2.push(nodes),
            }
            let failed = |source| JobError::Io { path: folder.root().to_owned(), what: "read metadata", source };
            let bytes = document.read().map_err(failed)?;
            folder.write(&inside(&mirror.folder, &published.path), &bytes)?;
        }
        write_index(folder, &mirror.folder, &v3, &v2)?;
    }
    Ok(())
}

/// List what was exported now and before. An empty mirror gets an index as well: Spack complains about one without any.
fn write_index(folder: &ExportFolder, mirror: &str, v3: &[SpecNodes], v2: &[SpecNodes]) -> Result<(), ExportError> {
    let manifest = inside(mirror, &v3_index_manifest());
    let v2_index = inside(mirror, &MirrorPath::new(["build_cache", "index.json"]));
    let is_empty = folder.size_of(&manifest).is_none() && folder.size_of(&v2_index).is_none();
    if !v3.is_empty() || (v2.is_empty() && is_empty) {
        let old = folder.read(&manifest).and_then(|text| index_blob(&text)).map(|path| inside(mirror, &path));
        let earlier = old.as_ref().and_then(|path| folder.read(path)).unwrap_or_default();
        let files = v3_index_files(index(v3, &Listed::read(&earlier, IndexFormat::V8), IndexFormat::V8));
        for (path, bytes) in &files {
            folder.write(&inside(mirror, path), bytes)?;
        }
        // Nothing leads to it any more. Only what is an index goes: the manifest could have been changed to name a binary.
        let is_new = |old: &MirrorPath| files.iter().any(|(path, _)| inside(mirror, path) == *old);
        if let Some(old) = old.filter(|old| earlier.starts_with(b"{\"database\"") && !is_new(old)) {
            folder.remove(&old)?;
        }
    }
    if !v2.is_empty() {
        let earlier = folder.read(&v2_index).unwrap_or_default();
        let files = v2_index_files(index(v2, &Listed::read(&earlier, IndexFormat::V7), IndexFormat::V7));
        for (path, bytes) in &files {
            folder.write(&inside(mirror, path), bytes)?;
        }
    }
    Ok(())
}

/// The blob that the manifest of an index names.
fn index_blob(manifest: &[u8]) -> Option<MirrorPath> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    let digest: Sha256Digest = manifest["data"][0]["checksum"].as_str()?.parse().ok()?;
    Some(MirrorPath::of_blob(digest))
}

/// Copy `spack.yaml` and `spack.lock` of each environment.
fn write_environments(session: &Session<'_>, folder: &mut ExportFolder) -> Result<(), CommandError> {
    let mut names: Vec<String> = Vec::new();
    for path in &session.config.environments {
        let (lockfile, manifest) = if path.is_dir() {
            (path.join("spack.lock"), Some(path.join("spack.yaml")))
        } else {
            (path.clone(), Some(path.with_file_name("spack.yaml")).filter(|_| path.ends_with("spack.lock")))
        };
        let name = name_of(path, &names);
        let place = |file: &str| MirrorPath::new(["environments", &name, file]);
        let read = |path: &Path| {
            let failed = |source| ExportError::Io { what: format!("read `{}`", path.display()), source };
            fs::read(path).map_err(failed)
        };
        match manifest.filter(|path| path.is_file()) {
            Some(path) => {
                warn_of_what_stays_behind(session, &path);
                folder.write(&place("spack.yaml"), &read(&path)?)?;
            }
            None => session.warn(&format!(
                "there is no `spack.yaml` beside `{}`: larder needs none, but Spack can't use the environment without it",
                lockfile.display()
            )),
        }
        folder.write(&place("spack.lock"), &read(&lockfile)?)?;
        folder.record.add_environment(&name);
        names.push(name);
    }
    folder.write_record()?;
    Ok(())
}

/// A name for the environment's folder: that of its own, or of its lockfile, unlike those of the others.
fn name_of(path: &Path, taken: &[String]) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let named: Option<PathBuf> = if real.is_dir() {
        real.file_name().map(PathBuf::from)
    } else if real.ends_with("spack.lock") {
        real.parent().and_then(Path::file_name).map(PathBuf::from)
    } else {
        real.file_stem().map(PathBuf::from)
    };
    let name = named.map_or_else(|| "environment".to_owned(), |name| name.to_string_lossy().into_owned());
    let name = path_part(&name).as_str().to_owned();
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name)
}

/// `spack.yaml` is copied as it is, so what it points to stays behind, and what is secret in it travels.
fn warn_of_what_stays_behind(session: &Session<'_>, path: &Path) {
    let text = crate::fs::read_capped(path, MAX_YAML_BYTES).ok().flatten().unwrap_or_default();
    // One that is wrong is for Spack to complain about.
    let Ok(yaml) = serde_yaml::from_slice::<serde_yaml::Value>(&text) else { return };
    let spack = &yaml["spack"];
    for key in ["include", "include_concrete"] {
        if spack.get(key).is_some_and(|value| !value.is_null()) {
            session.warn(&format!(
                "`{}` has `{key}:`, and what it names is not exported: carry it along, or take it out of the copy",
                path.display()
            ));
        }
    }
    let mirrors = spack["mirrors"].as_mapping().into_iter().flatten();
    for (name, mirror) in mirrors {
        let entries = [Some(mirror), mirror.get("fetch"), mirror.get("push")];
        let is_secret = |entry: &serde_yaml::Value| {
            let url = entry.as_str().or_else(|| entry.get("url")?.as_str()).and_then(|url| url::Url::parse(url).ok());
            url.is_some_and(|url| url.password().is_some())
                || entry.get("access_token").is_some()
                || entry.get("access_pair").is_some_and(serde_yaml::Value::is_sequence)
        };
        if entries.into_iter().flatten().any(is_secret) {
            session.warn(&format!(
                "`{}` holds the credentials of mirror `{}`, and so does its copy: name variables instead (`secret_variable`), \
                 or take them out of the copy",
                path.display(),
                name.as_str().unwrap_or_default()
            ));
        }
    }
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
