//! How Spack gets the job mirror that `larder prepare` made.

use std::path::Path;

use super::error::CommandError;
use crate::config::HandOver;
use crate::job::JobFolder;
use crate::job::hand_over::{self, HandedOver};
use crate::pipeline::Session;
use crate::pipeline::real_spack::real_spack;

/// Hand Spack the job mirror in these ways. Without a Spack, each does what it can: the script may fetch one.
pub fn hand_over(session: &Session<'_>, ways: &[HandOver], named: Option<&Path>) -> Result<HandedOver, CommandError> {
    let folder = JobFolder::of(&session.config.root);
    let program = real_spack(&folder, &session.variables, named).ok();
    Ok(hand_over::apply(&folder, ways, &session.config.environments, program.as_deref())?)
}
