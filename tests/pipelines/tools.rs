//! Where the programs are that only these tests need.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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

/// Whether the programs are here; says which one is not.
pub fn have(names: &[&str]) -> bool {
    let missing: Vec<_> = names.iter().filter(|name| find(name).is_none()).collect();
    if !missing.is_empty() {
        eprintln!("skipped: no {missing:?} on the PATH or in LARDER_TEST_CI_TOOLS; .ci/run installs them");
    }
    missing.is_empty()
}
