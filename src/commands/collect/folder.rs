//! Into the folder that GitLab caches for the branch.
//!
//! Spack pushes into a scratch folder. What arrived there whole is then moved, blobs first and metadata last: a push that is
//! killed leaves nothing half-written in the folder, and one that fails half-way still brings what it had finished.

use std::collections::HashMap;

use super::arrived::Arrived;
use super::batches::Batches;
use crate::commands::error::CommandError;
use crate::config::BuiltEntry;
use crate::lockfile::ConcreteSpec;
use crate::spack::Target;
use crate::store::built::{BuiltFolder, Depth, Lookup};

/// Those of the specs that the folder lacks.
pub(super) fn lacking<'a>(folder: &BuiltFolder, specs: Vec<&'a ConcreteSpec>) -> Vec<&'a ConcreteSpec> {
    let is_new = |spec: &&ConcreteSpec| !matches!(folder.look_for(&spec.id, Depth::Bytes), Lookup::Has(_));
    specs.into_iter().filter(is_new).collect()
}

/// Push, then take what arrived.
pub(super) fn push(
    batches: &Batches<'_>,
    entry: &BuiltEntry,
    folder: &BuiltFolder,
    specs: &[&ConcreteSpec],
) -> Result<Arrived, CommandError> {
    let scratch = batches.scratch()?;
    let pushed = batches.push(specs, Target::Folder(&scratch), entry.signing_key.as_deref());
    let scratch = BuiltFolder::scratch(&entry.name, entry.signatures, &scratch)?;
    let mut bytes = HashMap::new();
    for spec in specs {
        match scratch.look_for(&spec.id, Depth::Bytes) {
            Lookup::Has(found) => {
                folder.take(&spec.id, &scratch, &found)?;
                let document = found.published.document.read().map_or(0, |document| document.len() as u64);
                bytes.insert(spec.id.hash, found.binary.bytes + document);
            }
            Lookup::Lacks if pushed.is_ok() => batches.warn_of_left_out(&spec.id),
            Lookup::Unusable(reason) if pushed.is_ok() => {
                batches.session.warn(&format!("what Spack pushed of {} is not collected: {reason}", spec.id));
            }
            Lookup::Lacks | Lookup::Unusable(_) => {}
        }
    }
    Ok(Arrived { bytes, pushed })
}
