//! A registry, as something in which room is made: each spec is an image with a tag of its own.
//!
//! An image is deleted by the digest of the manifest that was read, so that one which was pushed under its tag meanwhile stays.
//! Its blobs are the registry's: they go with the next garbage collection, unless another image has them as layers.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::{PushedMirror, name_of};
use crate::mirror::{spec_of_tag, survey_config, survey_image};
use crate::report::BlobReport;
use crate::store::error::StoreError;
use crate::store::inventory::{Item, Key, Purpose};
use crate::store::policy::Removal;
use crate::transport::TransportError;
use crate::types::{MirrorPath, Sha256Digest};

/// What a registry holds.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// The specs, whose names are their tags.
    pub items: Vec<Item>,
    /// The digest of the manifest of every tag, those of no spec among them.
    digests: HashMap<String, Sha256Digest>,
}

impl PushedMirror<'_> {
    /// Read every manifest, and of those of specs the configuration.
    pub(crate) async fn images(&self, now: Timestamp) -> Result<Images, StoreError> {
        let failed = |source| self.failed(source);
        let Some(at) = self.entry.mirror.tags_location() else { return Ok(Images::default()) };
        let tags = self.transport.tags(&at).await.map_err(failed)?;
        let looks = futures::stream::iter(tags).map(async |tag| self.image(tag, now).await);
        let found: Vec<_> = looks.buffer_unordered(self.requests()).try_collect().await.map_err(failed)?;
        let mut images = Images::default();
        for (tag, digest, item) in found.into_iter().flatten() {
            images.digests.insert(tag, digest);
            images.items.extend(item);
        }
        images.items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(images)
    }

    /// The digest of a tag's manifest, and the spec that it is of, if it is of one. `None` where it is gone by now.
    async fn image(
        &self,
        tag: String,
        now: Timestamp,
    ) -> Result<Option<(String, Sha256Digest, Option<Item>)>, TransportError> {
        let Some(at) = self.entry.mirror.tag_location(&tag) else { return Ok(None) };
        let Some(manifest) = self.transport.document(&at).await? else { return Ok(None) };
        let digest = Sha256Digest::of(&manifest);
        let survey = spec_of_tag(&tag).zip(survey_image(&at.public(), &manifest));
        let Some((hash, survey)) = survey else { return Ok(Some((tag, digest, None))) };
        let config = self.entry.mirror.location(&MirrorPath::of_blob(survey.config.digest));
        let Some(config) = self.transport.document(&config).await? else { return Ok(Some((tag, digest, None))) };
        let described = survey_config(&config).filter(|_| Sha256Digest::of(&config) == survey.config.digest);
        // An image whose configuration is of another spec was not pushed by Spack.
        let Some((_, pushed)) = described.filter(|(spec, _)| *spec == hash) else {
            return Ok(Some((tag, digest, None)));
        };
        // What does not say when it was pushed does not age.
        let last_used = pushed.unwrap_or(now);
        let blob = |digest, bytes| BlobReport {
            digest,
            bytes,
            intact: None,
            last_used,
            requests: Vec::new(),
            indexes: Vec::new(),
        };
        let blobs: Vec<_> = [survey.binary, survey.config]
            .map(|expected| blob(expected.digest, expected.size.stated().unwrap_or_default()))
            .into();
        let item = Item {
            key: Key::Spec(hash, PathBuf::from(&tag)),
            bytes: blobs.iter().map(|blob| blob.bytes).sum(),
            blobs,
            files: Vec::new(),
            last_used,
            purpose: Purpose::Known,
            damage: None,
        };
        Ok(Some((tag, digest, Some(item))))
    }

    /// Delete images. Returns those that are gone. The first refusal ends it: a registry that does not delete does not delete any.
    pub(crate) async fn delete_images<'i>(
        &self,
        images: &Images,
        removals: Vec<Removal<'i>>,
    ) -> Result<Vec<Removal<'i>>, StoreError> {
        let leaving: HashSet<&str> = removals.iter().map(|removal| name_of(removal.item)).collect();
        let staying = images.digests.iter().filter(|(tag, _)| !leaving.contains(tag.as_str()));
        let staying: HashSet<Sha256Digest> = staying.map(|(_, digest)| *digest).collect();
        let mut deleted = Vec::new();
        for removal in removals {
            // Deleting a manifest removes all of its tags.
            let digest = images.digests.get(name_of(removal.item)).filter(|digest| !staying.contains(*digest));
            let Some(at) = digest.and_then(|digest| self.entry.mirror.manifest_location(*digest)) else { continue };
            self.transport.delete_manifest(&at).await.map_err(|source| self.failed(source))?;
            deleted.push(removal);
        }
        Ok(deleted)
    }
}
