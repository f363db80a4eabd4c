//! What people type and what they see. Nothing outside this folder prints.
//!
//! | module | what it is for |
//! |---|---|
//! | [`args`] | the command line |
//! | [`console`] | where text goes, in which colours, and how hostile text is made harmless |
//! | [`progress`] | bars on a terminal, plain lines in a job log |
//! | [`summary`] | what a run did, in a few sentences |
//! | [`tables`] | `plan`, `list` and `verify`, for reading |
//! | [`json`] | the same as data |
//! | [`diagnostics`] | an error: what failed, why, and what to do |
//! | [`run`] | which use case a command line means, and how its report is shown |
//! | [`sections`] | parts of a GitLab job log that fold |
//! | [`signals`] | being told to stop |
//! | [`logging`] | `-v`, for those who look for a fault |
//!
//! Every module but `console` and `logging` makes text from values, so that its tests need no terminal. Results go to
//! standard output, everything else to standard error.

pub mod args;
pub mod console;
pub mod diagnostics;
pub mod json;
pub mod logging;
pub mod progress;
pub mod run;
pub mod sections;
pub mod signals;
pub mod summary;
pub mod tables;

#[cfg(test)]
mod samples;
