//! The program as people and pipelines use it: real processes, real folders, real HTTP servers on this machine.
//!
//! One file per risk. [`context`] sets up a project folder and runs the program in a clean environment, [`server`] serves
//! a mirror and misbehaves on demand, [`fixtures`] knows the mirrors and environments that real Spack made, [`requirement`]
//! decides whether a test runs that needs more than that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that can't go on fails"
)]

mod archives;
mod authority;
mod context;
mod fixtures;
mod images;
mod requirement;
mod s3_server;
mod server;

mod authentication;
mod collect;
mod concurrent_jobs;
mod configuration;
mod corpus;
mod corrupt_cache;
mod corrupt_download;
mod disk_full;
mod docs;
mod export;
mod first_and_second_run;
mod hand_over;
mod hostile_archives;
mod indexes;
mod init;
mod interrupted;
mod job_log;
mod large_blobs;
mod lockfiles;
mod mirrors_unreachable;
mod nginx;
mod no_op;
mod object_stores;
mod optional_mirrors;
mod output;
mod path_safety;
mod prune;
mod pushed;
mod real_spack;
mod real_spack_run;
mod registries;
mod remote_cache;
mod run;
mod runner_archives;
mod runner_rules;
mod secure_connections;
mod selection;
mod server_itself;
mod uploads;
