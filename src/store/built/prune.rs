//! Which specs the folder no longer needs. Pure, as for caches.
//!
//! Nobody writes down when a spec was last used: that would be an upload in each pipeline. So an age is the time since the push.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::built::{BuiltSpec, Contents};
use crate::store::prune::Policy;
use crate::types::DagHash;

/// Decide. `used` is what this job built or installed from the folder: it stays whatever the policy says, unless it is broken.
pub fn choose<'a>(
    contents: &'a Contents,
    policy: &Policy,
    used: &HashSet<DagHash>,
    now: Timestamp,
) -> Vec<&'a BuiltSpec> {
    let mut removals = Vec::new();
    let mut kept = Vec::new();
    for spec in &contents.specs {
        let is_safe = used.contains(&spec.hash) || policy.sheltered.contains(&spec.hash);
        let age = Duration::try_from(now.duration_since(spec.modified)).unwrap_or_default();
        let is_named = policy.requested.as_ref().is_none_or(|requested| requested.contains(&spec.hash));
        let is_young = policy.max_age.is_none_or(|max_age| age <= max_age);
        if spec.damage.is_none() && (is_safe || (is_named && is_young)) {
            kept.push((is_safe, spec));
        } else {
            removals.push(spec);
        }
    }
    if let Some(max_bytes) = policy.max_bytes {
        let mut bytes: u64 = kept.iter().map(|(_, spec)| spec.bytes).sum();
        kept.sort_by_key(|(_, spec)| (spec.modified, spec.hash));
        for (_, spec) in kept.iter().filter(|(is_safe, _)| !is_safe) {
            if bytes <= max_bytes {
                break;
            }
            bytes = bytes.saturating_sub(spec.bytes);
            removals.push(spec);
        }
    }
    removals
}

#[cfg(test)]
mod tests {
    use crate::store::built::prune::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(number * DAY).unwrap()
    }

    fn hash(number: u8) -> DagHash {
        String::from(char::from(b'a' + number % 26)).repeat(32).parse().unwrap()
    }

    /// Specs: number, size, pushed on this day.
    fn folder(rows: &[(u8, u64, i64)]) -> Contents {
        let spec = |(number, bytes, pushed): &(u8, u64, i64)| BuiltSpec {
            hash: hash(*number),
            metadata: format!("{number}").into(),
            blobs: Vec::new(),
            bytes: *bytes,
            modified: day(*pushed),
            damage: None,
        };
        Contents { specs: rows.iter().map(spec).collect(), ..Contents::default() }
    }

    fn choices(contents: &Contents, policy: &Policy, used: &[u8]) -> Vec<DagHash> {
        let used = used.iter().map(|number| hash(*number)).collect();
        choose(contents, policy, &used, day(100)).iter().map(|spec| spec.hash).collect()
    }

    #[test]
    fn what_no_lockfile_names_goes_and_what_the_job_used_stays() {
        let contents = folder(&[(0, 1, 1), (1, 1, 1), (2, 1, 1)]);
        let policy = Policy { requested: Some([hash(0)].into()), ..Policy::default() };
        assert_eq!(choices(&contents, &policy, &[1]), [hash(2)]);
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_needed() {
        let contents = folder(&[(0, 10, 5), (1, 10, 3), (2, 10, 4), (3, 10, 1)]);
        let policy = Policy { max_bytes: Some(25), ..Policy::default() };
        assert_eq!(choices(&contents, &policy, &[3]), [hash(1), hash(2)]);
        let policy = Policy { max_age: Some(Duration::from_secs(96 * 86_400)), ..Policy::default() };
        assert_eq!(choices(&contents, &policy, &[3]), [hash(1)]);
    }

    #[test]
    fn what_is_broken_goes_even_if_everything_is_kept_and_the_job_asked_for_it() {
        let mut contents = folder(&[(0, 1, 100)]);
        contents.specs[0].damage = Some("cut short".to_owned());
        assert_eq!(choices(&contents, &Policy::default(), &[0]), [hash(0)]);
    }

    proptest! {
        #[test]
        fn what_the_job_used_stays_and_no_bound_is_passed_by_the_rest(
            rows in prop::collection::vec((0u8..26, 0u64..1000, 0i64..100), 0..20),
            used in prop::collection::vec(0u8..26, 0..5),
            max_age in prop::option::of(0u64..100),
            max_bytes in prop::option::of(0u64..5000),
        ) {
            let contents = folder(&rows);
            let max_age = max_age.map(|days| Duration::from_secs(days * 86_400));
            let policy = Policy { max_age, max_bytes, ..Policy::default() };
            let used: HashSet<_> = used.into_iter().map(hash).collect();
            let removed: Vec<_> = choose(&contents, &policy, &used, day(100)).iter().map(|spec| spec.metadata.clone()).collect();
            let kept: Vec<_> = contents.specs.iter().filter(|spec| !removed.contains(&spec.metadata)).collect();
            prop_assert!(contents.specs.iter().filter(|spec| used.contains(&spec.hash)).all(|spec| kept.iter().any(|kept| kept.hash == spec.hash)));
            if let Some(max_bytes) = max_bytes {
                let bytes: u64 = kept.iter().filter(|spec| !used.contains(&spec.hash)).map(|spec| spec.bytes).sum();
                prop_assert!(bytes <= max_bytes);
            }
        }
    }
}
