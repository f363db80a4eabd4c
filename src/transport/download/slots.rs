//! The right to have a connection open: a bound on all of them together, shared fairly.
//!
//! Who starts on a blob waits for a slot in line. A large blob takes further slots, spare ones, as long as nobody waits to
//! start. A free slot goes to the host that has the fewest, so that blobs of a slow mirror can't occupy all of them while those
//! of a fast one wait. A host that says that it has too many connections gets fewer from then on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All slots.
#[derive(Debug)]
pub struct Slots {
    state: Mutex<State>,
}

/// The right to one connection to one host, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    host: String,
}

/// What a slot is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To start on a blob.
    Start,
    /// To help with a blob that is under way.
    Help,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    hosts: HashMap<String, Host>,
}

#[derive(Debug, Default)]
struct Host {
    in_use: usize,
    /// No more than this, since the host said so.
    at_most: Option<usize>,
    starting: VecDeque<oneshot::Sender<Slot>>,
    helping: VecDeque<oneshot::Sender<Slot>>,
}

impl Slots {
    pub(crate) fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free: connections, hosts: HashMap::new() }) })
    }

    /// Wait for a slot.
    pub(super) async fn acquire(self: &Arc<Self>, host: &str, purpose: Purpose) -> Slot {
        loop {
            let receive = self.lock().stand_in_line(host, purpose);
            self.hand_out();
            // Fails never: a line is dropped only together with all slots.
            if let Ok(slot) = receive.await {
                return slot;
            }
        }
    }

    /// Whether somebody waits to start on a blob.
    fn are_wanted(&self) -> bool {
        self.lock().hosts.values().any(|host| host.starting.iter().any(|waiting| !waiting.is_closed()))
    }

    /// Give free slots to those who wait.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let Some((waiting, host)) = self.lock().next() else { return };
            // Whoever gave up waiting returns the slot by dropping it.
            let _ = waiting.send(Slot { slots: Arc::clone(self), host });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether it is for connections to this host.
    pub(super) fn is_for(&self, host: &str) -> bool {
        self.host == host
    }

    /// Whether somebody waits to start on another blob.
    pub(super) fn is_wanted(&self) -> bool {
        self.slots.are_wanted()
    }

    /// The host refused this connection because there are too many: it gets no more than the others that are open. Says
    /// whether there are any.
    pub(super) fn is_one_too_many(&self) -> bool {
        let mut state = self.slots.lock();
        let Some(host) = state.hosts.get_mut(&self.host) else { return false };
        let others = host.in_use - 1;
        if others > 0 {
            let at_most = host.at_most.map_or(others, |at_most| at_most.min(others));
            if host.at_most != Some(at_most) {
                tracing::info!("`{}` takes no more than {at_most} connections", self.host);
            }
            host.at_most = Some(at_most);
        }
        others > 0
    }
}

impl State {
    fn stand_in_line(&mut self, host: &str, purpose: Purpose) -> oneshot::Receiver<Slot> {
        let (give, receive) = oneshot::channel();
        let line = self.hosts.entry(host.to_owned()).or_default();
        match purpose {
            Purpose::Start => line.starting.push_back(give),
            Purpose::Help => line.helping.push_back(give),
        }
        receive
    }

    /// Take a free slot for the one whose turn it is.
    fn next(&mut self) -> Option<(oneshot::Sender<Slot>, String)> {
        if self.free == 0 {
            return None;
        }
        for host in self.hosts.values_mut() {
            host.starting.retain(|waiting| !waiting.is_closed());
            host.helping.retain(|waiting| !waiting.is_closed());
        }
        let fewest = |line: fn(&Host) -> &VecDeque<oneshot::Sender<Slot>>| {
            let may_have = |host: &Host| host.at_most.is_none_or(|at_most| host.in_use < at_most);
            let waiting = self.hosts.iter().filter(|(_, host)| may_have(host) && !line(host).is_empty());
            waiting.min_by_key(|(name, host)| (host.in_use, *name)).map(|(name, _)| name.clone())
        };
        let starting = fewest(|host| &host.starting);
        let name = starting.clone().or_else(|| fewest(|host| &host.helping))?;
        let host = self.hosts.get_mut(&name)?;
        let line = if starting.is_some() { &mut host.starting } else { &mut host.helping };
        let waiting = line.pop_front()?;
        host.in_use += 1;
        self.free -= 1;
        Some((waiting, name))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.free += 1;
        if let Some(host) = state.hosts.get_mut(&self.host) {
            host.in_use -= 1;
        }
        drop(state);
        self.slots.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn take(slots: &Arc<Slots>, host: &str, purpose: Purpose) -> Option<Slot> {
        slots.acquire(host, purpose).now_or_never()
    }

    #[test]
    fn there_are_no_more_than_that_and_a_dropped_one_comes_back() {
        let slots = Slots::new(2);
        let (one, two) = (take(&slots, "a", Purpose::Start), take(&slots, "b", Purpose::Start));
        assert!(one.is_some() && two.is_some());
        assert!(take(&slots, "a", Purpose::Start).is_none());
        drop(one);
        assert!(take(&slots, "a", Purpose::Start).is_some());
    }

    #[tokio::test]
    async fn a_slow_mirror_leaves_slots_to_the_others() {
        let slots = Slots::new(3);
        let mut held: Vec<_> = (0..3).filter_map(|_| take(&slots, "slow", Purpose::Start)).collect();
        let mut waiting_slow = Box::pin(slots.acquire("slow", Purpose::Start));
        let mut waiting_fast = Box::pin(slots.acquire("fast", Purpose::Start));
        assert!(waiting_slow.as_mut().now_or_never().is_none());
        assert!(waiting_fast.as_mut().now_or_never().is_none());
        held.pop();
        let fast = waiting_fast.as_mut().now_or_never();
        assert!(fast.is_some(), "though the other one was first");
        assert!(waiting_slow.as_mut().now_or_never().is_none());
        drop(held);
        assert!(waiting_slow.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_helps_comes_after_who_starts() {
        let slots = Slots::new(1);
        let held = take(&slots, "a", Purpose::Start).unwrap();
        let mut helper = Box::pin(slots.acquire("b", Purpose::Help));
        assert!(helper.as_mut().now_or_never().is_none());
        let mut starter = Box::pin(slots.acquire("a", Purpose::Start));
        assert!(starter.as_mut().now_or_never().is_none());
        assert!(slots.are_wanted());
        drop(held);
        let begun = starter.as_mut().now_or_never();
        assert!(begun.is_some() && !slots.are_wanted());
        drop(begun);
        assert!(helper.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_host_that_has_too_many_gets_fewer() {
        let slots = Slots::new(8);
        let mut held: Vec<_> = (0..4).filter_map(|_| take(&slots, "a", Purpose::Start)).collect();
        let refused = held.pop().unwrap();
        assert!(refused.is_one_too_many());
        drop(refused);
        assert!(take(&slots, "a", Purpose::Start).is_none() && take(&slots, "b", Purpose::Start).is_some());
        let last = held.pop().unwrap();
        drop(held);
        assert!(!last.is_one_too_many(), "one is the least");
        assert!(take(&slots, "a", Purpose::Start).is_some());
    }

    #[tokio::test]
    async fn who_stops_waiting_costs_no_slot() {
        let slots = Slots::new(1);
        let held = take(&slots, "a", Purpose::Start).unwrap();
        let mut given_up = Box::pin(slots.acquire("a", Purpose::Start));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        drop(held);
        assert!(take(&slots, "a", Purpose::Start).is_some());
    }
}
