//! What holds for every command, and reports for the tests of this folder.

pub(crate) mod samples;
