//! What is typed and what is shown. Nothing outside this folder prints.
//!
//! | module | what it is for |
//! |---|---|
//! | [`run`] | the program from its arguments to its exit code: the page to read first |
//! | [`command_line`] [`global`] [`selection`] [`hand_over`] | the arguments: all of them, those of every command, which specs, how Spack gets the mirror |
//! | [`commands`] | a file for each command: its arguments, its help, its call, what it shows |
//! | [`needed`] [`cache_lines`] [`table`] | what several commands show: needed specs, pruned caches, tables |
//! | [`invocation`] | what a command is given: configuration, session, and the way to show its report |
//! | [`configuration`] | larder.yaml with the command line on top |
//! | [`outcome`] | how a run ends: exit codes, and why it failed |
//! | [`console`] [`palette`] [`printable`] [`units`] | where text goes, its colours, hostile text made harmless, sizes and times |
//! | [`progress`] [`sections`] | bars on a terminal, plain lines in a job log, folded by GitLab |
//! | [`diagnostics`] | an error: what failed, why, and what to do |
//! | [`logging`] [`signals`] | `-v`; SIGTERM and SIGINT |
//!
//! What a command shows is made by functions from a report to text, so that their tests need no terminal; only
//! `console`, `progress::screen` and `logging` write. Results go to standard output, everything else to standard error.

mod cache_lines;
mod command_line;
mod commands;
mod configuration;
mod console;
mod diagnostics;
mod global;
mod hand_over;
mod invocation;
mod logging;
mod needed;
mod outcome;
mod palette;
mod printable;
mod progress;
pub(crate) mod run;
mod sections;
mod selection;
mod signals;
mod table;
mod units;

#[cfg(test)]
mod tests;
