//! The connections of one blob: when another one joins, when one is replaced, when all is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::task::JoinSet;

use super::attempt::Attempt;
use super::connection::{Connection, Source};
use super::permits::{Permit, Permits, Priority};
use crate::transport::error::TransportError;

/// How often it is looked at whether a slow connection needs help.
const LOOK: Duration = Duration::from_millis(500);

/// Go on until the blob is there, the source is not worth asking again (its first error is returned), or the writer has ended,
/// which has an error of its own.
pub(super) async fn run(
    attempt: &Arc<Attempt>,
    source: Source,
    permits: &Arc<Permits>,
    permit: Permit,
) -> Result<(), TransportError> {
    let server = source.location.server();
    let source = Arc::new(source);
    let connect = |permit| Connection { attempt: Arc::clone(attempt), source: Arc::clone(&source), permit }.run();
    let acquire = |priority| permits.acquire(&server, priority);
    let is_worth_help = || attempt.ranges().is_worth_help(Instant::now());
    // A task each: one that receives keeps no other from it.
    let mut connections = JoinSet::from_iter([connect(permit)]);
    let mut applications = FuturesUnordered::new();
    let mut look = tokio::time::interval(LOOK);
    let mut is_divisible = false;
    let mut failed = None;
    loop {
        if is_divisible && applications.is_empty() && failed.is_none() && is_worth_help() {
            applications.push(acquire(Priority::Help));
        }
        tokio::select! {
            () = attempt.is_divisible.notified() => is_divisible = true,
            Some(permit) = applications.next() => {
                if is_worth_help() && failed.is_none() {
                    connections.spawn(connect(permit));
                    applications.push(acquire(Priority::Help));
                }
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                    failed.get_or_insert(error);
                }
            }
            _ = look.tick() => {}
        }
        if attempt.ranges().is_done() || attempt.portions.is_closed() {
            return Ok(());
        }
        if connections.is_empty() {
            if let Some(error) = failed {
                return Err(error);
            }
            applications.clear();
            let permit = acquire(Priority::Start).await;
            connections.spawn(connect(permit));
        }
    }
}
