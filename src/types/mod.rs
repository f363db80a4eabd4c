//! Values that were parsed once and are right from then on.
//!
//! Everything that comes from a mirror, a cache folder or a lockfile is text from outside. It enters the
//! program through the `FromStr` of one of these types, and only then may it take part in a path or a URL. Serde goes
//! through the same door.

mod access;
mod age;
mod dag_hash;
mod digest;
mod mirror;
mod mirror_path;
mod mirror_url;
mod names;
mod normal_path;
mod public_url;
mod registry_url;
mod request;
mod spec_id;
mod text_type;
mod totals;
mod upload_cause;
mod variables;

pub use access::{Access, AccessPair, Secret};
pub use age::MaxAge;
pub use dag_hash::{DagHash, HashPrefix, InvalidHashPrefix};
pub use digest::Sha256Digest;
pub use mirror::{Mirror, Presence, Signatures};
pub use mirror_path::MirrorPath;
pub use mirror_url::{InvalidMirrorUrl, MirrorUrl, PlainHttp};
pub(crate) use mirror_url::{is_loopback, is_object_store};
pub use names::{PackageName, VersionText, path_part};
pub use normal_path::normalise;
pub use public_url::PublicUrl;
pub(crate) use public_url::without_user;
pub use request::{BlobRole, IndexRequest, IndexStanding, Purpose, Request};
pub use spec_id::{Arch, Compiler, SpecId};
pub use text_type::InvalidText;
pub(crate) use text_type::{deserialize_as_text, printed_as_str, serde_as_text, shorten, text_like};
pub use totals::Totals;
pub use upload_cause::{UploadCause, UploadRule};
pub use variables::Variables;
