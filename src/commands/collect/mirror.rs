//! Into a mirror that outlives the pipeline: a registry or a bucket.

use std::sync::Arc;

use super::arrived::{Arrived, found_in};
use super::batches::Batches;
use super::{bucket, registry};
use crate::commands::error::CommandError;
use crate::config::BuiltMirrorEntry;
use crate::lockfile::ConcreteSpec;
use crate::pipeline::Session;
use crate::transport::Transport;

/// Those of the specs that the mirror lacks.
pub(super) async fn lacking<'a>(
    session: &Session<'_>,
    entry: &BuiltMirrorEntry,
    transport: &Transport,
    specs: Vec<&'a ConcreteSpec>,
) -> Result<Vec<&'a ConcreteSpec>, CommandError> {
    let found = session.unless_interrupted(found_in(&entry.mirror, &specs, transport)).await?;
    Ok(specs.into_iter().zip(found).filter(|(_, found)| found.is_none()).map(|(spec, _)| spec).collect())
}

/// Push, and see what arrived.
pub(super) async fn push(
    batches: &Batches<'_>,
    entry: &BuiltMirrorEntry,
    transport: &Arc<Transport>,
    specs: &[&ConcreteSpec],
) -> Result<Arrived, CommandError> {
    if entry.mirror.url.is_registry() {
        registry::push(batches, entry, transport, specs).await
    } else {
        bucket::push(batches, entry, transport, specs).await
    }
}
