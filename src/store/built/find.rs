//! One spec of the folder: read, parsed, hashed, and only then believed.

use std::io;

use super::folder::BuiltFolder;
use crate::fs::Kind;
use crate::mirror::{Answer, Layout, Published, PublishedBlob};
use crate::store::error::StoreError;
use crate::store::inventory::Item;
use crate::store::{StoredBlob, Validation};
use crate::types::{MirrorPath, SpecId};
use crate::verified::Expected;

/// How closely blobs are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// By name and size, for `plan`.
    Names,
    /// Each is read and hashed.
    Bytes,
}

/// What the folder has of a spec.
#[derive(Debug)]
pub(crate) struct FoundSpec {
    /// The metadata and what it promises.
    pub published: Published,
    pub binary: BuiltBinary,
}

/// A binary in the folder.
#[derive(Debug)]
pub(crate) struct BuiltBinary {
    /// The blobs, hashed in this run; none at [`Depth::Names`].
    pub blobs: Vec<StoredBlob>,
    /// The size of the blobs together.
    pub bytes: u64,
}

/// The folder's answer for a spec.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// It has it, whole and right as far as was looked.
    Has(Box<FoundSpec>),
    /// It does not have it.
    Lacks,
    /// There is something under its name that can't be used: as good as nothing. The text names the file.
    Unusable(String),
}

impl BuiltFolder {
    /// Look for a spec. Changes nothing.
    pub(crate) fn look_for(&self, spec: &SpecId, depth: Depth) -> Lookup {
        for (layout, path) in Layout::places(spec) {
            let document = match self.read(&path) {
                Ok(Some(document)) => document,
                Ok(None) => continue,
                Err(reason) => return Lookup::Unusable(reason),
            };
            return self.check(spec, layout, path, document, depth).unwrap_or_else(Lookup::Unusable);
        }
        Lookup::Lacks
    }

    fn check(
        &self,
        spec: &SpecId,
        layout: Layout,
        path: MirrorPath,
        document: Vec<u8>,
        depth: Depth,
    ) -> Result<Lookup, String> {
        let file = self.folder.path_of(&path);
        let named_signed = file.extension().is_some_and(|extension| extension == "sig");
        if named_signed && !document.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
            return Err(format!("`{}` is not signed, for all its name", file.display()));
        }
        let published = match self.mirror.understand(spec, layout, path, document) {
            Ok(Answer::Has(published)) => *published,
            Ok(Answer::Unsigned(_)) => {
                return Err(format!("`{}` has no signature, and the mirror is `signed: true`", file.display()));
            }
            Ok(Answer::Lacks) => return Ok(Lookup::Lacks),
            Err(error) => return Err(error.to_string()),
        };
        let (mut blobs, mut bytes) = (Vec::new(), 0);
        for blob in &published.blobs {
            let at = self.folder.path_of(&blob.path);
            let wrong = |reason: &str| format!("`{}`, which `{}` promises, {reason}", at.display(), file.display());
            let unreadable = |error: io::Error| wrong(&format!("can't be read: {error}"));
            let kind = self.folder.kind_of(&blob.path).map_err(unreadable)?;
            let Kind::File(size) = kind else {
                return Err(wrong(if kind == Kind::Missing { "is missing" } else { "is not a regular file" }));
            };
            if !blob.expected.size.allows(size) {
                return Err(wrong(&format!("has {size} bytes instead of {}", blob.expected.size.limit())));
            }
            bytes += size;
            if depth == Depth::Names {
                continue;
            }
            match StoredBlob::validate(&at, kind, blob.expected, &|_| ()).map_err(unreadable)? {
                Validation::Intact(stored) => blobs.push(stored),
                Validation::Missing => return Err(wrong("is missing")),
                Validation::Corrupt(damage) => return Err(wrong(&format!("is damaged: {}", damage.reason))),
            }
        }
        if depth == Depth::Bytes {
            // A manifest of layout v3 does not name its spec; the spec's own blob does.
            let locate = |blob: &PublishedBlob| {
                let stored = blobs.iter().find(|stored| stored.digest() == blob.expected.digest)?;
                Some((stored.path().to_owned(), stored.bytes()))
            };
            let described = published
                .described(&published.document, &locate)
                .map_err(|reason| format!("`{}` does not describe a spec: {reason}", file.display()))?
                .hash();
            if described != spec.hash {
                return Err(format!("`{}` describes {described} instead of {}", file.display(), spec.hash));
            }
        }
        Ok(Lookup::Has(Box::new(FoundSpec { published, binary: BuiltBinary { blobs, bytes } })))
    }

    /// Hash one of the blobs that an item promises.
    pub(in crate::store) fn validate(
        &self,
        item: &Item,
        expected: Expected,
        on_bytes: &dyn Fn(usize),
    ) -> Result<Validation, StoreError> {
        let promised = item.blobs.iter().zip(&item.files).find(|(blob, _)| blob.digest == expected.digest);
        let Some((_, file)) = promised else { return Ok(Validation::Missing) };
        let path = MirrorPath::new(file.iter().filter_map(|part| part.to_str()));
        let validate =
            || StoredBlob::validate(&self.folder.path_of(&path), self.folder.kind_of(&path)?, expected, on_bytes);
        validate().map_err(self.failed("read a blob"))
    }
}
