//! The right to have a connection open: a bound on all of them together, shared fairly.
//!
//! A download that starts waits for a permit in line. A large blob takes further permits, spare ones, as long as no other
//! blob waits to start. A free permit goes to the host that has the fewest, so that blobs of a slow mirror can't occupy all of
//! them while those of a fast one wait. A host that says that it has too many connections gets fewer from then on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All permits of a transport.
#[derive(Debug)]
pub struct Permits {
    state: Mutex<State>,
}

/// The right to one connection to one host, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    host: String,
}

/// What a permit is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
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
    /// Requests that wait, by [`Priority`].
    lines: [VecDeque<oneshot::Sender<Permit>>; 2],
}

impl Permits {
    pub(super) fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free: connections, hosts: HashMap::new() }) })
    }

    /// Wait for a permit.
    pub(super) async fn acquire(self: &Arc<Self>, host: &str, priority: Priority) -> Permit {
        loop {
            let receive = self.lock().stand_in_line(host, priority);
            self.hand_out();
            // Fails never: a line is dropped only together with all permits.
            if let Ok(permit) = receive.await {
                return permit;
            }
        }
    }

    /// Whether a blob waits to be started on.
    fn are_wanted(&self) -> bool {
        self.lock()
            .hosts
            .values()
            .any(|host| host.lines[Priority::Start as usize].iter().any(|waiting| !waiting.is_closed()))
    }

    /// Give free permits to the requests that wait.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let Some((waiting, host)) = self.lock().next() else { return };
            // A request that was given up returns the permit by dropping it.
            let _ = waiting.send(Permit { permits: Arc::clone(self), host });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Whether it is for connections to this host.
    pub(super) fn is_for(&self, host: &str) -> bool {
        self.host == host
    }

    /// Whether another blob waits to be started on.
    pub(super) fn is_wanted(&self) -> bool {
        self.permits.are_wanted()
    }

    /// The host refused this connection because there are too many: from now on it gets no more than the others that are
    /// open. Says whether there are any; without, the limit stays.
    pub(super) fn lower_limit(&self) -> bool {
        let mut state = self.permits.lock();
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
    fn stand_in_line(&mut self, host: &str, priority: Priority) -> oneshot::Receiver<Permit> {
        let (give, receive) = oneshot::channel();
        self.hosts.entry(host.to_owned()).or_default().lines[priority as usize].push_back(give);
        receive
    }

    /// Take a free permit for the request whose turn it is.
    fn next(&mut self) -> Option<(oneshot::Sender<Permit>, String)> {
        if self.free == 0 {
            return None;
        }
        for line in self.hosts.values_mut().flat_map(|host| &mut host.lines) {
            line.retain(|waiting| !waiting.is_closed());
        }
        let (name, line) = [Priority::Start as usize, Priority::Help as usize].into_iter().find_map(|line| {
            let may_have_more = |host: &Host| host.at_most.is_none_or(|at_most| host.in_use < at_most);
            let waiting = self.hosts.iter().filter(|(_, host)| may_have_more(host) && !host.lines[line].is_empty());
            waiting.min_by_key(|(name, host)| (host.in_use, *name)).map(|(name, _)| (name.clone(), line))
        })?;
        let host = self.hosts.get_mut(&name)?;
        let waiting = host.lines[line].pop_front()?;
        host.in_use += 1;
        self.free -= 1;
        Some((waiting, name))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.permits.lock();
        state.free += 1;
        if let Some(host) = state.hosts.get_mut(&self.host) {
            host.in_use -= 1;
        }
        drop(state);
        self.permits.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn take(permits: &Arc<Permits>, host: &str, priority: Priority) -> Option<Permit> {
        permits.acquire(host, priority).now_or_never()
    }

    #[test]
    fn there_are_no_more_than_that_and_a_dropped_one_comes_back() {
        let permits = Permits::new(2);
        let (one, two) = (take(&permits, "a", Priority::Start), take(&permits, "b", Priority::Start));
        assert!(one.is_some() && two.is_some());
        assert!(take(&permits, "a", Priority::Start).is_none());
        drop(one);
        assert!(take(&permits, "a", Priority::Start).is_some());
    }

    #[tokio::test]
    async fn a_slow_mirror_leaves_permits_to_the_others() {
        let permits = Permits::new(3);
        let mut held: Vec<_> = (0..3).filter_map(|_| take(&permits, "slow", Priority::Start)).collect();
        let mut waiting_slow = Box::pin(permits.acquire("slow", Priority::Start));
        let mut waiting_fast = Box::pin(permits.acquire("fast", Priority::Start));
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
    async fn help_comes_after_a_start() {
        let permits = Permits::new(1);
        let held = take(&permits, "a", Priority::Start).unwrap();
        let mut helper = Box::pin(permits.acquire("b", Priority::Help));
        assert!(helper.as_mut().now_or_never().is_none());
        let mut starter = Box::pin(permits.acquire("a", Priority::Start));
        assert!(starter.as_mut().now_or_never().is_none());
        assert!(permits.are_wanted());
        drop(held);
        let begun = starter.as_mut().now_or_never();
        assert!(begun.is_some() && !permits.are_wanted());
        drop(begun);
        assert!(helper.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_host_that_has_too_many_gets_fewer() {
        let permits = Permits::new(8);
        let mut held: Vec<_> = (0..4).filter_map(|_| take(&permits, "a", Priority::Start)).collect();
        let refused = held.pop().unwrap();
        assert!(refused.lower_limit());
        drop(refused);
        assert!(take(&permits, "a", Priority::Start).is_none() && take(&permits, "b", Priority::Start).is_some());
        let last = held.pop().unwrap();
        drop(held);
        assert!(!last.lower_limit(), "one is the least");
        assert!(take(&permits, "a", Priority::Start).is_some());
    }

    #[tokio::test]
    async fn a_request_that_was_given_up_costs_no_permit() {
        let permits = Permits::new(1);
        let held = take(&permits, "a", Priority::Start).unwrap();
        let mut given_up = Box::pin(permits.acquire("a", Priority::Start));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        drop(held);
        assert!(take(&permits, "a", Priority::Start).is_some());
    }
}
