//! How Spack gets the job mirror that `larder prepare` made.

use std::path::{Path, PathBuf};

use super::error::CommandError;
use crate::config::HandOver;
use crate::job::JobFolder;
use crate::job::hand_over::{self, HandedOver};
use crate::pipeline::Session;
use crate::spack;
use crate::types::Variables;

/// Hand Spack the job mirror in these ways. Without a Spack, each does what it can: the script may fetch one.
pub fn hand_over(session: &Session<'_>, ways: &[HandOver], named: Option<&Path>) -> Result<HandedOver, CommandError> {
    let folder = JobFolder::of(&session.config.root);
    let program = real_spack(&folder, &session.variables, named);
    Ok(hand_over::apply(&folder, ways, &session.config.environments, program.as_deref())?)
}

/// The program, which is not the one that an earlier run of larder put before it on the PATH.
fn real_spack(folder: &JobFolder, variables: &Variables, named: Option<&Path>) -> Option<PathBuf> {
    let own = folder.programs();
    let path = variables.set("PATH").unwrap_or_default().split(':').filter(|part| Path::new(part) != own);
    let path = ("PATH".to_owned(), path.collect::<Vec<_>>().join(":"));
    let root = variables.set("SPACK_ROOT").map(|root| ("SPACK_ROOT".to_owned(), root.to_owned()));
    spack::find(named, &Variables::new(std::iter::once(path).chain(root))).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_program_that_larder_made_is_not_taken_for_spack() {
        let project = tempfile::tempdir().unwrap();
        let folder = JobFolder::of(project.path());
        let real = project.path().join("real");
        for bin in [folder.programs(), real.clone()] {
            fs_err::create_dir_all(&bin).unwrap();
            fs_err::write(bin.join("spack"), "").unwrap();
            fs_err::set_permissions(bin.join("spack"), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", folder.programs().display(), real.display());
        let variables = Variables::new([("PATH".to_owned(), path)]);
        assert_eq!(real_spack(&folder, &variables, None).unwrap(), real.join("spack"));
    }
}
