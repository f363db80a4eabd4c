//! The connections of one blob: when another one joins, when one is replaced, when all is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::attempt::Attempt;
use super::connection::{Connection, Source};
use super::permits::{Permit, Permits, Priority};
use crate::transport::error::TransportError;

/// How often it is looked at whether a slow connection needs help.
const LOOK: Duration = Duration::from_millis(500);

/// Go on until the blob is there, no source is left to ask (the first error is returned), or the writer has ended, which has an
/// error of its own.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    sources: &[Source],
    permits: &Arc<Permits>,
    permit: Permit,
) -> Result<(), TransportError> {
    let connect = |source: usize, permit| async move {
        (source, Connection { attempt, source: &sources[source], permit }.run().await)
    };
    let acquire = |source: usize, priority| async move {
        (source, permits.acquire(&sources[source].location.server(), priority).await)
    };
    let is_worth_help = || attempt.ranges().is_worth_help(Instant::now());
    let mut connections = FuturesUnordered::from_iter([connect(0, permit)]);
    let mut applications = FuturesUnordered::new();
    let mut look = tokio::time::interval(LOOK);
    let mut is_divisible = false;
    let mut failed = vec![false; sources.len()];
    let mut first_error = None;
    loop {
        if is_divisible && applications.is_empty() && is_worth_help() {
            let left = (0..sources.len()).filter(|source| !failed[*source]);
            applications.extend(left.map(|source| acquire(source, Priority::Help)));
        }
        tokio::select! {
            () = attempt.is_divisible.notified() => is_divisible = true,
            Some((source, permit)) = applications.next() => {
                if is_worth_help() && !failed[source] {
                    connections.push(connect(source, permit));
                    applications.push(acquire(source, Priority::Help));
                }
            }
            Some((source, ended)) = connections.next() => {
                if let Err(error) = ended {
                    failed[source] = true;
                    first_error.get_or_insert(error);
                }
            }
            _ = look.tick() => {}
        }
        if attempt.ranges().is_done() || attempt.portions.is_closed() {
            return Ok(());
        }
        if connections.is_empty() {
            let Some(next) = failed.iter().position(|failed| !failed) else { return first_error.map_or(Ok(()), Err) };
            applications.clear();
            let (source, permit) = acquire(next, Priority::Start).await;
            connections.push(connect(source, permit));
        }
    }
}
