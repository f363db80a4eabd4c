//! Values that were parsed once and are right from then on.
//!
//! Everything that comes from a mirror, a cache folder or a lockfile is text from outside. It enters the
//! program through the `FromStr` of one of these types, and only then may it take part in a path or a URL. Serde goes
//! through the same door.

mod access;
mod age;
mod dag_hash;
mod digest;
mod hash_prefix;
mod mirror;
mod mirror_path;
mod mirror_url;
mod names;
mod normal_path;
mod public_url;
mod registry_url;
mod request;
mod serde_as_text;
mod spec_id;
mod totals;
mod upload_cause;
mod variables;

pub use access::{Access, AccessPair, Secret};
pub use age::MaxAge;
pub use dag_hash::{DagHash, InvalidDagHash};
pub(crate) use digest::shorten;
pub use digest::{InvalidDigest, Sha256Digest};
pub use hash_prefix::{HashPrefix, InvalidHashPrefix};
pub use mirror::{Mirror, Signatures};
pub use mirror_path::MirrorPath;
pub use mirror_url::{InvalidMirrorUrl, MirrorUrl, PlainHttp};
pub(crate) use mirror_url::{is_loopback, is_object_store};
pub(crate) use names::text_like;
pub use names::{InvalidName, PackageName, PathPart, VersionText, path_part};
pub use normal_path::normalise;
pub use public_url::PublicUrl;
pub(crate) use public_url::without_user;
pub use request::{BlobRole, Request};
pub(crate) use serde_as_text::{deserialize_as_text, serde_as_text};
pub use spec_id::{Arch, Compiler, SpecId};
pub use totals::Totals;
pub use upload_cause::UploadCause;
pub use variables::Variables;
