//! larder keeps Spack binaries between the jobs of a GitLab pipeline.
//!
//! It reads an environment's lockfile, works out which binaries the job needs, checks the ones that a cache folder
//! holds byte for byte, downloads only what is missing, and hands Spack a local mirror. After the job it prunes the
//! caches and leaves them so that the runner has little or nothing to upload.
//!
//! The modules depend on each other in one direction only, down this list:
//!
//! | module | what it is for |
//! |---|---|
//! | [`commands`] | the use cases, one file each; they take a [`reporter::Reporter`] and return a [`report::Report`] |
//! | [`export`] | a mirror and environments in one folder, to be carried to another site |
//! | [`collected`] [`spack_push`] | the folder of what a pipeline built; Spack itself, which pushes into it |
//! | [`plan`] [`job`] | which specs are needed, and what each is; the local mirror made of what a job needs |
//! | [`lockfile`] [`mirror`] [`cache`] [`archive`] [`config`] [`spack_config`] [`install_tree`] | the domain: formats and folders |
//! | [`transport`] | bytes from URLs, verified while they stream |
//! | [`types`] [`fs`] [`report`] [`metrics`] [`reporter`] [`interrupt`] | names that were parsed, atomic writes, what is told to people, and by them |
//!
//! A newcomer's first file is [`transport::verifier`]: it is where bytes become trusted.

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
pub mod spack_config;
mod spack_push;
mod store;
pub mod transport;
pub mod types;
pub mod verified;
mod yaml;

/// The version of this program, as it appears in the `User-Agent` header and in reports.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
