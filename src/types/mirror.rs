//! What a configuration says of a mirror, larder's or Spack's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Access, MirrorUrl, PlainHttp};

/// A Spack mirror, as configured. How it is asked is the business of [`crate::mirror`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its name in the configuration.
    pub name: String,
    /// Where it lives.
    pub url: MirrorUrl,
    /// Whether Spack insists on signatures.
    pub signatures: Signatures,
    /// Whether it may do without TLS.
    pub plain_http: PlainHttp,
    /// Credentials, and where it is reached.
    pub access: Arc<Access>,
    /// Whether a run goes on without it.
    pub presence: Presence,
}

/// Whether a run goes on without a mirror that is not there or can't be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is an error: a mirror that can't be asked is not taken for one without binaries.
    #[default]
    Required,
    /// It is told once, and the other mirrors are asked: `optional: true`.
    Optional,
}

impl Mirror {
    /// What Spack demands of what comes from here. Nothing of what comes from a registry: that has no place for signatures, and
    /// Spack asks for none whatever `signed:` says (`download_tarball` in `binary_distribution.py`, 1.1.0).
    pub fn demanded_signatures(&self) -> Signatures {
        if self.url.is_registry() { Signatures::NotRequired } else { self.signatures }
    }
}

/// Whether Spack checks the signature of a mirror's metadata: `signed:` of a mirror entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Signatures {
    /// `signed: true`, Spack's default.
    #[default]
    Required,
    /// `signed: false`.
    NotRequired,
}

impl From<bool> for Signatures {
    fn from(signed: bool) -> Self {
        if signed { Self::Required } else { Self::NotRequired }
    }
}

impl From<Signatures> for bool {
    fn from(signatures: Signatures) -> Self {
        signatures == Signatures::Required
    }
}
