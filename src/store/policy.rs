//! Where `keep:` becomes a deletion: what a store no longer needs. Pure: the same answer for the same question, whatever the disk.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::inventory::{Item, Key, Purpose};
use crate::config::{Keep, KeepRules, LockfileBlobs, Size};
use crate::types::{DagHash, IndexRequest, IndexStanding, MaxAge, Sha256Digest};

/// How long a blob without a record is kept: it came with a run that was killed before it could write one, and the next run may
/// need it and save itself the download.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// How old a last-used date must be to be worth writing where no age counts: people and `max-size` go by the dates.
const REFRESH: MaxAge = MaxAge::days(30);

/// What a store keeps. An item goes when any part of the policy drops it; one that this job used never goes. The default keeps
/// everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Keep only what answers a request for one of these specs (`keep: lockfile`).
    pub requested: Option<Requested>,
    /// What answers a request for one of these specs goes neither for its age nor for room.
    pub sheltered: HashSet<DagHash>,
    /// Drop what was not used for longer than this.
    pub max_age: Option<Duration>,
    /// Drop the least recently used until the rest is no larger than this many bytes.
    pub max_bytes: Option<u64>,
}

/// What `keep: lockfile` keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    /// The specs of all configured environments.
    pub specs: HashSet<DagHash>,
    /// The URLs of their mirrors, whose indexes stay, as far as these are known: all of them where they are not.
    pub mirrors: Option<HashSet<String>>,
}

/// What this job needs: blobs of caches, specs of what the branch built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    pub blobs: HashSet<Sha256Digest>,
    pub specs: HashSet<DagHash>,
}

/// Why an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It can't be used.
    Damaged,
    /// No configured environment has its spec, or a mirror rebuilt the binary.
    NotRequested,
    /// It is an index, and its mirror has another one by now.
    Superseded,
    /// No job used it for too long.
    TooOld,
    /// There is too much, and other items were used more recently.
    NoRoom,
}

/// An item that goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal<'a> {
    pub item: &'a Item,
    pub reason: Reason,
}

impl Policy {
    /// A `keep:` as a policy. `named` are the specs of all configured environments, which only some policies ask for.
    pub(crate) fn of<E>(keep: Keep, named: impl FnOnce() -> Result<Requested, E>) -> Result<Self, E> {
        Ok(match keep {
            Keep::All => Self::default(),
            // With `lockfile` alone, what the lockfiles name stays and nothing else does.
            Keep::Rules(KeepRules { max_age: None, max_size: None, lockfile: LockfileBlobs::Kept, .. }) => {
                Self { requested: Some(named()?), ..Self::default() }
            }
            Keep::Rules(KeepRules { max_age, max_size, lockfile, .. }) => Self {
                requested: None,
                sheltered: match lockfile {
                    LockfileBlobs::LikeOthers => HashSet::new(),
                    LockfileBlobs::Kept => named()?.specs,
                },
                max_age: max_age.map(MaxAge::as_duration),
                max_bytes: max_size.map(|Size(size)| size.as_u64()),
            },
        })
    }
}

/// How old a last-used date must be to be worth writing, since that is worth an upload: a quarter of the `max-age`.
pub(crate) fn refresh_after(keep: Keep) -> Duration {
    let max_age = match keep {
        Keep::Rules(KeepRules { max_age: Some(max_age), .. }) => max_age,
        _ => REFRESH,
    };
    max_age.as_duration() / 4
}

impl Requested {
    fn has_mirror_of(&self, indexes: &[IndexRequest]) -> bool {
        let is_known = |index: &IndexRequest| self.mirrors.as_ref().is_none_or(|known| known.contains(&index.mirror));
        indexes.iter().any(is_known)
    }
}

impl Used {
    fn contains(&self, key: &Key) -> bool {
        match key {
            Key::Blob(digest) => self.blobs.contains(digest),
            Key::Spec(hash, _) => self.specs.contains(hash),
        }
    }
}

/// Decide.
pub(crate) fn choose<'a>(items: &'a [Item], policy: &Policy, used: &Used, now: Timestamp) -> Vec<Removal<'a>> {
    let mut removals = Vec::new();
    let mut kept = Vec::new();
    let mut bytes = 0;
    for item in items {
        let answers = |specs: &HashSet<DagHash>| item.specs().any(|hash| specs.contains(&hash));
        let is_sheltered = used.contains(&item.key) || answers(&policy.sheltered);
        let age = Duration::try_from(now.duration_since(item.last_used)).unwrap_or_default();
        let is_superseded =
            |indexes: &[IndexRequest]| indexes.iter().all(|index| index.standing == IndexStanding::Superseded);
        let is_requested = match (&policy.requested, item.purpose) {
            (None, _) => true,
            (Some(requested), Purpose::Known) => answers(&requested.specs) || requested.has_mirror_of(item.indexes()),
            (Some(_), Purpose::UnknownSince(modified)) => now.duration_since(modified) < GRACE,
        };
        let reason = if item.damage.is_some() {
            Some(Reason::Damaged)
        } else if is_sheltered {
            None
        } else if !item.indexes().is_empty() && is_superseded(item.indexes()) {
            // Whatever the policy: it is large, and what it lists may be gone.
            Some(Reason::Superseded)
        } else if !is_requested {
            Some(Reason::NotRequested)
        } else {
            policy.max_age.filter(|max_age| age > *max_age).map(|_| Reason::TooOld)
        };
        if let Some(reason) = reason {
            removals.push(Removal { item, reason });
            continue;
        }
        bytes += item.bytes;
        if !is_sheltered {
            kept.push(item);
        }
    }
    kept.sort_by_key(|item| (item.last_used, &item.key));
    for item in kept {
        if policy.max_bytes.is_none_or(|max_bytes| bytes <= max_bytes) {
            break;
        }
        bytes = bytes.saturating_sub(item.bytes);
        removals.push(Removal { item, reason: Reason::NoRoom });
    }
    removals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::BlobReport;
    use crate::types::{BlobRole, Request};
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

    fn specs(numbers: &[u8]) -> Requested {
        Requested { specs: numbers.iter().copied().map(spec).collect(), mirrors: None }
    }

    /// An index of `https://m`.
    fn index(number: u8, standing: IndexStanding) -> Item {
        let mut item = blob((number, 10, 99, 0));
        item.blobs[0].requests.clear();
        let (mirror, document) = ("https://m".to_owned(), "x".to_owned());
        item.blobs[0].indexes = vec![IndexRequest { mirror, document, standing }];
        item
    }

    fn blob((number, bytes, used, answers): Row) -> Item {
        let (name, version) = ("x".parse().unwrap(), "1".parse().unwrap());
        let request = Request { name, version, hash: spec(answers), mirror: String::new(), role: BlobRole::Binary };
        let (digest, last_used) = (digest(number), day(used));
        let blob = BlobReport { digest, bytes, intact: None, last_used, requests: vec![request], indexes: Vec::new() };
        let key = Key::Blob(digest);
        Item { key, blobs: vec![blob], files: Vec::new(), bytes, last_used, purpose: Purpose::Known, damage: None }
    }

    fn cache(rows: &[Row]) -> Vec<Item> {
        let mut items: Vec<Item> = rows.iter().copied().map(blob).collect();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        items.dedup_by(|a, b| a.key == b.key);
        items
    }

    fn used_blobs(numbers: &[u8]) -> Used {
        Used { blobs: numbers.iter().map(|number| digest(*number)).collect(), specs: HashSet::new() }
    }

    fn digest_of(removal: &Removal<'_>) -> Sha256Digest {
        removal.item.blobs[0].digest
    }

    fn choices(rows: &[Row], policy: &Policy, used: &[u8], today: i64) -> Vec<(Sha256Digest, Reason)> {
        let items = cache(rows);
        let chosen = choose(&items, policy, &used_blobs(used), day(today));
        chosen.iter().map(|removal| (digest_of(removal), removal.reason)).collect()
    }

    /// Built specs: number, size, pushed on this day.
    fn built(rows: &[(u8, u64, i64)]) -> Vec<Item> {
        let item = |(index, (number, bytes, pushed)): (usize, &(u8, u64, i64))| {
            let key = Key::Spec(spec(*number), format!("{index}").into());
            Item {
                key,
                blobs: Vec::new(),
                files: Vec::new(),
                bytes: *bytes,
                last_used: day(*pushed),
                purpose: Purpose::Known,
                damage: None,
            }
        };
        rows.iter().enumerate().map(item).collect()
    }

    fn hash_of(item: &Item) -> DagHash {
        match &item.key {
            Key::Spec(hash, _) => *hash,
            Key::Blob(_) => unreachable!(),
        }
    }

    fn built_choices(items: &[Item], policy: &Policy, used: &[u8]) -> Vec<DagHash> {
        let used = Used { specs: used.iter().map(|number| spec(*number)).collect(), blobs: HashSet::new() };
        choose(items, policy, &used, day(100)).iter().map(|removal| hash_of(removal.item)).collect()
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
        let policy = Policy { requested: Some(specs(&[0])), ..Policy::default() };
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

    #[test]
    fn only_the_newest_index_of_a_mirror_stays_and_that_of_a_foreign_mirror_goes_with_its_specs() {
        let items = [index(1, IndexStanding::Newest), index(2, IndexStanding::Superseded)];
        let reasons = |policy: &Policy, used: &[u8]| {
            let chosen = choose(&items, policy, &used_blobs(used), day(100));
            chosen.iter().map(|removal| (digest_of(removal), removal.reason)).collect::<Vec<_>>()
        };
        let superseded = (digest(2), Reason::Superseded);
        assert_eq!(reasons(&Policy::default(), &[]), [superseded]);
        assert_eq!(reasons(&Policy::default(), &[2]), []);
        let keeping = |mirror: &str| {
            let requested = Requested { mirrors: Some([mirror.to_owned()].into()), ..specs(&[0]) };
            Policy { requested: Some(requested), ..Policy::default() }
        };
        assert_eq!(reasons(&keeping("https://m"), &[]), [superseded]);
        assert_eq!(reasons(&keeping("https://other"), &[]), [(digest(1), Reason::NotRequested), superseded]);
        let old = Policy { max_age: Some(Duration::from_secs(0)), ..Policy::default() };
        assert_eq!(reasons(&old, &[]), [(digest(1), Reason::TooOld), superseded]);
    }

    #[test]
    fn a_blob_without_a_record_has_a_day() {
        let policy = Policy { requested: Some(specs(&[0])), ..Policy::default() };
        let mut items = cache(&[(1, 10, 5, 1), (2, 10, 5, 1)]);
        items[0].purpose = Purpose::UnknownSince(day(99));
        items[1].purpose = Purpose::UnknownSince(day(98));
        let removals = choose(&items, &policy, &Used::default(), day(99));
        assert_eq!(removals.iter().map(digest_of).collect::<Vec<_>>(), [digest(2)]);
    }

    #[test]
    fn of_what_the_branch_built_stays_what_a_lockfile_names_or_the_job_used() {
        let items = built(&[(0, 1, 1), (1, 1, 1), (2, 1, 1)]);
        let policy = Policy { requested: Some(specs(&[0])), ..Policy::default() };
        assert_eq!(built_choices(&items, &policy, &[1]), [spec(2)]);
    }

    #[test]
    fn of_what_the_branch_built_the_oldest_go_first_and_no_more_than_needed() {
        let items = built(&[(0, 10, 5), (1, 10, 3), (2, 10, 4), (3, 10, 1)]);
        let policy = Policy { max_bytes: Some(25), ..Policy::default() };
        assert_eq!(built_choices(&items, &policy, &[3]), [spec(1), spec(2)]);
        let policy = Policy { max_age: Some(Duration::from_secs(96 * 86_400)), ..Policy::default() };
        assert_eq!(built_choices(&items, &policy, &[3]), [spec(1)]);
    }

    #[test]
    fn what_is_broken_goes_even_if_everything_is_kept_and_the_job_asked_for_it() {
        let mut items = built(&[(0, 1, 100)]);
        items[0].damage = Some("cut short".to_owned());
        assert_eq!(built_choices(&items, &Policy::default(), &[0]), [spec(0)]);
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
                requested: requested.map(|numbers| specs(&numbers.into_iter().collect::<Vec<_>>())),
                max_age: max_age.map(|days| Duration::from_secs(days * 86_400)),
                max_bytes,
                ..Policy::default()
            };
            let items = cache(&rows);
            let used = used_blobs(&used);
            let removed: HashSet<_> = choose(&items, &policy, &used, day(100)).iter().map(digest_of).collect();
            prop_assert!(removed.is_disjoint(&used.blobs));
            let kept: Vec<Item> = items.into_iter().filter(|item| !removed.contains(&item.blobs[0].digest)).collect();
            if let Some(max_bytes) = max_bytes {
                let of_used = kept.iter().filter(|item| used.contains(&item.key)).map(|item| item.bytes).sum();
                let all: u64 = kept.iter().map(|item| item.bytes).sum();
                prop_assert!(all <= max_bytes.max(of_used));
            }
            // Once pruned, there is nothing left to prune.
            prop_assert!(choose(&kept, &policy, &used, day(100)).is_empty());
        }

        #[test]
        fn what_the_job_installed_or_built_stays_and_no_bound_is_passed_by_the_rest(
            rows in prop::collection::vec((0u8..26, 0u64..1000, 0i64..100), 0..20),
            used in prop::collection::vec(0u8..26, 0..5),
            max_age in prop::option::of(0u64..100),
            max_bytes in prop::option::of(0u64..5000),
        ) {
            let items = built(&rows);
            let max_age = max_age.map(|days| Duration::from_secs(days * 86_400));
            let policy = Policy { max_age, max_bytes, ..Policy::default() };
            let used = Used { specs: used.into_iter().map(spec).collect(), blobs: HashSet::new() };
            let removed: Vec<_> =
                choose(&items, &policy, &used, day(100)).iter().map(|removal| removal.item.key.clone()).collect();
            prop_assert!(removed.iter().all(|key| !used.contains(key)));
            if let Some(max_bytes) = max_bytes {
                let rest = items.iter().filter(|item| !removed.contains(&item.key) && !used.contains(&item.key));
                prop_assert!(rest.map(|item| item.bytes).sum::<u64>() <= max_bytes);
            }
        }
    }
}
