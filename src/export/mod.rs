//! A folder to be carried to a site without a network: a mirror, environments, and what larder and Spack have to know.
//!
//! ```text
//! README.txt                      for the person at the other site
//! larder-export.json              larder's mark, and what the folder holds
//! larder.yaml                     names the environments and the mirrors, by relative paths
//! environments/<name>/            spack.yaml and spack.lock, byte for byte
//! mirror/                         v3/… and/or build_cache/…: metadata as published, blobs, index, public keys
//! mirror-unsigned/                the same for mirrors without signatures, where both kinds occur (docs/adr/0003)
//! spack/mirrors.yaml              a configuration scope for `spack -C`
//! .larder-partial/                unfinished files; gone at the end
//! ```
//!
//! Everything is a real file: a stick may have a file system without links, and through a hard link into a cache, an edit of the
//! export would be an edit of the cache. A file appears under its name when it is whole, and what refers to others comes after
//! them: blobs, keys, metadata, index, environments, `larder.yaml`. So a folder whose making was interrupted promises nothing
//! that it does not hold, and the next run adds what is missing. Nothing is ever removed but an index that was replaced.

mod environments;
mod error;
mod folder;
mod mirrors;
mod record;
mod texts;

pub use environments::write_environments;
pub use error::ExportError;
pub use folder::ExportFolder;
pub use mirrors::{Batch, Copy};
pub use record::ExportRecord;
pub use texts::{Contents, write_texts};
