//! The folder itself.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use crate::config::BuiltEntry;
use crate::fs::Folder;
use crate::store::StoreError;
use crate::types::{Mirror, MirrorPath, MirrorUrl, PlainHttp, Presence, Signatures};

/// The most bytes of one metadata document: stops a file of gigabytes from filling the memory.
const MAX_DOCUMENT: u64 = 8 << 20;

/// A folder of binaries that the branch built, which may not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct BuiltFolder {
    pub(super) folder: Folder,
    pub(super) mirror: Arc<Mirror>,
}

impl BuiltFolder {
    /// The folder of this entry. Folders between `project` and it must not be links either: an archive could hold one.
    pub(crate) fn open(entry: &BuiltEntry, project: &Path) -> Result<Self, StoreError> {
        let built = Self::at(&entry.path, &entry.name, entry.signatures)?;
        match built.folder.first_link(project).map_err(built.failed("look"))? {
            Some(path) => Err(StoreError::NotAFolder { path }),
            None => Ok(built),
        }
    }

    /// A folder that Spack is to push into, judged as the place would be that is meant in the end.
    pub(crate) fn scratch(name: &str, signatures: Signatures, path: &Path) -> Result<Self, StoreError> {
        Self::at(path, name, signatures)
    }

    fn at(path: &Path, name: &str, signatures: Signatures) -> Result<Self, StoreError> {
        let odd = |reason| StoreError::Io {
            store: format!("mirror `{name}`"),
            what: "name a folder",
            source: io::Error::other(reason),
        };
        let url = MirrorUrl::parse(&path.to_string_lossy(), Path::new("/")).map_err(odd)?;
        let plain_http = PlainHttp::LoopbackOnly;
        let mirror = Mirror {
            name: name.to_owned(),
            url,
            signatures,
            plain_http,
            access: Arc::default(),
            presence: Presence::default(),
        };
        Ok(Self { folder: Folder::at(path), mirror: Arc::new(mirror) })
    }

    /// Its name in the configuration.
    pub(crate) fn name(&self) -> &str {
        &self.mirror.name
    }

    /// The folder's own path.
    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }

    /// A document, or `None` where there is none. The error names the file.
    pub(super) fn read(&self, path: &MirrorPath) -> Result<Option<Vec<u8>>, String> {
        match self.folder.read(path, MAX_DOCUMENT) {
            // Nothing is found behind a link: then the link is what is wrong.
            Ok(None) => match self.folder.link_above(path) {
                Ok(Some(link)) => Err(format!("`{}` is not a folder", link.display())),
                Ok(None) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
            read => read.map_err(|error| error.to_string()),
        }
    }

    pub(super) fn failed<'a>(&'a self, what: &'static str) -> impl Fn(io::Error) -> StoreError + 'a {
        move |source| StoreError::Io { store: self.to_string(), what, source }
    }
}

impl fmt::Display for BuiltFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mirror `{}`", self.name())
    }
}
