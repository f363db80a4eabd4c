//! Spack binary mirrors: which files one publishes for a spec, and what they promise.
//!
//! A layout lives in a file of its own: v3 (Spack 1.0 and later), v2 (0.18 to 0.23), and registries. All end in a
//! [`Published`]: the metadata document byte for byte, and the blobs that it promises. v3 is asked before v2, as Spack does.
//! "The mirror does not have it" is only what a server clearly says (404, and 403 of an object store); anything else is an
//! error, because a mirror that can't be reached must never be taken for one that lacks the spec.

mod clearsign;
mod error;
mod keys;
mod oci;
mod v2;
mod v3;

use std::io;
use std::sync::Arc;

pub use error::MirrorError;
pub use keys::{Fingerprint, InvalidFingerprint, Keys, PublicKey, keys_in, v2_key_files, v3_key_files};
pub use v2::{V2Metadata, parse as parse_v2};

use crate::transport::{Location, Transport, TransportError};
use crate::types::BlobRole;
use crate::types::{Mirror, MirrorPath, Signatures, SpecId};
use crate::verified::Expected;

/// The layout in which a mirror has a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Manifests and content-addressed blobs.
    V3,
    /// Spec files and archives in `build_cache/`.
    V2,
}

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

/// One file that metadata promises.
#[derive(Clone, Debug)]
pub struct PublishedBlob {
    /// What it is to the spec.
    pub role: BlobRole,
    /// Digest and size.
    pub expected: Expected,
    /// Where it lies below the mirror.
    pub path: MirrorPath,
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

/// Where below a mirror the metadata of a spec may lie, in the order in which one is asked.
pub fn places(spec: &SpecId) -> Vec<(Layout, MirrorPath)> {
    let v2 = v2::paths(spec).map(|path| (Layout::V2, path));
    std::iter::once((Layout::V3, v3::manifest_path(spec))).chain(v2).collect()
}

/// The blobs that a manifest of layout v3 at `url` promises, whatever spec it is of.
pub fn parse_v3(document: &[u8], url: &url::Url) -> Result<Vec<PublishedBlob>, MirrorError> {
    v3::parse(document, url).map(|(_, blobs)| blobs)
}

impl Mirror {
    /// Ask for one spec.
    pub async fn find(self: &Arc<Self>, spec: &SpecId, transport: &Transport) -> Result<Answer, MirrorError> {
        if self.url.is_registry() {
            return oci::find(self, spec, transport).await;
        }
        match v3::find(self, spec, transport).await? {
            Answer::Lacks => v2::find(self, spec, transport).await,
            answer => Ok(answer),
        }
    }

    /// What a document means that was read from one of its [`places`]. For documents that come from somewhere else than a
    /// mirror's server.
    pub fn understand(
        self: &Arc<Self>,
        spec: &SpecId,
        layout: Layout,
        path: MirrorPath,
        document: Vec<u8>,
    ) -> Result<Answer, MirrorError> {
        match layout {
            Layout::V3 => v3::answer(self, path, document),
            Layout::V2 => v2::answer(self, spec, path, document),
        }
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
        Location { url: self.url.join(path), plain_http: self.plain_http, access: Arc::clone(&self.access) }
    }

    /// The answer for a spec that it has.
    fn has(self: &Arc<Self>, published: Published, is_signed: bool) -> Answer {
        if self.demanded_signatures() == Signatures::Required && !is_signed {
            Answer::Unsigned(Box::new(published))
        } else {
            Answer::Has(Box::new(published))
        }
    }

    async fn document(
        &self,
        spec: &SpecId,
        path: &MirrorPath,
        transport: &Transport,
    ) -> Result<Option<Vec<u8>>, MirrorError> {
        self.ask(spec, &self.location(path), transport).await
    }

    async fn ask(&self, spec: &SpecId, at: &Location, transport: &Transport) -> Result<Option<Vec<u8>>, MirrorError> {
        let failed =
            |source: TransportError| MirrorError::Ask { mirror: self.name.clone(), spec: spec.to_string(), source };
        transport.document(at).await.map_err(failed)
    }
}
