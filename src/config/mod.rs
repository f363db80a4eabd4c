//! `larder.yaml`: which environments, mirrors and caches a project has, and what its jobs need.
//!
//! The file is optional, and so is every key; `docs/configuration.md` describes them for users. Whatever can be found
//! wrong without looking at other files is found here, with the line it is on, before anything is done. The way of a
//! value through this module:
//!
//! 1. [`crate::yaml`] makes a bounded tree of the text, in which each value knows its place.
//! 2. `expand` replaces `${NAME}` in the values.
//! 3. `schema` is what the file may say: structs that serde reads from the tree, whose texts parse themselves (`text`).
//!    The JSON schema is made of the same structs.
//! 4. `caches`, `mirrors` and `file` check what depends on more than one value, and put the [`Config`] together.

mod access;
mod build_deps;
mod built_entry;
mod cache_entry;
mod cache_name;
mod caches;
mod concretize;
mod error;
mod expand;
mod file;
mod folders;
mod hand_over;
mod jobs;
mod keep;
mod mirror_pattern;
mod mirrors;
mod network;
mod project;
mod push_rule;
mod schema;
mod set_aside;
mod slack;
#[cfg(test)]
mod tests;
mod text;

pub use build_deps::BuildDeps;
pub use built_entry::{BuiltEntry, BuiltMirrorEntry, Upkeep};
pub use cache_entry::{CacheEntry, Kept, RemoteCacheEntry};
pub use cache_name::CacheName;
pub use concretize::Concretize;
pub use error::ConfigError;
pub use hand_over::HandOver;
pub use jobs::JobRule;
pub use keep::{Keep, KeepRules, LockfileBlobs};
pub use mirror_pattern::Prefixes;
pub use project::Config;
pub use push_rule::PushRule;
pub use schema::schema;
pub use set_aside::SetAside;
pub use slack::Slack;
pub use text::Size;
