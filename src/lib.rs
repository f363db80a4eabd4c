//! larder keeps Spack binaries between the jobs of a GitLab pipeline.
//!
//! It reads an environment's lockfile, works out which binaries the job needs, checks the ones that a cache folder
//! holds byte for byte, downloads only what is missing, and hands Spack a local mirror. After the job it prunes the
//! caches and leaves them so that the runner has little or nothing to upload.
//!
//! Dependencies point one way, down this list; `tests/modules` says so when a circle comes back:
//!
//! | module | what it is for |
//! |---|---|
//! | [`commands`] | the use cases, one file each; they return a [`report::Report`] |
//! | [`pipeline`] | what commands share: from environments to binaries that lie in a cache, hashed |
//! | `export` `job` | a mirror to be carried elsewhere; the local mirror made of what a job needs |
//! | `runner` `archive` `spack` | what GitLab's runner does; its archives; Spack itself, which pushes what was built |
//! | `store` [`plan`] | the places that keep binaries; which specs are needed, and what each is |
//! | `mirror` `lockfile` `install_tree` [`spack_config`] [`config`] | formats that others write |
//! | [`transport`] | bytes from URLs |
//! | [`verified`] | where bytes become trusted: the first file to read |
//! | `yaml` `fs` [`report`] [`reporter`] [`interrupt`] [`types`] | text with places, hostile folders, what is told to people, names that were parsed |
//!
//! `CONTRIBUTING.md` has the map: which file to open for which change, and the way of a digest.

#![deny(missing_docs)]

mod archive;
pub mod commands;
pub mod config;
mod export;
mod fs;
mod install_tree;
pub mod interrupt;
mod job;
mod lockfile;
mod mirror;
pub mod pipeline;
pub mod plan;
pub mod report;
pub mod reporter;
mod runner;
mod spack;
pub mod spack_config;
mod store;
pub mod transport;
pub mod types;
pub mod verified;
mod yaml;
