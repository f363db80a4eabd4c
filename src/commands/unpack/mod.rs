//! `larder unpack`: an archive of the runner, or of `larder pack`, into the caches.
//!
//! The archive's origin is unknown, so nothing in it is believed. Entry by entry: the name says which blob, of which cache, it
//! claims to be, and no path is made of it; the data grows in a folder for unfinished files while it is hashed; what is right
//! gets its name in the cache. The first wrong entry ends the run. The blobs before it stay, since they are right whatever
//! follows; records and times are for an archive that was read to its end.

mod target;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use fs_err as fs;

use self::target::{Target, caller};
use super::error::{CommandError, few};
use crate::archive::{self, Entry, EntryKind, Limits, Problem, Stop};
use crate::job::{JobFolder, JobLock};
use crate::pipeline::{Mode, Session, stores};
use crate::report::{ArchiveReport, Report};
use crate::reporter::{Phase, PhaseProgress};
use crate::runner::archive_layout::{Place, parse_records, prefix_of};
use crate::store::MAX_BYTES;
use crate::types::Sha256Digest;
use crate::verified::{Expected, Size, verify_reader};

/// Unpack, or, with [`Mode::Pretend`], check everything and say what is in it.
pub fn unpack(session: &Session<'_>, path: &Path, mode: Mode) -> Result<Report, CommandError> {
    let mut targets = Vec::new();
    for entry in &session.config.caches {
        // A cache outside of the project folder has no path in any archive.
        if let Some(prefix) = prefix_of(&entry.path, &session.config.root) {
            targets.push(Target::new(session, stores::open_cache(session, entry)?, prefix));
        }
    }
    let progress = session.reporter.phase(Phase::Unpack, 0, None);
    let job = JobFolder::of(&session.config.root);
    let mut unpacking = Unpacking { session, mode, targets, job, lock: None, named: false, skipped: BTreeSet::new() };
    let read = archive::read(path, &Limits::default(), &mut |entry, data| unpacking.take(entry, data, &*progress));
    progress.finish();
    read.and_then(|()| unpacking.conclude(path))
}

struct Unpacking<'a> {
    session: &'a Session<'a>,
    mode: Mode,
    targets: Vec<Target<'a>>,
    /// Where blobs grow.
    job: JobFolder,
    /// Held from the first new blob on: an archive without any leaves no trace.
    lock: Option<JobLock>,
    /// Whether any entry is for one of the caches.
    named: bool,
    /// Folders and files that are for no cache.
    skipped: BTreeSet<String>,
}

impl Unpacking<'_> {
    /// Look at one entry and decide what it is.
    fn take(
        &mut self,
        entry: &Entry,
        data: &mut dyn Read,
        progress: &dyn PhaseProgress,
    ) -> Result<(), Stop<CommandError>> {
        let below =
            |(position, target): (usize, &Target<'_>)| Some((position, entry.name.below(&target.prefix)?.to_owned()));
        let Some((position, below)) = self.targets.iter().enumerate().find_map(below) else {
            self.skip(entry);
            return Ok(());
        };
        self.named = true;
        let place = match entry.kind {
            EntryKind::Folder => Place::of_folder(&below),
            EntryKind::File => Place::of_file(&below),
        };
        match place {
            Some(Place::Folder) => self.targets[position].take_folder(&below, entry),
            Some(Place::Records) => self.take_records(position, entry, data)?,
            Some(Place::Blob(digest)) => {
                let item = progress.item(&digest.to_string(), Some(entry.bytes));
                let advance = |bytes| item.read(bytes);
                self.take_blob(position, digest, entry, data, &advance)?;
                item.finish();
            }
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
        on_bytes: &dyn Fn(usize),
    ) -> Result<(), Stop<CommandError>> {
        let expected = Expected { digest, size: Size::Exactly(entry.bytes) };
        let target = &mut self.targets[position];
        if !target.lacks(expected, entry).map_err(caller)? || self.mode == Mode::Pretend {
            verify_reader(data, expected, on_bytes)?;
            return Ok(());
        }
        if self.lock.is_none() {
            // Otherwise another larder could take unfinished files for leftovers.
            let waiting = || self.session.inform("waiting for another larder in this project folder");
            self.lock = Some(self.job.enter(waiting).map_err(caller)?);
        }
        target.receive(expected, entry, data, &self.job.partial(), on_bytes)
    }

    fn take_records(&mut self, position: usize, entry: &Entry, data: &mut dyn Read) -> Result<(), Stop<CommandError>> {
        if entry.bytes > MAX_BYTES {
            return Err(Problem::Content(format!("records are at most {MAX_BYTES} bytes long")).into());
        }
        let mut text = Vec::new();
        data.read_to_end(&mut text)?;
        match parse_records(&text) {
            Ok(records) => self.targets[position].take_records(records, entry),
            // A loss of dates and no more, as in a cache folder.
            Err(reason) => self.session.warn(&format!("the records `{}` are skipped: {reason}", entry.name)),
        }
        Ok(())
    }

    /// Remember what is for no cache, by the folder that it belongs to.
    fn skip(&mut self, entry: &Entry) {
        let name = entry.name.as_str();
        let leads_to_cache =
            |target: &Target<'_>| target.prefix.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        if entry.kind == EntryKind::Folder && self.targets.iter().any(leads_to_cache) {
            return;
        }
        let depth = if name.starts_with(".larder/") { 2 } else { 1 };
        let shown: Vec<&str> = name.split('/').take(depth).collect();
        self.skipped.insert(shown.join("/"));
    }

    /// The archive is right to its end: complete what it brought.
    fn conclude(&mut self, path: &Path) -> Result<Report, CommandError> {
        let holds: Vec<String> = self.skipped.iter().cloned().collect();
        if !self.named {
            let caches = self.targets.iter().map(|target| target.prefix.clone()).collect();
            return Err(CommandError::NothingForCaches { path: path.to_owned(), holds, caches });
        }
        if !holds.is_empty() {
            let skipped = few(&holds);
            self.session.warn(&format!("the archive holds what is no cache's; it is skipped: {skipped}"));
        }
        let mut report = Report::new("unpack");
        let bytes = fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
        let blobs = self.targets.iter().map(Target::blobs).sum();
        report.archive = Some(ArchiveReport { path: path.display().to_string(), bytes, blobs });
        let partial = self.job.partial();
        for target in &mut self.targets {
            report.caches.push(match self.mode {
                Mode::Act => target.conclude(&partial)?,
                Mode::Pretend => target.describe()?,
            });
        }
        let report = self.session.conclude(report);
        if self.lock.is_some() {
            self.job.write_report(&report)?;
        }
        Ok(report)
    }
}
