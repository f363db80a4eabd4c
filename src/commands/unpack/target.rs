//! What one cache takes in of an archive: blobs at once, records and times at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::archive::{Entry, Stop};
use crate::commands::error::CommandError;
use crate::fs::{Exclusion, Lock};
use crate::pipeline::{Session, stores};
use crate::report::{BlobReport, CacheReport};
use crate::runner::archive_layout::{folders_of, is_there, set_modified};
use crate::store::{Cache, FILE_NAME, Record, Records, StoreError, Validation};
use crate::types::Sha256Digest;
use crate::verified::{Expected, receive_blob};

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

    /// Note a blob of the archive. Says whether the cache lacks it.
    pub(super) fn lacks(&mut self, expected: Expected, entry: &Entry) -> Result<bool, StoreError> {
        let (digest, bytes) = (expected.digest, entry.bytes);
        let last_used = Timestamp::from_second(entry.modified.unwrap_or(0)).unwrap_or_default();
        let blob =
            BlobReport { digest, bytes, intact: Some(true), last_used, requests: Vec::new(), indexes: Vec::new() };
        if self.found.blobs.insert(digest, blob).is_some() {
            return Ok(false);
        }
        let found = self.cache.validate(expected, &|_| ())?;
        if matches!(found, Validation::Intact(_)) {
            return Ok(false);
        }
        self.found.added += 1;
        self.found.added_bytes += bytes;
        self.found.corrupt += u64::from(matches!(found, Validation::Corrupt(_)));
        Ok(true)
    }

    /// Read a blob to its end, and store it.
    pub(super) fn receive(
        &mut self,
        expected: Expected,
        entry: &Entry,
        data: &mut dyn Read,
        partial: &Path,
        on_bytes: &dyn Fn(usize),
    ) -> Result<(), Stop<CommandError>> {
        if self.lock.is_none() {
            // Nothing may be pruned while blobs are added.
            let waiting = || self.session.inform(&format!("waiting for a job that uses {}", self.cache));
            self.lock = Some(self.cache.lock(Exclusion::Shared, waiting).map_err(caller)?);
        }
        let staging = self.cache.staging(partial)?;
        let blob = receive_blob(data, expected, &staging, on_bytes)?;
        self.expect(folders_of(expected.digest));
        let stored = self.cache.insert(blob, partial).map_err(caller)?;
        if let Some(modified) = entry.modified {
            set_modified(stored.path(), self.credible(modified))?;
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
                cache.change_records(partial, |old| old.merged(&records, is_here, self.session.now))?
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

pub(super) fn caller(error: impl Into<CommandError>) -> Stop<CommandError> {
    Stop::Caller(error.into())
}
