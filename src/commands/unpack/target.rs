//! What one cache takes in of an archive: blobs at once, records and times at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::archive::{Entry, Stop};
use crate::commands::error::CommandError;
use crate::fs::{Exclusion, Lock};
use crate::job::{JobFolder, JobLock};
use crate::pipeline::{Mode, Session, stores};
use crate::report::{BlobReport, CacheReport};
use crate::runner::archive_layout::{folders_of, is_there, set_modified};
use crate::store::{Cache, FILE_NAME, Record, Records, StoreError, Validation};
use crate::types::Sha256Digest;
use crate::verified::{Expected, Size, receive_blob, verify_reader};

/// Where blobs grow: the job folder. It is entered when the first new blob comes, so that an archive without any leaves no trace.
pub(super) struct Workplace<'a> {
    session: &'a Session<'a>,
    mode: Mode,
    folder: JobFolder,
    lock: Option<JobLock>,
}

/// A cache, and what the archive has for it.
pub(super) struct Target<'a> {
    session: &'a Session<'a>,
    cache: Cache,
    /// Its path in archives.
    pub prefix: String,
    /// Held from the first new blob on.
    lock: Option<Lock>,
    found: Found,
}

/// What the archive has for a cache.
#[derive(Default)]
struct Found {
    /// All blobs.
    blobs: BTreeMap<Sha256Digest, BlobReport>,
    /// What was not there before: paths below the cache's folder.
    new: BTreeSet<String>,
    /// The times of folders and records in the archive, by their paths below the cache's folder.
    times: BTreeMap<String, i64>,
    records: Option<Records>,
    added: u64,
    added_bytes: u64,
    corrupt: u64,
}

impl<'a> Workplace<'a> {
    pub(super) fn new(session: &'a Session<'a>, mode: Mode) -> Self {
        Self { session, mode, folder: JobFolder::of(&session.config.root), lock: None }
    }

    /// The folder for unfinished files, out of which no other larder may throw them.
    fn enter(&mut self) -> Result<PathBuf, CommandError> {
        if self.lock.is_none() {
            let waiting = || self.session.inform("waiting for another larder in this project folder");
            self.lock = Some(self.folder.enter(waiting)?);
        }
        Ok(self.folder.partial())
    }

    /// The job folder, if blobs grew in it.
    pub(super) fn entered(&self) -> Option<&JobFolder> {
        self.lock.is_some().then_some(&self.folder)
    }
}

impl<'a> Target<'a> {
    pub(super) fn new(session: &'a Session<'a>, cache: Cache, prefix: String) -> Self {
        Self { session, cache, prefix, lock: None, found: Found::default() }
    }

    /// How many blobs the archive has for it.
    pub(super) fn blobs(&self) -> u64 {
        self.found.blobs.len() as u64
    }

    /// Remember the time of a folder.
    pub(super) fn take_folder(&mut self, below: &str, entry: &Entry) {
        self.found.times.extend(entry.modified.map(|modified| (below.to_owned(), modified)));
    }

    /// Remember the records.
    pub(super) fn take_records(&mut self, records: Records, entry: &Entry) {
        self.take_folder(FILE_NAME, entry);
        self.found.records = Some(records);
    }

    /// Read a blob to its end, and store it if the cache lacks it and this is no dry run.
    pub(super) fn take_blob(
        &mut self,
        digest: Sha256Digest,
        entry: &Entry,
        data: &mut dyn Read,
        workplace: &mut Workplace<'_>,
        on_bytes: &dyn Fn(usize),
    ) -> Result<(), Stop<CommandError>> {
        let expected = Expected { digest, size: Size::Exactly(entry.bytes) };
        let last_used = Timestamp::from_second(entry.modified.unwrap_or(0)).unwrap_or_default();
        let blob = BlobReport { digest, bytes: entry.bytes, intact: Some(true), last_used, requests: Vec::new() };
        let is_first = self.found.blobs.insert(digest, blob).is_none();
        let found = if is_first { Some(self.cache.validate(expected, &|_| ()).map_err(caller)?) } else { None };
        let is_missing = matches!(found, Some(Validation::Missing | Validation::Corrupt(_)));
        if is_missing && workplace.mode == Mode::Act {
            let partial = workplace.enter().map_err(Stop::Caller)?;
            if self.lock.is_none() {
                // Nothing may be pruned while blobs are added.
                let waiting =
                    || self.session.inform(&format!("waiting for a job that uses cache `{}`", self.cache.name()));
                self.lock = Some(self.cache.lock(Exclusion::Shared, waiting).map_err(caller)?);
            }
            let staging = self.cache.staging(&partial)?;
            let blob = receive_blob(data, expected, &staging, on_bytes)?;
            self.expect(folders_of(digest));
            let stored = self.cache.insert(blob, &partial).map_err(caller)?;
            if let Some(modified) = entry.modified {
                set_modified(stored.path(), self.credible(modified))?;
            }
        } else {
            verify_reader(data, expected, on_bytes)?;
        }
        if is_missing {
            self.found.added += 1;
            self.found.added_bytes += entry.bytes;
            self.found.corrupt += u64::from(matches!(found, Some(Validation::Corrupt(_))));
        }
        Ok(())
    }

    /// The whole archive was read: join the records, and give what is new the times that it had.
    pub(super) fn conclude(&mut self, partial: &Path) -> Result<CacheReport, CommandError> {
        let recorded = match self.found.records.take() {
            Some(records) => {
                self.expect(vec![String::new()]);
                let cache = &self.cache;
                let is_here = |digest| cache.size_of(digest).is_some();
                cache.replace_records(|old| old.merged(&records, is_here, self.session.now), partial)?
            }
            None => false,
        };
        // In a job also a new folder gets a new time: one with old times only would be no change to the runner.
        if self.session.variables.set("CI_JOB_ID").is_some() {
            self.found.new.remove("");
        }
        for (below, modified) in self.found.times.iter().filter(|(below, _)| self.found.new.contains(*below)) {
            set_modified(&self.path_below(below), self.credible(*modified)).map_err(self.cache.failed("set a time"))?;
        }
        let state = stores::state_of(self.session, &self.cache)?;
        Ok(CacheReport {
            added: self.found.added,
            corrupt: self.found.corrupt,
            changed: self.found.added > 0 || recorded,
            ..state
        })
    }

    /// What would come in, and all that the archive has.
    pub(super) fn describe(&self) -> Result<CacheReport, CommandError> {
        let before = stores::state_of(self.session, &self.cache)?;
        let describe = |blob: &BlobReport| {
            let blob = blob.clone();
            match self.found.records.as_ref().and_then(|records| records.get(blob.digest)) {
                Some(Record { last_used, requests, .. }) => {
                    BlobReport { last_used: *last_used, requests: requests.clone(), ..blob }
                }
                None => blob,
            }
        };
        Ok(CacheReport {
            added: self.found.added,
            blobs: before.blobs + self.found.added - self.found.corrupt,
            bytes: before.bytes + self.found.added_bytes,
            corrupt: self.found.corrupt,
            contents: self.found.blobs.values().map(describe).collect(),
            ..before
        })
    }

    /// Note which of these folders, and whether the records, are still to be made. What is there already has a time of its own,
    /// and gets a new one where something is added to it: the runner is to see that.
    fn expect(&mut self, folders: Vec<String>) {
        for below in folders.into_iter().chain([FILE_NAME.to_owned()]) {
            if !is_there(&self.path_below(&below)) {
                self.found.new.insert(below);
            }
        }
    }

    fn path_below(&self, below: &str) -> PathBuf {
        // `join` would end the path of the cache's own folder with a `/`.
        if below.is_empty() { self.cache.root().to_owned() } else { self.cache.root().join(below) }
    }

    /// A time to come would make the runner upload after every job, and keep the blob from ever growing old; one before 1970 is
    /// no file system's.
    fn credible(&self, modified: i64) -> u64 {
        u64::try_from(modified.min(self.session.now.as_second())).unwrap_or(0)
    }
}

fn caller(error: StoreError) -> Stop<CommandError> {
    Stop::Caller(error.into())
}
