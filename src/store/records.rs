//! `larder.json`: what each blob of a cache is for, and when a job last needed it.
//!
//! The records are for people (`larder list`) and for pruning; nothing is ever trusted because a record says so. A damaged
//! file is therefore no more than a loss of dates: the blobs are validated and recorded again when they are next needed.
//!
//! The file is written only when it says something new. A last-used date is refreshed only when it is older than a
//! given age, since each writing of it makes the runner upload the whole cache.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::types::{BlobRole, DagHash, IndexRequest, IndexStanding, Purpose, Request, Sha256Digest};

/// The version of the file's format.
pub(crate) const FORMAT: u64 = 1;

/// The name of the file in the cache folder.
pub(crate) const FILE_NAME: &str = "larder.json";

/// The most bytes of the file that are read: stops a hostile archive from filling the memory. A record takes some 400 bytes.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// The longest key of a cache: GitLab's are no longer than this, and what is longer in an archive is not copied into the job folder.
const LONGEST_KEY: usize = 1024;

/// Why a text is not the records of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotRecords {
    /// A newer larder wrote it, in this format.
    Newer(u64),
    /// It is not JSON of this shape.
    Damaged(String),
}

/// All records of a cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Records {
    version: u64,
    /// The key under which the runner was to save this, by the last job that changed something. The next job learns from it
    /// whether it started from another key's archive.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    saved_as: Option<String>,
    blobs: BTreeMap<Sha256Digest, Record>,
}

/// What is known of one blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its size in bytes.
    pub bytes: u64,
    /// When a job last needed it.
    pub last_used: Timestamp,
    /// The requests that it answers. None is left when a mirror rebuilt the binary and every request has a newer answer.
    pub requests: Vec<Request>,
    /// The mirrors whose index it is. One that a mirror has replaced says so, since nothing else tells it from a blob that no
    /// request is left for, and it is large.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexRequest>,
}

/// A job's need of a blob.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    /// The blob.
    pub digest: Sha256Digest,
    /// Its size.
    pub bytes: u64,
    /// What for.
    pub purpose: Purpose,
}

/// What to change in the records of a cache: applied to the newest version of the file, since another job may have written
/// it in the meantime.
#[derive(Clone, Debug)]
pub(crate) struct RecordChanges {
    /// What this job needed.
    pub uses: Vec<Use>,
    /// Now.
    pub now: Timestamp,
    /// How old a date must be to be worth a new upload.
    pub refresh_after: Duration,
}

impl Default for Records {
    fn default() -> Self {
        Self { version: FORMAT, saved_as: None, blobs: BTreeMap::new() }
    }
}

impl Records {
    /// The record of a blob.
    pub(crate) fn get(&self, digest: Sha256Digest) -> Option<&Record> {
        self.blobs.get(&digest)
    }

    /// The key under which the runner was to save this, unless it is longer than GitLab takes.
    pub(crate) fn key(&self) -> Option<&str> {
        self.saved_as.as_deref().filter(|key| key.len() <= LONGEST_KEY)
    }

    /// With the key under which the runner is to save this.
    #[must_use]
    pub(crate) fn saved_as(&self, key: &str) -> Self {
        Self { saved_as: Some(key.to_owned()), ..self.clone() }
    }

    /// Without what is known of blobs that are gone.
    #[must_use]
    pub(crate) fn retained(&self, is_here: impl Fn(Sha256Digest) -> bool) -> Self {
        let mut records = self.clone();
        records.blobs.retain(|digest, _| is_here(*digest));
        records
    }

    /// Apply changes. The result differs from `self` only where the file has to be written.
    #[must_use]
    pub(crate) fn changed(&self, changes: &RecordChanges) -> Self {
        let mut records = self.clone();
        // The last answer to a question takes it from all others. One pass for all uses: a hostile archive may have left a
        // million requests here.
        let mut answers = HashMap::new();
        let mut indexes: HashMap<_, HashSet<_>> = HashMap::new();
        for Use { digest, purpose, .. } in &changes.uses {
            match purpose {
                Purpose::Spec(request) => drop(answers.insert(question(request), *digest)),
                Purpose::Index(index) => drop(indexes.entry(index_question(index)).or_default().insert(*digest)),
            }
        }
        for (digest, record) in &mut records.blobs {
            record.requests.retain(|known| answers.get(&question(known)).is_none_or(|answer| answer == digest));
            for known in &mut record.indexes {
                if indexes.get(&index_question(known)).is_some_and(|newest| !newest.contains(digest)) {
                    known.standing = IndexStanding::Superseded;
                }
            }
        }
        for needed in &changes.uses {
            let record = records.note(needed, changes.now, changes.refresh_after);
            match &needed.purpose {
                Purpose::Spec(request) if answers.get(&question(request)) == Some(&needed.digest) => {
                    if !record.requests.contains(request) {
                        record.requests.push(request.clone());
                        sort(&mut record.requests);
                    }
                }
                Purpose::Spec(_) => {}
                Purpose::Index(index) => {
                    record.indexes.retain(|known| index_question(known) != index_question(index));
                    record.indexes.push(index.clone());
                    sort_indexes(&mut record.indexes);
                }
            }
        }
        records
    }

    /// Add what another cache knows of the same blobs. `is_here` tells which blobs there are; `now` bounds dates.
    ///
    /// Which of two answers to one request is the later one is not known, so both keep it: the next job that needs the
    /// request settles it.
    #[must_use]
    pub(crate) fn merged(&self, other: &Self, is_here: impl Fn(Sha256Digest) -> bool, now: Timestamp) -> Self {
        let mut records = self.clone();
        for (digest, theirs) in other.blobs.iter().filter(|(digest, _)| is_here(**digest)) {
            // A date in the future, from a machine with a wrong clock, would keep the blob for ever.
            let last_used = theirs.last_used.min(now);
            let record = records.blobs.entry(*digest).or_insert_with(|| Record { last_used, ..theirs.clone() });
            record.last_used = record.last_used.max(last_used);
            // Looked up by hash: a small archive holds many requests, and comparing each with each takes the square of their
            // number.
            let known: HashSet<&Request> = record.requests.iter().collect();
            let new: Vec<Request> =
                theirs.requests.iter().filter(|request| !known.contains(request)).cloned().collect();
            record.requests.extend(new);
            sort(&mut record.requests);
            let known: HashSet<(String, String)> =
                record.indexes.iter().map(|index| (index.mirror.clone(), index.document.clone())).collect();
            let is_new = |index: &&IndexRequest| !known.contains(&(index.mirror.clone(), index.document.clone()));
            record.indexes.extend(theirs.indexes.iter().filter(is_new).cloned());
            sort_indexes(&mut record.indexes);
        }
        records
    }

    fn note(&mut self, needed: &Use, now: Timestamp, refresh_after: Duration) -> &mut Record {
        let Use { digest, bytes, .. } = needed;
        let new = || Record { bytes: *bytes, last_used: now, requests: Vec::new(), indexes: Vec::new() };
        let record = self.blobs.entry(*digest).or_insert_with(new);
        record.bytes = *bytes;
        // A date in the future, from a machine with a wrong clock, would keep the blob for ever.
        let age = now.duration_since(record.last_used);
        if age.is_negative() || age.unsigned_abs() > refresh_after {
            record.last_used = now;
        }
        record
    }

    /// Read the file, and say what is wrong where it is damaged and counts as empty.
    pub(super) fn read(path: &Path) -> Result<(Self, Option<String>), StoreError> {
        let text = match crate::fs::read_capped(path, MAX_BYTES) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok((Self::default(), None)),
            Err(error) => return Ok((Self::default(), Some(error.to_string()))),
        };
        match Self::parse(&text) {
            Ok(records) => Ok((records, None)),
            Err(NotRecords::Newer(found)) => Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT }),
            Err(NotRecords::Damaged(error)) => Ok((Self::default(), Some(format!("{}: {error}", path.display())))),
        }
    }

    /// Parse the file's text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, NotRecords> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        if let Ok(Version { version }) = serde_json::from_slice(text)
            && version > FORMAT
        {
            return Err(NotRecords::Newer(version));
        }
        serde_json::from_slice(text).map_err(|error| NotRecords::Damaged(error.to_string()))
    }

    /// How many blobs have a record.
    pub(super) fn len(&self) -> usize {
        self.blobs.len()
    }

    /// The file's text: one record a line would be hard to read in a diff, so it is indented JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

fn sort(requests: &mut [Request]) {
    requests.sort_by(|a, b| (&a.name, a.hash, &a.mirror).cmp(&(&b.name, b.hash, &b.mirror)));
}

fn sort_indexes(indexes: &mut [IndexRequest]) {
    indexes.sort_by(|a, b| index_question(a).cmp(&index_question(b)));
}

/// Which index is asked for.
fn index_question(index: &IndexRequest) -> (&str, &str) {
    (&index.mirror, &index.document)
}

/// What a request asks for. A later answer to the same question supersedes the earlier one: the mirror rebuilt the binary.
fn question(request: &Request) -> (DagHash, &str, BlobRole) {
    (request.hash, &request.mirror, request.role)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn digest(byte: u8) -> Sha256Digest {
        Sha256Digest::from_bytes([byte; 32])
    }

    fn uses(digest: Sha256Digest, package: &str, day: i64) -> RecordChanges {
        let (name, version) = (package.parse().unwrap(), "1".parse().unwrap());
        let hash = "a".repeat(32).parse().unwrap();
        let request = Request { name, version, hash, mirror: "https://m".to_owned(), role: BlobRole::Binary };
        let needed = Use { digest, bytes: 5, purpose: Purpose::Spec(request) };
        RecordChanges { uses: vec![needed], now: day_number(day), refresh_after: 7 * DAY }
    }

    fn day_number(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    #[test]
    fn a_date_is_refreshed_only_when_it_is_old_enough() {
        let first = Records::default().changed(&uses(digest(1), "app", 100));
        assert_eq!(first.changed(&uses(digest(1), "app", 107)), first);
        let later = first.changed(&uses(digest(1), "app", 108));
        assert_eq!(later.get(digest(1)).unwrap().last_used, day_number(108));
    }

    #[test]
    fn a_date_in_the_future_is_corrected() {
        let first = Records::default().changed(&uses(digest(1), "app", 100));
        assert_eq!(first.changed(&uses(digest(1), "app", 50)).get(digest(1)).unwrap().last_used, day_number(50));
    }

    #[test]
    fn a_rebuilt_binary_takes_the_request_from_the_old_one() {
        let records = Records::default().changed(&uses(digest(1), "app", 1)).changed(&uses(digest(2), "app", 2));
        assert!(records.get(digest(1)).unwrap().requests.is_empty());
        assert_eq!(records.get(digest(2)).unwrap().requests.len(), 1);
    }

    fn index_use(digest: Sha256Digest, mirror: &str) -> RecordChanges {
        let (mirror, document) = (mirror.to_owned(), "v3/index.manifest.json".to_owned());
        let purpose = Purpose::Index(IndexRequest { mirror, document, standing: IndexStanding::Newest });
        RecordChanges { uses: vec![Use { digest, bytes: 5, purpose }], now: day_number(1), refresh_after: DAY }
    }

    #[test]
    fn a_newer_index_of_the_same_mirror_supersedes_the_older_one_until_that_is_back() {
        let standing = |records: &Records, byte| {
            let indexes = &records.get(digest(byte)).unwrap().indexes;
            indexes.iter().map(|index| index.standing).collect::<Vec<_>>()
        };
        let other = Records::default().changed(&index_use(digest(3), "https://other"));
        let first = other.changed(&index_use(digest(1), "https://m"));
        let second = first.changed(&index_use(digest(2), "https://m"));
        assert_eq!(standing(&second, 1), [IndexStanding::Superseded]);
        assert_eq!(standing(&second, 2), [IndexStanding::Newest]);
        assert_eq!(standing(&second, 3), [IndexStanding::Newest]);
        let back = second.changed(&index_use(digest(1), "https://m"));
        assert_eq!(
            (standing(&back, 1), standing(&back, 2)),
            (vec![IndexStanding::Newest], vec![IndexStanding::Superseded])
        );
        assert_eq!(back.changed(&index_use(digest(1), "https://m")), back, "nothing new, nothing to write");
        assert_eq!(serde_json::from_slice::<Records>(&back.to_json()).unwrap(), back);
        let merged = Records::default().merged(&back, |_| true, day_number(2));
        assert_eq!(standing(&merged, 2), [IndexStanding::Superseded]);
    }

    /// 22 KB of archive hold 8,000 requests for one blob. Comparing each with each took a second for those, and minutes here.
    #[test]
    fn many_requests_for_one_blob_are_joined_in_no_time() {
        let request = |number: usize| {
            let Purpose::Spec(mut request) = uses(digest(1), "app", 1).uses.remove(0).purpose else { unreachable!() };
            request.mirror = format!("https://m/{number}");
            request
        };
        let with = |numbers: std::ops::Range<usize>| {
            let requests = numbers.map(request).collect();
            let record = Record { bytes: 5, last_used: day_number(1), requests, indexes: Vec::new() };
            Records { blobs: [(digest(1), record)].into(), ..Records::default() }
        };
        let started = std::time::Instant::now();
        let merged = with(0..60_000).merged(&with(30_000..90_000), |_| true, day_number(2));
        assert_eq!(merged.get(digest(1)).unwrap().requests.len(), 90_000);
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let records = Records::default().changed(&uses(digest(1), "app", 1));
        assert_eq!(serde_json::from_slice::<Records>(&records.to_json()).unwrap(), records);
    }
}
