//! Which blobs a cache no longer needs. Pure: the same answer for the same question, whatever the disk.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::store::{FoundBlob, Records};
use crate::types::{DagHash, Sha256Digest};

/// How long a blob without a record is kept.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// What a cache keeps. A blob goes when any part of the policy drops it; one that this job used never goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Keep only what answers a request for one of these specs (`keep: lockfile`).
    pub requested: Option<HashSet<DagHash>>,
    /// What answers a request for one of these specs goes neither for its age nor for room.
    pub sheltered: HashSet<DagHash>,
    /// Drop what was not used for longer than this.
    pub max_age: Option<Duration>,
    /// Drop the least recently used until the cache is no larger than this many bytes.
    pub max_bytes: Option<u64>,
}

/// Why a blob goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No configured environment has its spec, or a mirror rebuilt the binary.
    NotRequested,
    /// Nobody used it for too long.
    TooOld,
    /// The cache is too large, and others were used more recently.
    NoRoom,
}

/// A blob that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The blob.
    pub blob: FoundBlob,
    /// Why.
    pub reason: Reason,
}

/// Decide. `used` is what this job needs.
pub fn choose(
    blobs: &[FoundBlob],
    records: &Records,
    policy: &Policy,
    used: &HashSet<Sha256Digest>,
    now: Timestamp,
) -> Vec<Removal> {
    let last_used = |blob: &FoundBlob| records.get(blob.digest).map_or(blob.modified, |record| record.last_used);
    let mut sheltered = HashSet::new();
    let mut removals = Vec::new();
    let mut kept = Vec::new();
    for blob in blobs {
        let removal = if used.contains(&blob.digest) || answers(blob, records, &policy.sheltered) {
            sheltered.insert(blob.digest);
            None
        } else if !is_requested(blob, records, policy, now) {
            Some(Reason::NotRequested)
        } else {
            let age = Duration::try_from(now.duration_since(last_used(blob))).unwrap_or_default();
            policy.max_age.filter(|max_age| age > *max_age).map(|_| Reason::TooOld)
        };
        match removal {
            Some(reason) => removals.push(Removal { blob: *blob, reason }),
            None => kept.push(blob),
        }
    }
    if let Some(max_bytes) = policy.max_bytes {
        let mut bytes: u64 = kept.iter().map(|blob| blob.bytes).sum();
        kept.retain(|blob| !sheltered.contains(&blob.digest));
        kept.sort_by_key(|blob| (last_used(blob), blob.digest));
        for blob in kept {
            if bytes <= max_bytes {
                break;
            }
            bytes -= blob.bytes;
            removals.push(Removal { blob: *blob, reason: Reason::NoRoom });
        }
    }
    removals
}

/// A blob without a record came with a run that was killed before it could write one. The next run may need it and save
/// itself the download, so it gets a day.
fn is_requested(blob: &FoundBlob, records: &Records, policy: &Policy, now: Timestamp) -> bool {
    match (&policy.requested, records.get(blob.digest)) {
        (None, _) => true,
        (Some(requested), Some(_)) => answers(blob, records, requested),
        (Some(_), None) => now.duration_since(blob.modified) < GRACE,
    }
}

/// Whether a blob answers a request for one of these specs.
fn answers(blob: &FoundBlob, records: &Records, specs: &HashSet<DagHash>) -> bool {
    records.get(blob.digest).is_some_and(|record| record.requests.iter().any(|request| specs.contains(&request.hash)))
}

#[cfg(test)]
mod tests {
    use crate::store::prune::*;
    use crate::store::{RecordChanges, Use};
    use crate::types::BlobRole;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    /// A blob: number, size, last used on this day, spec it answers.
    type Row = (u8, u64, i64, u8);

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(number * DAY).unwrap()
    }

    fn digest(number: u8) -> Sha256Digest {
        Sha256Digest::from_bytes([number; 32])
    }

    fn spec(number: u8) -> DagHash {
        String::from(char::from(b'a' + number % 26)).repeat(32).parse().unwrap()
    }

    fn cache(rows: &[Row]) -> (Vec<FoundBlob>, Records) {
        let mut records = Records::default();
        let mut blobs: Vec<FoundBlob> = Vec::new();
        for (number, bytes, used, answers) in rows {
            if blobs.iter().any(|blob| blob.digest == digest(*number)) {
                continue;
            }
            let (name, version) = ("x".parse().unwrap(), "1".parse().unwrap());
            // A mirror of its own, so that no blob takes another's request.
            let mirror = format!("https://{number}");
            let needed = Use::new(digest(*number), *bytes, (&name, &version, spec(*answers)), mirror, BlobRole::Binary);
            let changes =
                RecordChanges { uses: vec![needed], gone: vec![], now: day(*used), refresh_after: Duration::ZERO };
            records = records.changed(&changes);
            blobs.push(FoundBlob { digest: digest(*number), bytes: *bytes, modified: day(0) });
        }
        (blobs, records)
    }

    fn choices(rows: &[Row], policy: &Policy, used: &[u8], today: i64) -> Vec<(Sha256Digest, Reason)> {
        let (blobs, records) = cache(rows);
        let used = used.iter().map(|number| digest(*number)).collect();
        let chosen = choose(&blobs, &records, policy, &used, day(today));
        chosen.iter().map(|removal| (removal.blob.digest, removal.reason)).collect()
    }

    #[test]
    fn old_blobs_go_unless_this_job_used_them() {
        let policy = Policy { max_age: Some(Duration::from_secs(30 * 86_400)), ..Policy::default() };
        let rows = [(1, 10, 60, 0), (2, 10, 71, 0), (3, 10, 1, 0)];
        assert_eq!(choices(&rows, &policy, &[3], 100), [(digest(1), Reason::TooOld)]);
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_needed() {
        let policy = Policy { max_bytes: Some(25), ..Policy::default() };
        let rows = [(1, 10, 5, 0), (2, 10, 3, 0), (3, 10, 4, 0), (4, 10, 1, 0)];
        assert_eq!(choices(&rows, &policy, &[4], 100), [(digest(2), Reason::NoRoom), (digest(3), Reason::NoRoom)]);
    }

    #[test]
    fn only_what_the_lockfiles_ask_for_stays() {
        let policy = Policy { requested: Some([spec(0)].into()), ..Policy::default() };
        let rows = [(1, 10, 5, 0), (2, 10, 5, 1)];
        assert_eq!(choices(&rows, &policy, &[], 100), [(digest(2), Reason::NotRequested)]);
    }

    #[test]
    fn what_the_lockfiles_ask_for_can_be_sheltered_from_age_and_size() {
        let policy = Policy {
            sheltered: [spec(0)].into(),
            max_age: Some(Duration::from_secs(86_400)),
            max_bytes: Some(5),
            ..Policy::default()
        };
        let rows = [(1, 10, 5, 0), (2, 10, 5, 1), (3, 10, 100, 1)];
        let expected = [(digest(2), Reason::TooOld), (digest(3), Reason::NoRoom)];
        assert_eq!(choices(&rows, &policy, &[], 100), expected);
    }

    proptest! {
        #[test]
        fn what_the_job_used_stays_and_no_bound_is_passed_by_the_rest(
            rows in prop::collection::vec((0u8..40, 0u64..1000, 0i64..100, 0u8..5), 0..40),
            used in prop::collection::vec(0u8..40, 0..10),
            max_age in prop::option::of(0u64..100),
            max_bytes in prop::option::of(0u64..10_000),
            requested in prop::option::of(prop::collection::hash_set(0u8..5, 0..5)),
        ) {
            let policy = Policy {
                requested: requested.map(|specs| specs.into_iter().map(spec).collect()),
                max_age: max_age.map(|days| Duration::from_secs(days * 86_400)),
                max_bytes,
                ..Policy::default()
            };
            let (blobs, records) = cache(&rows);
            let used: HashSet<_> = used.into_iter().map(digest).collect();
            let removed: HashSet<_> =
                choose(&blobs, &records, &policy, &used, day(100)).iter().map(|removal| removal.blob.digest).collect();
            prop_assert!(removed.is_disjoint(&used));
            let kept: Vec<_> = blobs.iter().filter(|blob| !removed.contains(&blob.digest)).collect();
            if let Some(max_bytes) = max_bytes {
                let of_used: u64 = kept.iter().filter(|blob| used.contains(&blob.digest)).map(|blob| blob.bytes).sum();
                let all: u64 = kept.iter().map(|blob| blob.bytes).sum();
                prop_assert!(all <= max_bytes.max(of_used));
            }
            // Once pruned, there is nothing left to prune.
            let left: Vec<_> = kept.into_iter().copied().collect();
            prop_assert!(choose(&left, &records, &policy, &used, day(100)).is_empty());
        }
    }
}
