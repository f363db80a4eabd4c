//! What came of a push, and what a mirror has.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use crate::lockfile::ConcreteSpec;
use crate::mirror::Published;
use crate::pipeline::RunError;
use crate::spack::SpackError;
use crate::transport::Transport;
use crate::types::{DagHash, Mirror};

/// What came of a push.
pub(super) struct Arrived {
    /// How large each is that arrived.
    pub bytes: HashMap<DagHash, u64>,
    /// What Spack says.
    pub pushed: Result<(), SpackError>,
}

/// What the mirror has of each spec, in their order.
pub(super) async fn found_in(
    mirror: &Arc<Mirror>,
    specs: &[&ConcreteSpec],
    transport: &Transport,
) -> Result<Vec<Option<Published>>, RunError> {
    let ids: Vec<_> = specs.iter().map(|spec| spec.id.clone()).collect();
    let ask = async |id| mirror.find(&id, transport).await;
    let asking = futures::stream::iter(ids).map(ask).buffered(transport.settings().metadata_connections);
    Ok(asking.try_collect().await?)
}
