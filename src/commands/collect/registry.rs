//! Into a registry, by Spack itself.
//!
//! Spack uploads the layers of a spec and sets its tag last, so that parallel jobs and a job that is killed leave nothing
//! half-written: of two jobs that push the same spec, the last tag counts, and both are whole.

use std::collections::HashMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::{fs, io};

use super::arrived::{Arrived, found_in};
use super::batches::{Batches, scope_folder};
use crate::commands::error::CommandError;
use crate::config::BuiltMirrorEntry;
use crate::job::JobError;
use crate::lockfile::ConcreteSpec;
use crate::spack::{MIRRORS_FILE, Target, registry_scope};
use crate::transport::Transport;

/// Push, then ask what arrived.
pub(super) async fn push(
    batches: &Batches<'_>,
    entry: &BuiltMirrorEntry,
    transport: &Arc<Transport>,
    specs: &[&ConcreteSpec],
) -> Result<Arrived, CommandError> {
    let (mirror, looking) = (Arc::clone(&entry.mirror), Arc::clone(transport));
    let look = move || mirror.tags_location().and_then(|at| looking.registry_login(&at));
    let login = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    let io = |source| JobError::Io { path: batches.partial(), what: "write a scope for the push", source };
    // Gone with this function, also where it fails. It names variables and holds no secret; it is for this user alone all the same.
    let scope = scope_folder(&batches.partial()).map_err(io)?;
    let mut file = fs::File::options();
    let file = file.write(true).create_new(true).mode(0o600).open(scope.path().join(MIRRORS_FILE));
    let text = registry_scope(&entry.mirror.url, login.as_ref());
    file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes())).map_err(io)?;

    let target = Target::Registry { scope: scope.path(), login: login.as_ref() };
    let pushed = batches.push(specs, target, None);
    let mut bytes = HashMap::new();
    let found = match found_in(&entry.mirror, specs, transport).await {
        Ok(found) => found,
        // What Spack says is the first cause.
        Err(_) if pushed.is_err() => return Ok(Arrived { bytes, pushed }),
        Err(error) => return Err(error.into()),
    };
    for (spec, found) in specs.iter().zip(found) {
        match found {
            Some(found) => {
                let sizes = found.blobs.iter().filter_map(|blob| blob.expected.size.stated());
                bytes.insert(spec.id.hash, sizes.sum());
            }
            None if pushed.is_ok() => batches.warn_of_left_out(&spec.id),
            None => {}
        }
    }
    Ok(Arrived { bytes, pushed })
}
