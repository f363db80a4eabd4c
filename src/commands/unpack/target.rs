//! What one cache takes in of an archive that was found right to its end.

use std::collections::HashSet;
use std::path::Path;

use super::UnpackError;
use crate::commands::CommandError;
use crate::fs::Exclusion;
use crate::pipeline::{Session, stores};
use crate::report::{BlobReport, CacheReport};
use crate::runner::ArchivedRecords;
use crate::store::{Cache, FoundBlob};
use crate::verified::VerifiedBlob;

/// A cache, and what the archive has for it.
pub(super) struct Target {
    pub cache: Cache,
    /// Its path in archives.
    pub prefix: String,
    /// Verified blobs that the cache lacks, with their times.
    pub staged: Vec<(VerifiedBlob, Option<i64>)>,
    /// Blobs that the cache has, and that were read and found right.
    pub present: Vec<FoundBlob>,
    /// Folders of the archive and their times.
    pub folders: Vec<(String, i64)>,
    pub records: Option<ArchivedRecords>,
    pub records_modified: Option<i64>,
    /// All blobs that the archive has for it.
    pub blobs: Vec<FoundBlob>,
    pub corrupt: u64,
    pub is_named: bool,
}

impl Target {
    pub(super) fn new(cache: Cache, prefix: String) -> Self {
        let (staged, present, folders, blobs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (records, records_modified) = (None, None);
        Self { cache, prefix, staged, present, folders, records, records_modified, blobs, corrupt: 0, is_named: false }
    }

    /// Give the blobs their names, and folders and records that are new the times that they had.
    pub(super) fn bring_in(&mut self, session: &Session<'_>, staging: &Path) -> Result<CacheReport, CommandError> {
        let cache = &self.cache;
        if self.staged.is_empty() && self.records.is_none() {
            return Ok(stores::state_of(session, cache)?);
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
        // In a job also where there was no folder: one with old times only would be no change to the runner.
        if session.variables.get("CI_JOB_ID").is_some_and(|id| !id.is_empty()) {
            dates.retain(|(below, _)| !below.is_empty());
        }
        // A time to come would make the runner upload after every job, and keep the blob from ever growing old; one before
        // 1970 is no file system's.
        let credible = |modified: i64| modified.clamp(0, session.now.as_second());
        let added = self.staged.len() as u64;
        for (blob, modified) in self.staged.drain(..) {
            let stored = cache.insert(blob, staging)?;
            if let Some(modified) = modified {
                cache.date_blob(&stored, credible(modified))?;
            }
        }
        let recorded = match &self.records {
            Some(records) => cache.merge_records(records, session.now, staging)?,
            None => false,
        };
        for (below, modified) in &dates {
            cache.date(below, credible(*modified))?;
        }
        let state = stores::state_of(session, cache)?;
        Ok(CacheReport { added, corrupt: self.corrupt, changed: added > 0 || recorded, ..state })
    }

    /// What would come in, and all that the archive has.
    pub(super) fn describe(&self, session: &Session<'_>) -> Result<CacheReport, CommandError> {
        let before = stores::state_of(session, &self.cache)?;
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
