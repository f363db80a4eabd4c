//! Object stores: `s3://`, `gs://` and `az://`, through the crate `object_store`.
//!
//! Requests, signatures and the formats of the answers are the library's; what HTTP may do is decided in `client`, what a
//! refusal means in `refusal`, and where credentials are found in `s3`, `google` and `azure`. Repeating is left to
//! [`super::retry`], like that of every other transport.
//!
//! "Does not have it" is only what a store clearly says of a key: a bucket that does not exist, credentials that are wrong
//! and a store that can't be reached are errors.

mod azure;
mod client;
pub(super) mod error;
mod google;
mod profile;
mod read;
pub(super) mod refusal;
mod s3;
mod settings;
mod store;
mod write;

pub use error::Cause;
pub use refusal::Refusal;
pub(super) use store::Objects;
pub use write::{Listed, UploadError, Written};
