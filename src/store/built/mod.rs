//! The store of what a pipeline built from source, so that the branch's next pipeline installs it instead.
//!
//! ```text
//! <folder>/v3/manifests/spec/NAME/….spec.manifest.json   metadata as Spack 1.x pushed it
//! <folder>/blobs/sha256/ab/abcd…                          its blobs
//! <folder>/build_cache/….spec.json[.sig]                  metadata as Spack 0.x pushed it
//! <folder>/build_cache/ARCH/COMPILER/PACKAGE/….spack      its archive
//! ```
//!
//! It is a mirror without index, layout file and keys, and GitLab restores it from an archive that any job of the
//! branch may have written. That is the one place where metadata comes out of a cache, so it is never trusted more than need be:
//! it is asked after all mirrors, no link in it is followed, every blob is hashed in place before a job mirror may link to it,
//! the metadata must describe the very spec that was asked for, and with `signed: true` it must carry a signature, which Spack
//! verifies. Whatever is wrong with it, the answer is that the folder does not have the spec: then Spack builds it, as it
//! would have without the folder.
//!
//! Metadata and blobs come and go together. Blobs are there before the metadata that promises them, and metadata goes before its
//! blobs, so that a run that is killed half-way leaves at worst blobs that nothing mentions, which the next pruning removes.
//!
//! | module | what it is for |
//! |---|---|
//! | `find` | one spec, checked |
//! | `scan` | everything in the folder |
//! | `change` | adding and removing |

mod change;
mod find;
mod folder;
mod scan;

pub(crate) use find::{BuiltBinary, Depth, FoundSpec, Lookup};
pub(crate) use folder::BuiltFolder;
