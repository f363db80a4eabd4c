//! A metadata document, on the way from bytes to what it promises.
//!
//! Everything in it comes from the mirror, and is no better than that. Here is the one rule on what counts as a promise: a sha256.

use std::fmt::Display;

use serde::de::DeserializeOwned;

use super::MirrorError;
use super::clearsign::signed_text;
use crate::types::{BlobRole, MirrorPath, PublicUrl, shorten};
use crate::verified::{Expected, Size};

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

/// Whether metadata is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It holds a signature.
    Present,
    /// Its file has the name of a signed one, and Spack will not find a signature in it.
    InNameOnly,
    /// It has none.
    Absent,
}

/// A document, and the place that messages name.
#[derive(Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) at: &'a PublicUrl,
    pub(super) document: &'a [u8],
}

impl Metadata<'_> {
    /// The error for a document that Spack did not write.
    pub(super) fn wrong(&self, reason: impl Display) -> MirrorError {
        let html = self.document.trim_ascii_start().starts_with(b"<");
        MirrorError::NotMetadata {
            url: self.at.clone(),
            reason: reason.to_string(),
            hint: if html {
                "it is a web page: a login page, or a captive portal between here and the mirror?"
            } else {
                "is this the URL of a Spack mirror? If so, the file is damaged: push the spec again"
            },
        }
    }

    /// What the JSON says.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, MirrorError> {
        serde_json::from_slice(self.document).map_err(|error| self.wrong(error))
    }

    /// What the JSON says inside of the signature, if there is one, and whether there is one.
    pub(super) fn signed_json<T: DeserializeOwned>(&self) -> Result<(T, Signature), MirrorError> {
        let text = std::str::from_utf8(self.document).map_err(|error| self.wrong(error))?;
        let signed = signed_text(text).map_err(|reason| self.wrong(reason))?;
        let json = serde_json::from_str(signed.as_deref().unwrap_or(text)).map_err(|error| self.wrong(error))?;
        Ok((json, if signed.is_some() { Signature::Present } else { Signature::Absent }))
    }

    /// What the document promises of a blob. Only sha256 counts: bytes with an md5 or sha1 of one's choice can be made.
    pub(super) fn promise(&self, algorithm: &str, digest: &str, size: Size) -> Result<Expected, MirrorError> {
        if algorithm != "sha256" {
            return Err(MirrorError::WeakDigest { url: self.at.clone(), algorithm: shorten(algorithm) });
        }
        Ok(Expected { digest: digest.parse().map_err(|error| self.wrong(error))?, size })
    }
}
