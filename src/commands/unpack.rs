//! `larder unpack`: an archive of the runner, or of `larder pack`, into the caches.
//!
//! The archive is somebody else's, so it is looked at to its end before any of it becomes visible. Blobs wait, verified, in
//! a folder for unfinished files; what goes wrong anywhere drops them all. Nothing is written outside of the configured
//! caches, since no path is made of a name in the archive: a name only says which blob, of which cache, it claims to be.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use miette::Diagnostic;
use thiserror::Error;

use super::{CommandError, Mode, Session, pack, upkeep};
use crate::archive::{self, Entry, EntryKind, Limits, Problem};
use crate::cache::{ArchivedRecords, Cache, Exclusion, FoundBlob, Place, Validation};
use crate::job::{JobFolder, JobLock};
use crate::report::{ArchiveReport, BlobReport, CacheReport, Report};
use crate::reporter::Phase;
use crate::transport::verifier::{BlobError, BlobWriter, verify_reader};
use crate::transport::{Expected, Size, VerifiedBlob};

/// An archive that does not fit to the configured caches.
#[derive(Debug, Error, Diagnostic)]
pub enum UnpackError {
    /// None of its entries is for one of them.
    #[error("`{}` holds nothing for the configured caches", path.display())]
    #[diagnostic(help(
        "it holds {}; the caches are at {}. Paths in an archive are relative to the project folder: name one of its folders \
         under `path:` of a cache in larder.yaml",
        list(holds),
        list(caches)
    ))]
    NothingForCaches {
        /// The archive.
        path: PathBuf,
        /// The folders in it.
        holds: Vec<String>,
        /// The paths of the caches.
        caches: Vec<String>,
    },
    /// Another job pruned meanwhile.
    #[error("another job removed blobs from cache `{cache}` in the meantime")]
    #[diagnostic(help("nothing was unpacked into this cache; run it again"))]
    Pruned {
        /// The cache.
        cache: String,
    },
}

/// A cache, and what the archive has for it.
struct Target {
    cache: Cache,
    /// Its path in archives.
    prefix: String,
    /// Verified blobs that the cache lacks, with their times.
    staged: Vec<(VerifiedBlob, Option<i64>)>,
    /// Blobs that the cache has, and that were read and found right.
    present: Vec<FoundBlob>,
    /// Folders of the archive and their times.
    folders: Vec<(String, i64)>,
    records: Option<ArchivedRecords>,
    records_modified: Option<i64>,
    /// All blobs that the archive has for it.
    blobs: Vec<FoundBlob>,
    corrupt: u64,
    is_named: bool,
}

/// Where blobs wait: made when the first one comes, so that an archive that is refused before leaves no trace at all.
struct Workplace {
    folder: JobFolder,
    /// Whether this run made `.larder` and the job folder, and is to take them away again after a failure.
    made: (bool, bool),
    areas: Vec<tempfile::TempDir>,
    _lock: JobLock,
}

/// Unpack, or, with [`Mode::Pretend`], check everything and say what is in it.
pub fn unpack(session: &Session<'_>, path: &Path, mode: Mode) -> Result<Report, CommandError> {
    let mut targets = Vec::new();
    for entry in &session.config.caches {
        // A cache outside of the project folder has no path in any archive.
        if let Ok(prefix) = pack::prefix_of(session, entry) {
            targets.push(Target::new(upkeep::open(session, entry)?, prefix));
        }
    }
    let mut unpacking = Unpacking { session, mode, targets, workplace: None, skipped: BTreeSet::new(), item: 0 };
    session.reporter.phase_started(Phase::Unpack, 0, None);
    let result = unpacking.read(path);
    session.reporter.phase_finished(Phase::Unpack);
    let result = result.and_then(|()| unpacking.conclude(path));
    if result.is_err()
        && let Some(workplace) = unpacking.workplace.take()
    {
        workplace.vanish();
    }
    result
}

struct Unpacking<'a> {
    session: &'a Session<'a>,
    mode: Mode,
    targets: Vec<Target>,
    workplace: Option<Workplace>,
    /// Folders and files that are for no cache.
    skipped: BTreeSet<String>,
    item: u64,
}

impl Unpacking<'_> {
    fn read(&mut self, path: &Path) -> Result<(), CommandError> {
        // `archive` knows nothing of caches: their errors take this way around it.
        let failure = RefCell::new(None);
        let mut visit = |entry: &Entry, data: &mut dyn Read| {
            self.take(entry, data).map_err(|refusal| match refusal {
                Refusal::Entry(problem) => problem,
                Refusal::Command(error) => {
                    *failure.borrow_mut() = Some(error);
                    Problem::Stopped
                }
            })
        };
        let result = archive::read(path, &Limits::default(), &mut visit);
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(result?),
        }
    }

    /// Look at one entry and decide what it is.
    fn take(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), Refusal> {
        let found =
            self.targets.iter().enumerate().find_map(|(position, target)| {
                entry.name.below(&target.prefix).map(|below| (position, below.to_owned()))
            });
        let Some((position, below)) = found else {
            self.skip(entry);
            return Ok(());
        };
        let target = &mut self.targets[position];
        target.is_named = true;
        let place = match entry.kind {
            EntryKind::Folder => Place::of_folder(&below),
            EntryKind::File => Place::of_file(&below),
        };
        match place {
            Some(Place::Folder) => target.folders.extend(entry.modified.map(|modified| (below, modified))),
            Some(Place::Records) => {
                let mut text = Vec::new();
                data.take(ArchivedRecords::MAX_BYTES + 1).read_to_end(&mut text)?;
                if text.len() as u64 > ArchivedRecords::MAX_BYTES {
                    let limit = ArchivedRecords::MAX_BYTES;
                    return Err(Problem::Content(format!("records are at most {limit} bytes long")).into());
                }
                match ArchivedRecords::parse(&text) {
                    Ok(records) => (target.records, target.records_modified) = (Some(records), entry.modified),
                    // A loss of dates and no more, as in a cache folder.
                    Err(reason) => self.session.warn(&format!("the records `{}` are skipped: {reason}", entry.name)),
                }
            }
            Some(Place::Blob(digest)) => self.take_blob(position, digest, entry, data)?,
            None => {
                self.skipped.insert(entry.name.to_string());
            }
        }
        Ok(())
    }

    fn take_blob(
        &mut self,
        position: usize,
        digest: crate::types::Sha256Digest,
        entry: &Entry,
        data: &mut dyn Read,
    ) -> Result<(), Refusal> {
        let (reporter, item) = (self.session.reporter, self.item);
        self.item += 1;
        let expected = Expected { digest, size: Size::Exactly(entry.bytes) };
        let modified = jiff::Timestamp::from_second(entry.modified.unwrap_or(0)).unwrap_or_default();
        let blob = FoundBlob { digest, bytes: entry.bytes, modified };
        self.targets[position].blobs.push(blob);
        reporter.item_started(Phase::Unpack, item, &digest.to_string(), Some(entry.bytes));
        let advance = |bytes| reporter.item_advanced(Phase::Unpack, item, i64::try_from(bytes).unwrap_or(0));
        let is_there = match self.targets[position].cache.validate(expected, &|_| ()).map_err(CommandError::from)? {
            Validation::Intact(_) => true,
            Validation::Missing => false,
            Validation::Corrupt(_) => {
                self.targets[position].corrupt += 1;
                false
            }
        };
        if is_there || self.mode == Mode::Pretend {
            verify_reader(data, expected, &advance)?;
            if is_there {
                self.targets[position].present.push(blob);
            }
        } else {
            let area = self.area(position)?;
            let mut writer = BlobWriter::new(expected, &area)?;
            let mut buffer = vec![0; 128 << 10];
            loop {
                let length = data.read(&mut buffer)?;
                if length == 0 {
                    break;
                }
                writer.write(&buffer[..length])?;
                advance(length);
            }
            self.targets[position].staged.push((writer.finish()?, entry.modified));
        }
        reporter.item_finished(Phase::Unpack, item);
        Ok(())
    }

    /// A folder for verified blobs on the file system of a cache.
    fn area(&mut self, position: usize) -> Result<PathBuf, CommandError> {
        if self.workplace.is_none() {
            let folder = JobFolder::of(&self.session.config.root);
            let own = folder.root().parent().is_some_and(Path::exists);
            let made = (!own, !folder.root().exists());
            let waiting = || self.session.inform("waiting for another larder in this project folder");
            let lock = folder.enter(waiting)?;
            self.workplace = Some(Workplace { folder, made, areas: Vec::new(), _lock: lock });
        }
        let Some(workplace) = &mut self.workplace else { return Ok(PathBuf::new()) };
        let cache = &self.targets[position].cache;
        let mut make = || -> io::Result<PathBuf> {
            let parent = cache.staging(&workplace.folder.partial())?;
            if let Some(area) = workplace.areas.iter().find(|area| area.path().parent() == Some(&parent)) {
                return Ok(area.path().to_owned());
            }
            let area = tempfile::Builder::new().prefix("unpack-").tempdir_in(parent)?;
            let path = area.path().to_owned();
            workplace.areas.push(area);
            Ok(path)
        };
        let (name, what) = (cache.name().to_owned(), "make a folder for unfinished files");
        make().map_err(|source| crate::cache::CacheError::Io { cache: name, what, source }.into())
    }

    /// Remember what is for no cache, by the folder that a person would recognize.
    fn skip(&mut self, entry: &Entry) {
        let name = entry.name.as_str();
        let leads_to_cache =
            |target: &Target| target.prefix.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        if entry.kind == EntryKind::Folder && self.targets.iter().any(leads_to_cache) {
            return;
        }
        let depth = if name.starts_with(".larder/") { 2 } else { 1 };
        let shown: Vec<&str> = name.split('/').take(depth).collect();
        self.skipped.insert(shown.join("/"));
    }

    /// The archive is right to its end: bring in what it has.
    fn conclude(&mut self, path: &Path) -> Result<Report, CommandError> {
        if !self.targets.iter().any(|target| target.is_named) {
            let caches = self.targets.iter().map(|target| target.prefix.clone()).collect();
            let holds = self.skipped.iter().cloned().collect();
            return Err(UnpackError::NothingForCaches { path: path.to_owned(), holds, caches }.into());
        }
        if !self.skipped.is_empty() {
            let holds: Vec<String> = self.skipped.iter().cloned().collect();
            self.session.warn(&format!("the archive holds what is no cache's; it is skipped: {}", list(&holds)));
        }
        let mut report = Report::new("unpack");
        let bytes = fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
        let blobs = self.targets.iter().map(|target| target.blobs.len() as u64).sum();
        report.archive = Some(ArchiveReport { path: path.display().to_string(), bytes, blobs });
        let staging = JobFolder::of(&self.session.config.root).partial();
        for target in &mut self.targets {
            report.caches.push(match self.mode {
                Mode::Act => target.bring_in(self.session, &staging)?,
                Mode::Pretend => target.describe(self.session)?,
            });
        }
        let report = self.session.conclude(report);
        if let Some(workplace) = &self.workplace {
            workplace.folder.write_report(&report)?;
        }
        Ok(report)
    }
}

impl Target {
    fn new(cache: Cache, prefix: String) -> Self {
        let (staged, present, folders, blobs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (records, records_modified) = (None, None);
        Self { cache, prefix, staged, present, folders, records, records_modified, blobs, corrupt: 0, is_named: false }
    }

    /// Give the blobs their names, and folders and records that are new the times that they had.
    fn bring_in(&mut self, session: &Session<'_>, staging: &Path) -> Result<CacheReport, CommandError> {
        let cache = &self.cache;
        if self.staged.is_empty() && self.records.is_none() {
            return upkeep::state_of(session, cache);
        }
        let waiting = || session.inform(&format!("waiting for a job that uses cache `{}`", cache.name()));
        let nothing_here = self.staged.is_empty() && !cache.existing("");
        let _lock = if nothing_here { None } else { Some(cache.lock(Exclusion::Exclusive, waiting)?) };
        if self.present.iter().any(|blob| cache.size_of(blob.digest) != Some(blob.bytes)) {
            return Err(UnpackError::Pruned { cache: cache.name().to_owned() }.into());
        }
        // What is there already has a time of its own, and gets a new one where something is added to it: the runner is to
        // see that.
        let mut dates: Vec<(String, i64)> = std::mem::take(&mut self.folders);
        dates.extend(self.records_modified.map(|modified| ("larder.json".to_owned(), modified)));
        dates.retain(|(below, _)| !cache.existing(below));
        let added = self.staged.len() as u64;
        for (blob, modified) in self.staged.drain(..) {
            let stored = cache.insert(blob, staging)?;
            if let Some(modified) = modified {
                cache.date_blob(&stored, modified)?;
            }
        }
        let recorded = match &self.records {
            Some(records) => cache.merge_records(records, session.now, staging)?,
            None => false,
        };
        for (below, modified) in &dates {
            cache.date(below, *modified)?;
        }
        let state = upkeep::state_of(session, cache)?;
        Ok(CacheReport { added, corrupt: self.corrupt, changed: added > 0 || recorded, ..state })
    }

    /// What would come in, and all that the archive has.
    fn describe(&self, session: &Session<'_>) -> Result<CacheReport, CommandError> {
        let before = upkeep::state_of(session, &self.cache)?;
        let present: HashSet<_> = self.present.iter().map(|blob| blob.digest).collect();
        let new: Vec<&FoundBlob> = self.blobs.iter().filter(|blob| !present.contains(&blob.digest)).collect();
        let bytes: u64 = new.iter().map(|blob| blob.bytes).sum();
        let describe = |blob: &FoundBlob| {
            let record = self.records.as_ref().and_then(|records| records.records().get(blob.digest));
            BlobReport {
                digest: blob.digest,
                bytes: blob.bytes,
                intact: Some(true),
                last_used: record.map_or(blob.modified, |record| record.last_used),
                requests: record.map(|record| record.requests.clone()).unwrap_or_default(),
            }
        };
        Ok(CacheReport {
            added: new.len() as u64,
            blobs: before.blobs + new.len() as u64 - self.corrupt,
            bytes: before.bytes + bytes,
            corrupt: self.corrupt,
            contents: self.blobs.iter().map(describe).collect(),
            ..before
        })
    }
}

impl Workplace {
    /// After a failure: leave nothing that was not there before.
    fn vanish(self) {
        drop(self.areas);
        let (own, job) = self.made;
        // Where even this fails, what is left is scratch that the next run clears.
        if job {
            let _ = self.folder.remove();
        }
        if own && let Some(parent) = self.folder.root().parent() {
            // Nobody else was at work here when this run began, or `.larder` had been there.
            let _ = fs::remove_file(self.folder.root().with_extension("lock"));
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Why an entry is not taken.
enum Refusal {
    Entry(Problem),
    Command(CommandError),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Entry(problem)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Entry(error.into())
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Mismatch(mismatch) => Self::Entry(Problem::Content(mismatch.to_string())),
            BlobError::Io(error) => error.into(),
        }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

/// Some names, for a sentence.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        1..=5 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - 5),
    }
}
