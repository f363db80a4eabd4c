//! Why a mirror's answer can't be used.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::transport::TransportError;
use crate::types::{DagHash, PublicUrl};

impl MirrorError {
    /// Whether the mirror is not there, can't be reached or refuses access, and not one that is there and wrong.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::NoFolder { .. } => true,
            Self::Ask { source, .. } => source.is_absence(),
            Self::NotMetadata { .. } | Self::WeakDigest { .. } | Self::OtherSpec { .. } | Self::SpecFile { .. } => {
                false
            }
        }
    }
}

/// A mirror that could not be asked, or one whose metadata is wrong.
#[derive(Debug, Error, Diagnostic)]
pub enum MirrorError {
    /// No answer.
    #[error("can't ask mirror `{mirror}` for {spec}")]
    Ask {
        mirror: String,
        spec: String,
        #[source]
        #[diagnostic_source]
        source: TransportError,
    },
    /// The folder of a `file://` mirror is not there.
    #[error("mirror `{mirror}` is not at `{}`", path.display())]
    #[diagnostic(help("is the file system mounted? A missing folder is not taken for a mirror without binaries"))]
    NoFolder {
        mirror: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Not what Spack writes.
    #[error("`{url}` is not Spack's metadata: {reason}")]
    #[diagnostic(help("{hint}"))]
    NotMetadata { url: PublicUrl, reason: String, hint: &'static str },
    /// A digest that proves nothing.
    #[error("`{url}` vouches for the binary with `{algorithm}`; only sha256 counts")]
    #[diagnostic(help("push the binary again with a Spack of this decade, which uses sha256"))]
    WeakDigest { url: PublicUrl, algorithm: String },
    /// Metadata of another spec under this one's name: a mix-up, or an attempt to have Spack install something else.
    #[error("`{url}` describes {found} instead of {expected}")]
    #[diagnostic(help(
        "nothing of it is used. Find out who wrote that file: Spack does not publish one spec under the name of another"
    ))]
    OtherSpec { url: PublicUrl, expected: DagHash, found: String },
    /// A spec file is not what its manifest says.
    #[error("mirror `{mirror}` has a wrong spec file for {spec}: {reason}")]
    #[diagnostic(help(
        "its digest is right, so the manifest belongs to another spec or was pushed by something other than Spack: nothing of \
         it is used. Push the spec again, or find out who wrote that manifest"
    ))]
    SpecFile { mirror: String, spec: String, reason: String },
}
