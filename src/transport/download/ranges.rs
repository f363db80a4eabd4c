//! Which bytes of a blob are still to be fetched, and which connection fetches which: decided here, without any input or
//! output.
//!
//! A connection takes a stretch of what is left: long ones first, short ones towards the end, so that all are done at about
//! the same time. Where nothing is left to take and a connection is slow, the rest of its stretch is divided: the slowest
//! connection does not hold up the blob.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use rangemap::RangeSet;

/// The shortest stretch worth a request of its own.
pub(super) const MIN_STRETCH: u64 = 8 << 20;

/// The longest stretch: what is lost to others while one slow connection has it.
const MAX_STRETCH: u64 = 128 << 20;

/// How much is asked for first where the metadata states no size.
const PROBE: u64 = 32 << 20;

/// The least that is taken away from a slow connection.
const MIN_DIVIDED: u64 = 1 << 20;

/// A stretch that is done sooner than this is left to its connection: taking it away would break the connection off, and what
/// is on the line then is lost, and paid for.
const SLOW: Duration = Duration::from_secs(5);

/// So many times slower than others is slow. Where all are, it is the line, and to divide anything would not help.
const TIMES_SLOWER: f64 = 2.0;

/// Names a stretch that is being fetched.
pub(super) type StretchId = u64;

/// What is left of one blob.
#[derive(Debug)]
pub(super) struct Ranges {
    /// The size, once it is known.
    size: Option<u64>,
    /// No more than this in any case.
    limit: u64,
    /// Divides what is left: how many connections there may be.
    connections: u64,
    unassigned: RangeSet<u64>,
    active: BTreeMap<StretchId, Stretch>,
    next_id: StretchId,
    /// The pace of the stretch that was done last, in bytes a second.
    usual_pace: Option<f64>,
    /// A server sends the whole file whatever it is asked for: no other connection can help.
    is_one_stream: bool,
}

#[derive(Debug)]
struct Stretch {
    next: u64,
    end: u64,
    began: Instant,
    fetched: u64,
}

impl Stretch {
    fn remaining(&self) -> u64 {
        self.end - self.next
    }

    /// Bytes a second so far.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn pace(&self, now: Instant) -> f64 {
        self.fetched as f64 / now.duration_since(self.began).as_secs_f64().max(0.001)
    }

    /// How long it will take at its pace so far, in seconds, if that is too long: others do better.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn overlong(&self, now: Instant, others: Option<f64>) -> Option<f64> {
        let pace = self.pace(now);
        let is_slower = others.is_some_and(|others| pace * TIMES_SLOWER < others);
        let seconds = self.remaining() as f64 / pace.max(0.001);
        let is_known = now.duration_since(self.began) >= SLOW / 2;
        (is_known && is_slower && seconds > SLOW.as_secs_f64()).then_some(seconds)
    }
}

impl Ranges {
    /// The ranges of a blob of which `arrived` is there already.
    pub(super) fn new(size: Option<u64>, limit: u64, arrived: &RangeSet<u64>, connections: usize) -> Self {
        let whole = 0..size.unwrap_or(limit);
        let unassigned = if whole.is_empty() { RangeSet::new() } else { arrived.gaps(&whole).collect() };
        let connections = u64::try_from(connections.max(1)).unwrap_or(1);
        let (active, next_id, usual_pace, is_one_stream) = Default::default();
        Self { size, limit, connections, unassigned, active, next_id, usual_pace, is_one_stream }
    }

    /// The size of the blob, once it is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether every byte has arrived.
    pub(super) fn is_done(&self) -> bool {
        self.size.is_some() && self.unassigned.is_empty() && self.active.is_empty()
    }

    /// Whether the blob is fetched by one connection alone.
    pub(super) fn is_alone(&self) -> bool {
        self.active.len() <= 1
    }

    /// Whether a server sends the file from its beginning whatever it is asked for.
    pub(super) fn is_one_stream(&self) -> bool {
        self.is_one_stream
    }

    /// Whether another connection would make it faster.
    pub(super) fn is_worth_help(&self, now: Instant) -> bool {
        if self.is_one_stream || self.size.is_none() {
            return false;
        }
        !self.unassigned.is_empty() || self.slowest(now).is_some()
    }

    /// A stretch for a connection that has nothing to do.
    pub(super) fn take(&mut self, now: Instant) -> Option<(StretchId, Range<u64>)> {
        if self.is_one_stream {
            return None;
        }
        let range = match (self.unassigned.first().cloned(), self.size) {
            // How much there is, the first answer will say.
            (Some(_), None) if !self.active.is_empty() => return None,
            (Some(gap), None) => gap.start..gap.end.min(gap.start.saturating_add(PROBE)),
            (Some(gap), Some(_)) => {
                let left: u64 = self.unassigned.iter().map(|gap| gap.end - gap.start).sum();
                let stretch = (left / (2 * self.connections)).clamp(MIN_STRETCH, MAX_STRETCH);
                // No crumbs.
                let is_short = gap.end - gap.start < stretch + stretch / 2;
                if is_short { gap } else { gap.start..gap.start + stretch }
            }
            (None, _) => {
                let slowest = self.slowest(now)?;
                let stretch = self.active.get_mut(&slowest)?;
                let middle = stretch.next + stretch.remaining() / 2;
                let taken = middle..stretch.end;
                stretch.end = middle;
                taken
            }
        };
        self.unassigned.remove(range.clone());
        let id = self.next_id;
        self.next_id += 1;
        self.active.insert(id, Stretch { next: range.start, end: range.end, began: now, fetched: 0 });
        Some((id, range))
    }

    /// So many bytes came in for a stretch: from where, and how many of them are wanted. What is beyond its end, since it was
    /// divided meanwhile, is not.
    pub(super) fn advance(&mut self, id: StretchId, bytes: u64) -> (u64, u64) {
        let Some(stretch) = self.active.get_mut(&id) else { return (0, 0) };
        let wanted = bytes.min(stretch.remaining());
        let from = stretch.next;
        stretch.next += wanted;
        stretch.fetched += wanted;
        (from, wanted)
    }

    /// The next byte of a stretch that has not come in.
    pub(super) fn position(&self, id: StretchId) -> u64 {
        self.active.get(&id).map_or(0, |stretch| stretch.next)
    }

    /// Whether all bytes of a stretch came in.
    pub(super) fn is_complete(&self, id: StretchId) -> bool {
        self.active.get(&id).is_none_or(|stretch| stretch.remaining() == 0)
    }

    /// The stretch is over; what did not come in is for others.
    pub(super) fn give_back(&mut self, id: StretchId, now: Instant) {
        if let Some(stretch) = self.active.remove(&id) {
            if stretch.remaining() > 0 {
                self.unassigned.insert(stretch.next..stretch.end);
            } else if stretch.fetched >= MIN_DIVIDED {
                self.usual_pace = Some(stretch.pace(now));
            }
        }
        if self.active.is_empty() {
            self.is_one_stream = false;
        }
    }

    /// A server said how large the file is.
    pub(super) fn learn_size(&mut self, size: u64) {
        if self.size.is_none() {
            self.size = Some(size);
            if size < self.limit {
                self.unassigned.remove(size..self.limit);
            }
            for stretch in self.active.values_mut() {
                stretch.end = stretch.end.min(size).max(stretch.next);
            }
        }
    }

    /// A server sends the whole file instead of a stretch. Possible only for a connection that is alone: what arrived so far
    /// is fetched again. Says whether it may go on.
    pub(super) fn becomes_one_stream(&mut self, id: StretchId, length: Option<u64>) -> bool {
        if !self.is_alone() {
            return false;
        }
        if let Some(length) = length {
            self.learn_size(length);
        }
        self.unassigned = RangeSet::new();
        let end = self.size.unwrap_or(self.limit);
        if let Some(stretch) = self.active.get_mut(&id) {
            (stretch.next, stretch.end) = (0, end);
        }
        self.is_one_stream = true;
        true
    }

    /// The one stream of the whole file ended: that is its size, where none was stated.
    pub(super) fn ends_here(&mut self, id: StretchId) {
        if let (None, Some(stretch)) = (self.size, self.active.get_mut(&id)) {
            stretch.end = stretch.next;
            self.size = Some(stretch.next);
        }
    }

    /// The stretch that will take longest, if that is long enough to divide it.
    fn slowest(&self, now: Instant) -> Option<StretchId> {
        let slow = self.active.iter().filter(|(_, stretch)| stretch.remaining() >= 2 * MIN_DIVIDED);
        let slow = slow.filter_map(|(id, stretch)| Some((stretch.overlong(now, self.usual_pace)?, *id)));
        slow.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn ranges(size: u64) -> Ranges {
        Ranges::new(Some(size), size, &RangeSet::new(), 8)
    }

    #[test]
    fn long_stretches_come_first_and_short_ones_last() {
        let mut ranges = ranges(800 * MIB);
        let now = Instant::now();
        let lengths: Vec<u64> =
            std::iter::from_fn(|| ranges.take(now)).map(|(_, range)| range.end - range.start).collect();
        assert_eq!(lengths.iter().sum::<u64>(), 800 * MIB);
        assert_eq!(lengths[0], 50 * MIB);
        let (_, last) = lengths.split_last().map(|(_, all)| all.split_at(all.len() - 8)).unwrap();
        assert!(lengths.len() < 64 && last.iter().all(|length| *length == MIN_STRETCH), "{lengths:?}");
    }

    #[test]
    fn a_slow_connection_gives_half_of_the_rest_away_and_another_keeps_it() {
        let mut ranges = ranges(16 * MIB);
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let (slow, range) = ranges.take(began).unwrap();
        assert_eq!(range, 0..8 * MIB);
        ranges.advance(slow, 2 * MIB);
        let (other, range) = ranges.take(began).unwrap();
        assert_eq!(ranges.take(after(9)), None, "slow, but others may be no faster");
        ranges.advance(other, range.end - range.start);
        ranges.give_back(other, after(2));
        assert_eq!(ranges.take(after(2)), None, "it is not known yet how slow it is");
        let (_, taken) = ranges.take(after(9)).unwrap();
        assert_eq!(taken, 5 * MIB..8 * MIB);
        assert_eq!(ranges.advance(slow, 6 * MIB), (2 * MIB, 3 * MIB), "the rest is another connection's now");
        assert!(ranges.is_complete(slow));
    }

    #[test]
    fn without_a_size_one_connection_asks_first() {
        let mut ranges = Ranges::new(None, 1 << 40, &RangeSet::new(), 8);
        let now = Instant::now();
        let (first, range) = ranges.take(now).unwrap();
        assert_eq!(range, 0..PROBE);
        assert!(ranges.take(now).is_none() && !ranges.is_worth_help(now));
        ranges.learn_size(100 * MIB);
        assert!(ranges.is_worth_help(now));
        assert_eq!(ranges.take(now).unwrap().1.start, PROBE);
        ranges.advance(first, PROBE);
        assert!(ranges.is_complete(first));
    }

    #[test]
    fn a_whole_file_starts_over_and_only_for_a_connection_that_is_alone() {
        let mut ranges = ranges(100 * MIB);
        let now = Instant::now();
        let (first, _) = ranges.take(now).unwrap();
        let (second, _) = ranges.take(now).unwrap();
        assert!(!ranges.becomes_one_stream(first, Some(100 * MIB)));
        ranges.give_back(second, now);
        ranges.advance(first, MIB);
        assert!(ranges.becomes_one_stream(first, Some(100 * MIB)));
        assert!(ranges.take(now).is_none() && !ranges.is_worth_help(now + Duration::from_secs(60)));
        assert_eq!(ranges.advance(first, 100 * MIB), (0, 100 * MIB));
        ranges.give_back(first, now);
        assert!(ranges.is_done());
    }

    proptest! {
        /// However connections come, go and break, each byte is fetched once.
        #[test]
        fn every_byte_is_fetched_once(
            size in 0u64..200 * MIB,
            arrived in prop::collection::vec((0u64..200 * MIB, 1u64..20 * MIB), 0..4),
            steps in prop::collection::vec((any::<bool>(), 0usize..8, 1u64..30 * MIB), 0..200),
        ) {
            let arrived: RangeSet<u64> =
                arrived.into_iter().map(|(start, length)| start..(start + length)).collect();
            let mut fetched: RangeSet<u64> = arrived.clone();
            let mut ranges = Ranges::new(Some(size), size, &arrived, 4);
            let mut now = Instant::now();
            let mut held = Vec::new();
            let finish = [(false, 0, 0); 8].into_iter().chain((0..2000).map(|step| (true, step, 30 * MIB)));
            for (advance, which, bytes) in steps.into_iter().chain(finish) {
                now += Duration::from_millis(700);
                if !advance || held.is_empty() {
                    if let Some(position) = held.len().checked_sub(1).filter(|_| bytes > 0 && !advance) {
                        ranges.give_back(held.remove(which % (position + 1)), now);
                    }
                    held.extend(ranges.take(now).map(|(id, _)| id));
                    continue;
                }
                let id = held[which % held.len()];
                let (from, wanted) = ranges.advance(id, bytes);
                if wanted > 0 {
                    prop_assert!(!fetched.overlaps(&(from..from + wanted)), "fetched twice: {from}, {wanted}");
                    fetched.insert(from..from + wanted);
                }
                if ranges.is_complete(id) {
                    ranges.give_back(id, now);
                    held.retain(|other| *other != id);
                }
            }
            prop_assert!(ranges.is_done(), "{ranges:?}");
            prop_assert!(size == 0 || fetched.gaps(&(0..size)).next().is_none());
        }
    }
}
