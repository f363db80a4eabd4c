//! Why a mirror's answer can't be used.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::transport::TransportError;
use crate::types::{DagHash, PublicUrl};

/// A mirror that could not be asked, or one whose metadata is wrong.
#[derive(Debug, Error, Diagnostic)]
pub enum MirrorError {
    /// No answer.
    #[error("can't ask mirror `{mirror}` for {spec}")]
    Ask {
        /// The mirror's name.
        mirror: String,
        /// The spec.
        spec: String,
        /// Why.
        #[source]
        #[diagnostic_source]
        source: TransportError,
    },
    /// The folder of a `file://` mirror is not there.
    #[error("mirror `{mirror}` is not at `{}`", path.display())]
    #[diagnostic(help("is the file system mounted? A missing folder is not taken for a mirror without binaries"))]
    NoFolder {
        /// The mirror's name.
        mirror: String,
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not what Spack writes.
    #[error("`{url}` is not Spack's metadata: {reason}")]
    #[diagnostic(help("{hint}"))]
    NotMetadata {
        /// The metadata's URL.
        url: PublicUrl,
        /// What is wrong.
        reason: String,
        /// What may be the cause.
        hint: &'static str,
    },
    /// A digest that proves nothing.
    #[error("`{url}` vouches for the binary with `{algorithm}`; only sha256 counts")]
    #[diagnostic(help("push the binary again with a Spack of this decade, which uses sha256"))]
    WeakDigest {
        /// The metadata's URL.
        url: PublicUrl,
        /// The algorithm found.
        algorithm: String,
    },
    /// Metadata of another spec under this one's name: a mix-up, or an attempt to have Spack install something else.
    #[error("`{url}` describes {found} instead of {expected}")]
    #[diagnostic(help(
        "nothing of it is used. Find out who wrote that file: Spack does not publish one spec under the name of another"
    ))]
    OtherSpec {
        /// The metadata's URL.
        url: PublicUrl,
        /// The hash asked for.
        expected: DagHash,
        /// The hash found.
        found: String,
    },
}

impl MirrorError {
    pub(super) fn not_metadata(url: &url::Url, document: &[u8], reason: impl Into<String>) -> Self {
        let html = document.trim_ascii_start().starts_with(b"<");
        Self::NotMetadata {
            url: crate::transport::public(url),
            reason: reason.into(),
            hint: if html {
                "it is a web page: a login page, or a captive portal between here and the mirror?"
            } else {
                "is this the URL of a Spack mirror? If so, the file is damaged: push the spec again"
            },
        }
    }
}
