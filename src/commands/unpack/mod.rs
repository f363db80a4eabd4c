//! `larder unpack`: an archive of the runner, or of `larder pack`, into the caches.
//!
//! The archive is somebody else's, so it is looked at to its end before any of it becomes visible. Blobs wait, verified, in
//! a folder for unfinished files; what goes wrong anywhere drops them all. Nothing is written outside of the configured
//! caches, since no path is made of a name in the archive: a name only says which blob, of which cache, it claims to be.

mod target;
mod workplace;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use miette::Diagnostic;
use thiserror::Error;

use self::target::Target;
use self::workplace::Workplace;
use super::{CommandError, pack};
use crate::archive::{self, Entry, EntryKind, Limits, Problem};
use crate::job::JobFolder;
use crate::pipeline::{Mode, Session, stores};
use crate::report::{ArchiveReport, Report};
use crate::reporter::Phase;
use crate::runner::{ArchivedRecords, Place};
use crate::store::{FoundBlob, Validation};
use crate::types::Sha256Digest;
use crate::verified::{BlobError, BlobWriter, verify_reader};
use crate::verified::{Expected, Size};

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

/// Unpack, or, with [`Mode::Pretend`], check everything and say what is in it.
pub fn unpack(session: &Session<'_>, path: &Path, mode: Mode) -> Result<Report, CommandError> {
    let mut targets = Vec::new();
    for entry in &session.config.caches {
        // A cache outside of the project folder has no path in any archive.
        if let Ok(prefix) = pack::prefix_of(session, entry) {
            targets.push(Target::new(stores::open_cache(session, entry)?, prefix));
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
        digest: Sha256Digest,
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
            let workplace = match &mut self.workplace {
                Some(workplace) => workplace,
                none => none.insert(Workplace::enter(self.session)?),
            };
            let area = workplace.area(&self.targets[position].cache)?;
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
            workplace.folder().write_report(&report)?;
        }
        Ok(report)
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
