//! What a mirror publishes for a spec: found by asking, and understood.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::layout::Layout;
use super::metadata::{Metadata, PublishedBlob};
use super::rules::{Promises, Survey};
use super::spec_file::SpecNodes;
use super::{MirrorError, oci, v3};
use crate::transport::{Location, Transport};
use crate::types::{BlobRole, Mirror, MirrorPath, PublicUrl, Signatures, SpecId};

/// What a mirror publishes for one spec.
#[derive(Debug)]
pub struct Published {
    /// The mirror.
    pub mirror: Arc<Mirror>,
    /// In which layout.
    pub layout: Layout,
    /// Where the metadata lies below the mirror.
    pub path: MirrorPath,
    /// The metadata, byte for byte, with its signature where it has one.
    pub document: Vec<u8>,
    /// What the metadata promises.
    pub blobs: Vec<PublishedBlob>,
}

/// The answer of a mirror.
#[derive(Debug)]
pub enum Answer {
    /// It has the spec.
    Has(Box<Published>),
    /// It does not.
    Lacks,
    /// It has the spec, but without the signature on which Spack insists for this mirror: Spack uses it only with
    /// `--no-check-signature`.
    Unsigned(Box<Published>),
}

impl Published {
    /// Whether its blobs have the same names in every mirror.
    pub fn is_content_addressed(&self) -> bool {
        self.blobs.iter().all(|blob| blob.path == MirrorPath::of_blob(blob.expected.digest))
    }

    /// The nodes that the metadata describes. `locate` tells where a blob lies, verified, and its length.
    pub(crate) fn described(&self, document: &[u8], locate: Locate<'_>) -> Result<SpecNodes, String> {
        let spec_blob = self.blobs.iter().find(|blob| blob.role == BlobRole::Spec).and_then(locate);
        let at = PublicUrl::from(&self.mirror.url.join(&self.path));
        self.layout.rules().nodes(Metadata { at: &at, document }, spec_blob)
    }

    /// The same, for metadata that must describe this spec: a manifest of layout v3 does not name its spec, and could be that of
    /// another one.
    pub(crate) fn nodes(&self, spec: &SpecId, document: &[u8], locate: Locate<'_>) -> Result<SpecNodes, MirrorError> {
        let wrong = |reason| MirrorError::SpecFile { mirror: self.mirror.name.clone(), spec: spec.to_string(), reason };
        let nodes = self.described(document, locate).map_err(wrong)?;
        if nodes.hash() == spec.hash { Ok(nodes) } else { Err(wrong(format!("it describes {}", nodes.hash()))) }
    }
}

/// Tells where a blob lies, and its length.
type Locate<'a> = &'a dyn Fn(&PublishedBlob) -> Option<(PathBuf, u64)>;

impl Mirror {
    /// Ask for one spec.
    pub async fn find(self: &Arc<Self>, spec: &SpecId, transport: &Transport) -> Result<Answer, MirrorError> {
        let ask = async |location: Location| {
            let failed = |source| MirrorError::Ask { mirror: self.name.clone(), spec: spec.to_string(), source };
            transport.document(&location).await.map_err(failed)
        };
        if let Some(url) = oci::image_url(self, spec) {
            let at = PublicUrl::from(&url);
            let Some(image) = ask(self.located(url)).await? else { return Ok(Answer::Lacks) };
            let blobs = oci::promises(Metadata { at: &at, document: &image })?;
            let (path, document) = (v3::place_of_spec(spec), v3::spec_manifest(&blobs));
            return Ok(self.answer(Layout::V3, path, document, Promises { is_signed: false, blobs }));
        }
        for (layout, path) in Layout::places(spec) {
            if let Some(document) = ask(self.location(&path)).await? {
                return self.understand(spec, layout, path, document);
            }
        }
        Ok(Answer::Lacks)
    }

    /// What a document means that was read from one of the places of a spec's metadata.
    pub fn understand(
        self: &Arc<Self>,
        spec: &SpecId,
        layout: Layout,
        path: MirrorPath,
        document: Vec<u8>,
    ) -> Result<Answer, MirrorError> {
        let at = PublicUrl::from(&self.url.join(&path));
        let promises = layout.rules().promises(spec, &path, Metadata { at: &at, document: &document })?;
        Ok(self.answer(layout, path, document, promises))
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

    fn located(&self, url: url::Url) -> Location {
        Location { url, plain_http: self.plain_http, access: Arc::clone(&self.access) }
    }

    /// The answer for a spec that it has.
    fn answer(self: &Arc<Self>, layout: Layout, path: MirrorPath, document: Vec<u8>, promises: Promises) -> Answer {
        let Promises { is_signed, blobs } = promises;
        let published = Box::new(Published { mirror: Arc::clone(self), layout, path, document, blobs });
        if self.demanded_signatures() == Signatures::Required && !is_signed {
            Answer::Unsigned(published)
        } else {
            Answer::Has(published)
        }
    }
}
