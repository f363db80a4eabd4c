//! The connections of one blob: who joins, who is replaced, when all is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::slots::{Purpose, Slot};
use super::worker::{Ended, Source, Worker};
use super::{Event, Shared, host_of};
use crate::transport::error::TransportError;
use crate::transport::location::Location;

/// How often it is looked at whether a slow connection needs help.
const LOOK: Duration = Duration::from_millis(500);

/// The connections of one blob.
pub(super) struct Crew<'a> {
    shared: &'a Arc<Shared>,
    sources: Vec<Arc<Source>>,
    connections: JoinSet<(usize, Ended)>,
    /// Whether others may help.
    is_divisible: bool,
}

impl<'a> Crew<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, sources: &[&Location]) -> Self {
        let sources = sources.iter().map(|at| Arc::new(Source::new((*at).clone()))).collect();
        Self { shared, sources, connections: JoinSet::new(), is_divisible: false }
    }

    /// Open a connection to a source.
    pub(super) fn start(&mut self, source: usize, slot: Slot) {
        let worker = Worker { shared: Arc::clone(self.shared), source: Arc::clone(&self.sources[source]), slot };
        self.connections.spawn(async move { (source, worker.run().await) });
    }

    /// How many sources gave bytes.
    pub(super) fn contributors(&self) -> usize {
        self.sources.iter().filter(|source| source.has_contributed()).count()
    }

    /// Until the blob is there, or nobody is left to ask.
    pub(super) async fn work(
        &mut self,
        heard: &mut mpsc::UnboundedReceiver<Event>,
        count: &mut impl FnMut(Event),
    ) -> Result<(), Option<TransportError>> {
        let slots = &self.shared.transport.slots;
        let spare = |source: usize, at: &Source| {
            let (slots, host) = (Arc::clone(slots), host_of(&at.location));
            async move { (source, slots.acquire(&host, Purpose::Help).await) }
        };
        let mut applications = FuturesUnordered::new();
        let mut look = tokio::time::interval(LOOK);
        let mut failed = vec![false; self.sources.len()];
        let mut error = None;
        loop {
            if self.is_divisible && applications.is_empty() && self.is_worth_help() {
                for (position, source) in self.sources.iter().enumerate().filter(|(position, _)| !failed[*position]) {
                    applications.push(spare(position, source));
                }
            }
            tokio::select! {
                Some(event) = heard.recv() => {
                    self.is_divisible |= matches!(event, Event::Divisible);
                    count(event);
                }
                Some((source, slot)) = applications.next() => {
                    if self.is_worth_help() && !failed[source] {
                        self.start(source, slot);
                        if self.is_worth_help() {
                            applications.push(spare(source, &self.sources[source]));
                        }
                    }
                }
                Some(ended) = self.connections.join_next() => match ended {
                    Ok((_, Ended::Done)) => {}
                    Ok((_, Ended::WriterIsGone)) => return Err(None),
                    Ok((source, Ended::Failed(failure))) => {
                        failed[source] = true;
                        error.get_or_insert(failure);
                    }
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                _ = look.tick() => {}
            }
            if self.shared.work().is_done() {
                return Ok(());
            }
            if self.connections.is_empty() {
                let Some(next) = failed.iter().position(|failed| !failed) else { return Err(error) };
                applications.clear();
                let slot = slots.acquire(&host_of(&self.sources[next].location), Purpose::Start).await;
                self.start(next, slot);
            }
        }
    }

    fn is_worth_help(&self) -> bool {
        self.shared.work().is_worth_help(Instant::now())
    }
}
