//! Spack binary mirrors: which files one publishes for a spec, what they promise, and how larder writes a mirror of its own.
//!
//! | module | what it is for |
//! |---|---|
//! | `published` | asking a mirror for a spec; what its metadata means |
//! | `keys` | the public keys that a mirror publishes |
//! | `index` | the list of what a mirror has, as larder writes it |
//! | `published_index` | the same as a mirror publishes it, handed on unread |
//! | `layout` | the layouts, by name |
//! | `v3`, `v2` | one layout each: Spack 1.0 and later, 0.18 to 0.23 |
//! | `oci` | registries, whose images are shown as layout v3 |
//! | `rules` | what a layout has to define; to add one, implement it in a new file and name it in `layout` |
//! | `metadata`, `clearsign`, `spec_file` | documents, read from the outside in: signature, promise, the spec itself |
//! | `document` | metadata that waits for its place in the job mirror or an export |
//!
//! v3 is asked before v2, as Spack does. "The mirror does not have it" is only what a server clearly says (404, and 403 of an
//! object store); anything else is an error, because a mirror that can't be reached must never be taken for one that lacks the
//! spec.

mod clearsign;
mod document;
mod error;
mod fingerprint;
mod index;
mod keys;
mod layout;
mod metadata;
mod oci;
mod published;
mod published_index;
mod rules;
mod spec_file;
mod v2;
mod v3;

pub use document::Document;
pub use error::MirrorError;
pub use fingerprint::Fingerprint;
pub(crate) use index::indexes;
pub(crate) use keys::{key_files, keys_at};
pub use layout::Layout;
pub use metadata::{PublishedBlob, Signature};
pub use oci::{spec_of_tag, survey_config, survey_image};
pub use published::Published;
pub(crate) use published_index::PublishedIndex;
pub use rules::{Place, Survey};
pub(crate) use spec_file::SpecNodes;
