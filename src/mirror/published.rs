//! What a mirror publishes for a spec: found by asking, and understood.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::document::Document;
use super::layout::Layout;
use super::metadata::{Metadata, PublishedBlob, Signature};
use super::rules::{Promises, Survey};
use super::spec_file::SpecNodes;
use super::{MirrorError, oci, v3};
use crate::transport::{Location, Transport};
use crate::types::{BlobRole, Mirror, MirrorPath, PublicUrl, Signatures, SpecId};

/// What a mirror publishes for one spec.
#[derive(Debug)]
pub struct Published {
    /// The spec whose binary it is.
    pub spec: SpecId,
    /// The mirror.
    pub mirror: Arc<Mirror>,
    /// In which layout.
    pub layout: Layout,
    /// Where the metadata lies below the mirror.
    pub path: MirrorPath,
    /// The metadata.
    pub document: Document,
    /// Whether the metadata is signed.
    pub signature: Signature,
    /// What the metadata promises.
    pub blobs: Vec<PublishedBlob>,
}

impl Published {
    /// Whether its blobs have the same names in every mirror.
    pub fn is_content_addressed(&self) -> bool {
        self.blobs.iter().all(|blob| blob.path == MirrorPath::of_blob(blob.expected.digest))
    }

    /// Whether the signature is missing on which Spack insists for this mirror: Spack uses it only with `--no-check-signature`.
    pub fn lacks_signature(&self) -> bool {
        self.signature == Signature::Absent && self.mirror.demanded_signatures() == Signatures::Required
    }

    /// The nodes that the metadata describes. `locate` tells where a blob lies, verified, and its length.
    pub(crate) fn described(&self, document: &[u8], locate: Locate<'_>) -> Result<SpecNodes, String> {
        let spec_blob = self.blobs.iter().find(|blob| blob.role == BlobRole::Spec).and_then(locate);
        let at = PublicUrl::from(&self.mirror.url.join(&self.path));
        self.layout.rules().nodes(Metadata { at: &at, document }, spec_blob)
    }

    /// The same, for metadata that must describe its spec: a manifest of layout v3 does not name it, and could be that of
    /// another one.
    pub(crate) fn nodes(&self, document: &[u8], locate: Locate<'_>) -> Result<SpecNodes, MirrorError> {
        let (mirror, spec) = (&self.mirror.name, &self.spec);
        let wrong = |reason| MirrorError::SpecFile { mirror: mirror.clone(), spec: spec.to_string(), reason };
        let nodes = self.described(document, locate).map_err(wrong)?;
        if nodes.hash() == spec.hash { Ok(nodes) } else { Err(wrong(format!("it describes {}", nodes.hash()))) }
    }

    /// The metadata as a mirror of larder's own shows it: byte for byte, or, where larder wrote it for a registry's image, in the
    /// words of the Spack that wrote the spec.
    pub(crate) fn shown<'d>(&self, document: Cow<'d, [u8]>, nodes: &SpecNodes) -> Cow<'d, [u8]> {
        if self.mirror.url.is_registry() { v3::spec_manifest(&self.blobs, Some(nodes.format)).into() } else { document }
    }
}

/// Tells where a blob lies, and its length.
type Locate<'a> = &'a dyn Fn(&PublishedBlob) -> Option<(PathBuf, u64)>;

impl Mirror {
    /// Ask for one spec.
    pub async fn find(
        self: &Arc<Self>,
        spec: &SpecId,
        transport: &Transport,
    ) -> Result<Option<Published>, MirrorError> {
        let ask = async |location: Location| {
            let failed = |source| MirrorError::Ask { mirror: self.name.clone(), spec: spec.to_string(), source };
            transport.document(&location).await.map_err(failed)
        };
        if let Some(url) = oci::image_url(self, spec) {
            let at = PublicUrl::from(&url);
            let Some(image) = ask(self.located(url)).await? else { return Ok(None) };
            let document = v3::spec_manifest(&oci::promises(Metadata { at: &at, document: &image })?, None);
            return self.understand(spec, Layout::V3, v3::place_of_spec(spec), document).map(Some);
        }
        for (layout, path) in Layout::places(spec) {
            if let Some(document) = ask(self.location(&path)).await? {
                return self.understand(spec, layout, path, document).map(Some);
            }
        }
        Ok(None)
    }

    /// What a document means that was read from one of the places of a spec's metadata.
    pub fn understand(
        self: &Arc<Self>,
        spec: &SpecId,
        layout: Layout,
        path: MirrorPath,
        document: Vec<u8>,
    ) -> Result<Published, MirrorError> {
        let at = PublicUrl::from(&self.url.join(&path));
        let metadata = Metadata { at: &at, document: &document };
        let Promises { signature, blobs } = layout.rules().promises(spec, &path, metadata)?;
        let (spec, mirror, document) = (spec.clone(), Arc::clone(self), Document::Kept(document));
        Ok(Published { spec, mirror, layout, path, document, signature, blobs })
    }

    /// What metadata says of a spec that is known by the name of its file only. `find` looks for a blob by its file name.
    pub fn survey(
        &self,
        layout: Layout,
        path: &[&str],
        document: &[u8],
        find: &dyn Fn(&str) -> Option<MirrorPath>,
    ) -> Result<Survey, String> {
        let at = PublicUrl::from(&self.url.join(&MirrorPath::new(path.iter().copied())));
        layout.rules().survey(path, Metadata { at: &at, document }, find)
    }

    /// Complain about a `file://` mirror whose folder is not there: a file system that is not mounted has no binaries
    /// either, but for another reason. Servers are not asked: a mirror has no page that says "I am here".
    pub fn check_folder(&self) -> Result<(), MirrorError> {
        let Some(path) = self.url.to_path() else { return Ok(()) };
        let trouble = match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => return Ok(()),
            Ok(_) => io::Error::other("not a folder"),
            Err(error) => error,
        };
        Err(MirrorError::NoFolder { mirror: self.name.clone(), path, source: trouble })
    }

    /// The address of one of its files.
    pub fn location(&self, path: &MirrorPath) -> Location {
        self.located(self.url.join(path))
    }

    pub(super) fn located(&self, url: url::Url) -> Location {
        Location { url, plain_http: self.plain_http, access: Arc::clone(&self.access) }
    }
}
