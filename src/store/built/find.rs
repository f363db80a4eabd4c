//! One spec of the folder: read, parsed, hashed, and only then believed.

use std::io;

use crate::fs::Kind;
use crate::mirror::{Answer, Layout, Published, PublishedBlob};
use crate::store::built::{Folder, MAX_DOCUMENT};
use crate::store::{StoredBlob, Validation};
use crate::types::{MirrorPath, SpecId};

/// How closely blobs are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// By name and size, for `plan`.
    Names,
    /// Each is read and hashed.
    Bytes,
}

/// What the folder has of a spec.
#[derive(Debug)]
pub struct FoundSpec {
    /// The metadata and what it promises.
    pub published: Published,
    /// The blobs, hashed in this run; none at [`Depth::Names`].
    pub blobs: Vec<StoredBlob>,
    /// The size of the blobs together.
    pub bytes: u64,
}

/// The folder's answer for a spec.
#[derive(Debug)]
pub enum Lookup {
    /// It has it, whole and right as far as was looked.
    Has(Box<FoundSpec>),
    /// It does not have it.
    Lacks,
    /// There is something under its name that can't be used: as good as nothing. The text names the file.
    Unusable(String),
}

impl Folder {
    /// Look for a spec. Changes nothing.
    pub fn look_for(&self, spec: &SpecId, depth: Depth) -> Lookup {
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
        let file = path.below(&self.root);
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
            let at = blob.path.below(&self.root);
            let wrong = |reason: &str| format!("`{}`, which `{}` promises, {reason}", at.display(), file.display());
            let unreadable = |error: io::Error| wrong(&format!("can't be read: {error}"));
            let kind = self.kind_of(&blob.path).map_err(unreadable)?;
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
                Validation::Corrupt(damage) => return Err(wrong(&format!("is damaged: {}", damage.reason()))),
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
        Ok(Lookup::Has(Box::new(FoundSpec { published, blobs, bytes })))
    }

    /// A document, or `None` where there is none. The error names the file.
    pub(super) fn read(&self, path: &MirrorPath) -> Result<Option<Vec<u8>>, String> {
        let file = path.below(&self.root);
        let unreadable = |error: io::Error| format!("`{}` can't be read: {error}", file.display());
        match self.kind_of(path).map_err(unreadable)? {
            Kind::Missing => Ok(None),
            Kind::File(_) => crate::fs::read_capped(&file, MAX_DOCUMENT).map_err(|error| error.to_string()),
            Kind::Folder | Kind::Other => Err(format!("`{}` is not a regular file", file.display())),
        }
    }
}
