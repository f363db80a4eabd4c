//! Into a bucket: Spack pushes into a scratch folder, and larder uploads what arrived there whole.
//!
//! So Spack needs neither credentials nor the library of the store's maker, and nothing damaged is published. Blobs go first and
//! metadata last, each only if there is none of that name: several jobs may push at once, and a killed one leaves blobs that
//! nothing refers to, which `larder prune` removes once they are a day old.

use std::collections::HashMap;
use std::sync::Arc;

use fs_err as fs;

use super::arrived::Arrived;
use super::batches::Batches;
use crate::commands::error::CommandError;
use crate::config::BuiltMirrorEntry;
use crate::lockfile::ConcreteSpec;
use crate::mirror::PublishedBlob;
use crate::spack::Target;
use crate::store::StoredBlob;
use crate::store::built::{BuiltFolder, Depth, FoundSpec, Lookup};
use crate::transport::{FetchRequest, Partial, Transport, TransportError, UploadError, Written};
use crate::types::SpecId;
use crate::verified::{BlobError, Expected, Size};

/// Push, then upload what arrived.
pub(super) async fn push(
    batches: &Batches<'_>,
    entry: &BuiltMirrorEntry,
    transport: &Arc<Transport>,
    specs: &[&ConcreteSpec],
) -> Result<Arrived, CommandError> {
    let scratch = batches.scratch()?;
    let pushed = batches.push(specs, Target::Folder(&scratch), entry.signing_key.as_deref());
    let scratch = BuiltFolder::scratch(&entry.mirror.name, entry.mirror.signatures, &scratch)?;
    let upload = Upload { batches, entry, transport };
    let mut bytes = HashMap::new();
    for spec in specs {
        match scratch.look_for(&spec.id, Depth::Bytes) {
            Lookup::Has(found) => {
                let failed = |source| CommandError::Upload {
                    mirror: entry.mirror.name.clone(),
                    spec: spec.id.to_string(),
                    source: Box::new(source),
                };
                let uploading = async { Ok(upload.spec(&spec.id, &found).await) };
                let uploaded = batches.session.unless_interrupted(uploading).await?.map_err(failed)?;
                bytes.extend(uploaded.map(|bytes| (spec.id.hash, bytes)));
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

struct Upload<'a> {
    batches: &'a Batches<'a>,
    entry: &'a BuiltMirrorEntry,
    transport: &'a Transport,
}

impl Upload<'_> {
    /// Upload a spec. `None` where another job was faster with other bytes: its binary counts.
    async fn spec(&self, spec: &SpecId, found: &FoundSpec) -> Result<Option<u64>, UploadError> {
        let published = &found.published;
        let document = published.document.read().map_err(BlobError::Io)?;
        let blobs = || published.blobs.iter().zip(&found.binary.blobs);
        for (blob, stored) in blobs() {
            let written = self.blob(blob, stored).await?;
            if written == Written::Existed && !published.is_content_addressed() && !self.is_same(blob).await? {
                let name = &self.entry.mirror.name;
                self.batches.session.warn(&format!("{spec} is not pushed: `{name}` holds other bytes of it already"));
                return Ok(None);
            }
        }
        let bytes = found.binary.bytes + document.len() as u64;
        self.transport.put(&self.entry.mirror.location(&published.path), document.into_owned()).await?;
        // A blob that nothing referred to until now may have been pruned since it was found here.
        for (blob, stored) in blobs() {
            if self.transport.stat(&self.entry.mirror.location(&blob.path)).await?.is_none() {
                self.blob(blob, stored).await?;
            }
        }
        Ok(Some(bytes))
    }

    async fn blob(&self, blob: &PublishedBlob, stored: &StoredBlob) -> Result<Written, UploadError> {
        let file = fs::File::open(stored.path()).map_err(BlobError::Io)?;
        let expected = Expected { digest: stored.digest(), size: Size::Exactly(stored.bytes()) };
        let at = self.entry.mirror.location(&blob.path);
        self.transport.upload(&at, file, expected, &|| self.batches.may_continue()).await
    }

    /// Whether an object whose name says nothing of its bytes (layout v2) has those that this job would have written.
    async fn is_same(&self, blob: &PublishedBlob) -> Result<bool, UploadError> {
        let at = self.entry.mirror.location(&blob.path);
        let partial = Partial::Scratch(self.batches.partial());
        let request = FetchRequest { sources: vec![at.clone()], expected: blob.expected, partial };
        match self.transport.blob(self.transport.permit(&at).await, request, &|_| ()).await {
            Ok(_) => Ok(true),
            Err(TransportError::Mismatch { .. } | TransportError::WrongSize { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
