//! Writing into object stores: for the caches that a team keeps there.
//!
//! An object appears under its name whole or not at all. What is written goes up only as the bytes that its digest promises:
//! they are hashed on their way from the disk, and the last step, which makes the object visible, is taken after that.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};

use super::refusal::Meaning;
use super::store::Objects;
use crate::transport::error::{Result, TransportError};
use crate::transport::limits::PART_BYTES;
use crate::transport::location::Location;
use crate::verified::{BlobError, Expected, Verifier};

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name in the bucket.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub modified: Timestamp,
    /// Names this state of it, where the store does so.
    pub tag: Option<String>,
}

impl Listed {
    /// Whether an object is another than this one, which was listed under its name.
    pub(crate) fn is_another(&self, found: &Self) -> bool {
        // A store that lists without tags answers with one all the same.
        let by_tag = self.tag.is_some() && found.tag.is_some() && self.tag != found.tag;
        by_tag || self.bytes != found.bytes
    }
}

/// What became of an object that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there now.
    New,
    /// It was there already.
    Existed,
}

/// Why a blob did not get into a store.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The store.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The file on the disk is not what its name says, or can't be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The caller asked to stop, or the time is over.
    #[error("stopped half-way; nothing of it is visible")]
    Stopped,
}

impl Objects {
    /// Put a blob into a store under its name, unless it is there. `go_on` is asked between parts.
    pub(in crate::transport) async fn upload(
        &self,
        at: &Location,
        mut file: impl Read + Send,
        expected: Expected,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, UploadError> {
        let mut verifier = Verifier::new(expected);
        let mut next = || next_part(&mut file, &mut verifier);
        let first = next()?;
        if first.len() < PART_BYTES {
            verifier.finish().map_err(BlobError::from)?;
            return Ok(self.put(at, first).await?);
        }
        // A conditional end of an upload in parts is not everywhere: ask first. Two jobs at once write the same bytes.
        if self.stat(at).await?.is_some() {
            return Ok(Written::Existed);
        }
        let mut upload =
            self.ask(at, |store, path| async move { self.transfer(at, store.put_multipart(&path)).await }).await?;
        let sent = async {
            let mut part = first;
            while !part.is_empty() {
                if !go_on() {
                    return Err(UploadError::Stopped);
                }
                // Not tried again by itself: the blob stays on the disk, and the next job that fetches it tries.
                self.transfer(at, upload.put_part(PutPayload::from(part))).await?;
                part = next_part(&mut file, &mut verifier)?;
            }
            verifier.finish().map_err(BlobError::from)?;
            self.transfer(at, upload.complete()).await?;
            Ok(Written::New)
        };
        let sent = sent.await;
        // Parts of an upload that is never completed are billed until they are removed.
        if sent.is_err()
            && let Err(abort) = upload.abort().await
        {
            tracing::info!("can't take an upload back: {abort}");
        }
        sent
    }

    /// Write a small object, unless there is one of this name.
    pub(in crate::transport) async fn put(&self, at: &Location, bytes: Bytes) -> Result<Written> {
        let bytes = &bytes;
        let put = |store: Arc<dyn ObjectStore>, path| async move {
            let put = |mode: PutMode| self.transfer(at, store.put_opts(&path, bytes.clone().into(), mode.into()));
            match put(PutMode::Create).await {
                // Older S3-compatible servers know no conditions: all that is written under this name is the same bytes.
                Err(error) if has_status(&error, 501) => put(PutMode::Overwrite).await,
                result => result,
            }
        };
        match self.retried(at, put).await {
            Ok(_) => Ok(Written::New),
            Err(error) if error.refusal().is_some_and(|refusal| refusal.meaning() == Meaning::Changed) => {
                Ok(Written::Existed)
            }
            Err(error) => Err(error),
        }
    }

    /// What a store says of an object without sending it, or `None` where there is none.
    pub(in crate::transport) async fn stat(&self, at: &Location) -> Result<Option<Listed>> {
        match self.retried(at, |store, path| async move { self.answer(at, store.head(&path)).await }).await {
            Ok(meta) => Ok(Some(listed(&meta))),
            // An answer without a body has no code: whether it is the bucket that is missing shows with the next request.
            Err(error) if has_status(&error, 404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every object below a place.
    pub(in crate::transport) async fn list(&self, at: &Location) -> Result<Vec<Listed>> {
        let list = |store: Arc<dyn ObjectStore>, prefix: Path| async move {
            let below = if prefix.as_ref().is_empty() { String::new() } else { format!("{prefix}/") };
            let mut objects = store.list(Some(&prefix));
            let mut found = Vec::new();
            while let Some(meta) = self.answer(at, objects.try_next()).await? {
                found.extend(Some(listed(&meta)).filter(|object| object.key.starts_with(&below)));
            }
            Ok(found)
        };
        self.retried(at, list).await
    }

    /// Remove objects. What is gone already is as good as removed.
    pub(in crate::transport) async fn delete(&self, at: &Location) -> Result<()> {
        match self.retried(at, |store, path| async move { self.transfer(at, store.delete(&path)).await }).await {
            Err(error) if !has_status(&error, 404) => Err(error),
            _ => Ok(()),
        }
    }
}

fn has_status(error: &TransportError, status: u16) -> bool {
    error.refusal().is_some_and(|refusal| refusal.status.as_u16() == status)
}

/// Read as much as one part takes, and hash it. The last one is shorter, or empty.
fn next_part(file: &mut impl Read, verifier: &mut Verifier) -> Result<Bytes, BlobError> {
    let mut part = Vec::with_capacity(PART_BYTES);
    file.by_ref().take(PART_BYTES as u64).read_to_end(&mut part)?;
    verifier.update(&part)?;
    Ok(part.into())
}

fn listed(meta: &object_store::ObjectMeta) -> Listed {
    let modified = Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or_default();
    Listed { key: meta.location.to_string(), bytes: meta.size, modified, tag: meta.e_tag.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_was_written_anew_is_another_where_size_or_tag_tell() {
        let object = |bytes, tag: Option<&str>| {
            let tag = tag.map(str::to_owned);
            Listed { key: String::new(), bytes, modified: Timestamp::UNIX_EPOCH, tag }
        };
        let listed = object(3, Some("a"));
        assert!(!listed.is_another(&object(3, Some("a"))));
        assert!(listed.is_another(&object(3, Some("b"))));
        assert!(listed.is_another(&object(4, None)));
        assert!(!object(3, None).is_another(&object(3, Some("b"))));
    }
}
