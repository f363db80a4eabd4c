//! The Spack of this machine, which is not the program that larder put before it on the PATH.

use std::path::{Path, PathBuf};

use crate::job::JobFolder;
use crate::spack::{self, SpackError};
use crate::types::Variables;

/// The program that was named, or the first of the PATH that an earlier run of larder did not make, or the one below `SPACK_ROOT`.
pub(crate) fn real_spack(
    folder: &JobFolder,
    variables: &Variables,
    named: Option<&Path>,
) -> Result<PathBuf, SpackError> {
    let own = folder.programs();
    let path = variables.set("PATH").unwrap_or_default().split(':').filter(|part| Path::new(part) != own);
    let path = ("PATH".to_owned(), path.collect::<Vec<_>>().join(":"));
    let root = variables.set("SPACK_ROOT").map(|root| ("SPACK_ROOT".to_owned(), root.to_owned()));
    spack::find(named, &Variables::new(std::iter::once(path).chain(root)))
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
