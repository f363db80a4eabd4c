//! Where the programs are that only these tests need.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::requirement::Requirement;

/// The folders to look in, those that CI installed into first.
fn folders() -> Vec<PathBuf> {
    let named = env::var_os("LARDER_TEST_CI_TOOLS").unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&named).chain(env::split_paths(&path)).filter(|folder| folder.is_absolute()).collect()
}

/// A `PATH` on which this folder's programs, larder and all others are found.
pub fn path_with(first: &Path) -> OsString {
    let larder = Path::new(env!("CARGO_BIN_EXE_larder")).parent().unwrap();
    env::join_paths([first.to_owned(), larder.to_owned()].into_iter().chain(folders())).unwrap()
}

/// Where a program is.
pub fn find(name: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A check of a file against GitLab's own schema; `None` where its program is missing and not required.
pub fn schema_check() -> Option<impl Fn(&Path) -> Output> {
    let program = have(Requirement::Schema, &["check-jsonschema"])?.remove(0);
    Some(move |file: &Path| {
        Command::new(&program).args(["--builtin-schema", "vendor.gitlab-ci"]).arg(file).output().unwrap()
    })
}

/// Whether pipelines can run here; if not, and they have to, the test fails.
pub fn can_run_pipelines() -> bool {
    let programs = ["gitlab-ci-local", "rsync", "git", "bash", "curl", "sha256sum"];
    have(Requirement::Pipelines, &programs).is_some()
}

fn have(requirement: Requirement, names: &[&str]) -> Option<Vec<PathBuf>> {
    let missing: Vec<_> = names.iter().filter(|name| find(name).is_none()).collect();
    let reason = || format!("no {missing:?} on the PATH or in LARDER_TEST_CI_TOOLS; .ci/run installs them");
    requirement.met(names.iter().map(|name| find(name)).collect::<Option<_>>().ok_or_else(reason))
}
