//! Writing into object stores: for the caches that a team keeps there.
//!
//! An object appears under its name whole or not at all. What is written goes up only as the bytes that its digest promises:
//! they are hashed on their way from the disk, and the last step, which makes the object visible, is taken after that.

use std::io::Read;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::{About, Location, Meaning, ObjectError, Objects, Refusal, TransportError, find, key, public, trouble};
use crate::transport::limits::PART_BYTES;
use crate::transport::retry;
use crate::verified::{Expected, Verifier};

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
    Blob(#[from] crate::verified::BlobError),
    /// Somebody asked to stop, or the time is over.
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
            verifier.finish().map_err(crate::verified::BlobError::from)?;
            return Ok(self.put(at, first).await?);
        }
        // A conditional end of an upload in parts is not everywhere: ask first. Two writers at once write the same bytes.
        if self.stat(at).await?.is_some() {
            return Ok(Written::Existed);
        }
        let cell = self.cell(at);
        let store = self.ready(&cell, at).await?;
        let path = key(&at.url)?;
        let failed = |error| write_trouble(at, error);
        let mut upload = store.objects.put_multipart(&path).await.map_err(failed)?;
        let sent = async {
            let mut part = first;
            while !part.is_empty() {
                if !go_on() {
                    return Err(UploadError::Stopped);
                }
                // Not tried again by itself: the blob stays on the disk, and the next job that fetches it tries.
                upload.put_part(PutPayload::from(part)).await.map_err(failed)?;
                part = next_part(&mut file, &mut verifier)?;
            }
            verifier.finish().map_err(crate::verified::BlobError::from)?;
            Ok(())
        };
        let sent = sent.await;
        finish(upload.as_mut(), sent).await?.map_err(failed)?;
        Ok(Written::New)
    }

    /// Write a small object, unless there is one of this name.
    pub(in crate::transport) async fn put(&self, at: &Location, bytes: Bytes) -> Result<Written, TransportError> {
        let path = key(&at.url)?;
        retry::retry(&self.settings, || async {
            let cell = self.cell(at);
            let store = self.ready(&cell, at).await?;
            let put = |mode: PutMode| store.objects.put_opts(&path, bytes.clone().into(), PutOptions::from(mode));
            let result = match put(PutMode::Create).await {
                // Older imitations know no conditions: the bytes are the same whoever writes them.
                Err(error) if find::<Refusal>(&error).is_some_and(|refusal| refusal.status.as_u16() == 501) => {
                    put(PutMode::Overwrite).await
                }
                result => result,
            };
            match result {
                Ok(_) => Ok(Written::New),
                Err(error) if find::<Refusal>(&error).is_some_and(|refusal| refusal.meaning() == Meaning::Changed) => {
                    Ok(Written::Existed)
                }
                Err(error) => Err(write_trouble(at, error)),
            }
        })
        .await
    }

    /// What a store says of an object without sending it, or `None` where there is none.
    pub(in crate::transport) async fn stat(&self, at: &Location) -> Result<Option<Listed>, TransportError> {
        let path = key(&at.url)?;
        retry::retry(&self.settings, || async {
            let cell = self.cell(at);
            let store = self.ready(&cell, at).await?;
            match store.objects.head(&path).await {
                Ok(meta) => Ok(Some(listed(&meta))),
                // An answer without a body has no code: whether it is the bucket that is missing shows with the next request.
                Err(error) if find::<Refusal>(&error).is_some_and(|refusal| refusal.status.as_u16() == 404) => Ok(None),
                Err(error) => Err(trouble(public(&at.url), error, About::Store)),
            }
        })
        .await
    }

    /// Every object below a place.
    pub(in crate::transport) async fn list(&self, at: &Location) -> Result<Vec<Listed>, TransportError> {
        let prefix = key(&at.url)?;
        let below = if prefix.as_ref().is_empty() { String::new() } else { format!("{prefix}/") };
        retry::retry(&self.settings, || async {
            let cell = self.cell(at);
            let store = self.ready(&cell, at).await?;
            let found: Result<Vec<_>, _> =
                store.objects.list(Some(&prefix)).map_ok(|meta| listed(&meta)).try_collect().await;
            let mut found = found.map_err(|error| write_trouble(at, error))?;
            found.retain(|object| object.key.starts_with(&below));
            Ok(found)
        })
        .await
    }

    /// Remove objects. What is gone already is as good as removed.
    pub(in crate::transport) async fn delete(&self, at: &Location) -> Result<(), TransportError> {
        let path = key(&at.url)?;
        retry::retry(&self.settings, || async {
            let cell = self.cell(at);
            let store = self.ready(&cell, at).await?;
            match ObjectStore::delete_stream(&*store.objects, one(path.clone())).next().await {
                Some(Err(error)) if find::<Refusal>(&error).is_none_or(|refusal| refusal.status.as_u16() != 404) => {
                    Err(write_trouble(at, error))
                }
                _ => Ok(()),
            }
        })
        .await
    }
}

fn one(path: Path) -> futures::stream::BoxStream<'static, object_store::Result<Path>> {
    futures::stream::once(std::future::ready(Ok(path))).boxed()
}

/// Read as much as one part takes, and hash it. The last one is shorter, or empty.
fn next_part(file: &mut impl Read, verifier: &mut Verifier) -> Result<Bytes, crate::verified::BlobError> {
    let mut part = Vec::with_capacity(PART_BYTES);
    file.by_ref().take(PART_BYTES as u64).read_to_end(&mut part)?;
    verifier.update(&part)?;
    Ok(part.into())
}

/// Make an upload visible, or take it back: parts that nobody completes are billed until somebody removes them.
async fn finish(
    upload: &mut dyn MultipartUpload,
    sent: Result<(), UploadError>,
) -> Result<Result<(), object_store::Error>, UploadError> {
    match sent {
        Ok(()) => match upload.complete().await {
            Ok(_) => Ok(Ok(())),
            Err(error) => {
                let _ = upload.abort().await;
                Ok(Err(error))
            }
        },
        Err(error) => {
            if let Err(abort) = upload.abort().await {
                tracing::info!("can't take an upload back: {abort}");
            }
            Err(error)
        }
    }
}

fn listed(meta: &object_store::ObjectMeta) -> Listed {
    let modified = Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or_default();
    Listed { key: meta.location.to_string(), bytes: meta.size, modified, tag: meta.e_tag.clone() }
}

/// The bucket is named where it is the bucket that is missing.
fn write_trouble(at: &Location, error: object_store::Error) -> TransportError {
    let url = public(&at.url);
    match find::<Refusal>(&error).map(Refusal::meaning) {
        Some(Meaning::NoBucket) => ObjectError::NoBucket { url, bucket: super::bucket(&at.url).to_owned() }.into(),
        _ => trouble(url, error, About::Store),
    }
}
