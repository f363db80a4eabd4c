//! What Spack has already installed, from the database of an install tree.
//!
//! The database is `<root>/.spack-db/index.json`: `{"database": {"installs": {HASH: {"spec": …, "installed": true, …}}}}`,
//! alike in Spack 0.19 to 1.1. It describes every spec in full and can have hundreds of megabytes, of which larder needs a
//! flag and a folder per hash, so it is read as a stream.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use miette::Diagnostic;
use serde::Deserialize;
use thiserror::Error;

use crate::types::DagHash;

/// The most bytes that a database may have: a bound for what a broken file can cost.
const MAX_DATABASE: u64 = 1024 * 1024 * 1024;

/// The database of an install tree can't be read.
#[derive(Debug, Error, Diagnostic)]
pub enum InstallTreeError {
    /// The file is there and can't be read.
    #[error("can't read the database `{}` of an install tree", path.display())]
    #[diagnostic(help("may this user read it?"))]
    Unreadable { path: PathBuf, source: io::Error },
    /// Not what Spack writes.
    #[error("`{}` is not the database of a Spack install tree", path.display())]
    #[diagnostic(help("`spack reindex` writes it anew"))]
    Malformed { path: PathBuf, source: serde_json::Error },
    /// Larger than any database.
    #[error("`{}` is {size} bytes long; at most {MAX_DATABASE} are expected of a database", path.display())]
    #[diagnostic(help("`spack reindex` writes it anew"))]
    TooLarge { path: PathBuf, size: u64 },
    /// A folder, a pipe or a device.
    #[error("`{}` is not a regular file", path.display())]
    #[diagnostic(help("is this the root of a Spack install tree?"))]
    NotAFile { path: PathBuf },
}

/// The specs that are installed in the tree at `root`, `None` where it has no database: nothing was installed there yet, or
/// it is no install tree. A tree that the user named is expected to have one.
pub fn installed_specs(root: &Path) -> Result<Option<HashSet<DagHash>>, InstallTreeError> {
    Ok(installations(root)?.map(|found| found.into_keys().collect()))
}

/// The same, with the folder of each, where the database names one.
pub fn installations(root: &Path) -> Result<Option<HashMap<DagHash, Option<PathBuf>>>, InstallTreeError> {
    let path = root.join(".spack-db").join("index.json");
    let unreadable = |source| InstallTreeError::Unreadable { path: path.clone(), source };
    let size = match fs::metadata(&path) {
        Ok(meta) if meta.is_file() => meta.len(),
        Ok(_) => return Err(InstallTreeError::NotAFile { path }),
        Err(error) if crate::fs::is_missing(&error) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    };
    if size > MAX_DATABASE {
        return Err(InstallTreeError::TooLarge { path, size });
    }
    let file = fs::File::open(&path).map_err(unreadable)?;
    // The file may grow while it is read.
    let document: Document = serde_json::from_reader(BufReader::with_capacity(1 << 16, file.take(MAX_DATABASE)))
        .map_err(|source| match source.classify() {
            serde_json::error::Category::Io => InstallTreeError::Unreadable { path, source: source.into() },
            _ => InstallTreeError::Malformed { path, source },
        })?;
    let installed = document.database.installs.into_iter().filter(|(_, record)| record.installed);
    Ok(Some(installed.map(|(hash, record)| (hash, record.path)).collect()))
}

/// Whether an installation came from a binary. Every binary holds this file, Spack unpacks it with the rest, and a build
/// does not make it (`buildinfo_file_name` in `spack/binary_distribution.py` of 0.23.1 and 1.1.0).
pub fn is_from_binary(prefix: &Path) -> bool {
    prefix.join(".spack").join("binary_distribution").exists()
}

#[derive(Deserialize)]
struct Document {
    database: Database,
}

#[derive(Deserialize)]
struct Database {
    installs: HashMap<DagHash, Record>,
}

/// A spec that was uninstalled stays in the database while another one refers to it.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    installed: bool,
    path: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "htwdxxsuw2el2xq772xifvrsdng4li3u";
    const TWO: &str = "abcdefghijklmnopqrstuvwxyz234567";

    fn tree(text: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            std::fs::create_dir(root.path().join(".spack-db")).unwrap();
            std::fs::write(root.path().join(".spack-db/index.json"), text).unwrap();
        }
        root
    }

    #[test]
    fn what_is_recorded_as_installed_counts_and_nothing_else_does() {
        let text = format!(
            r#"{{"database": {{"version": "8", "installs": {{
                "{ONE}": {{"spec": {{"name": "x"}}, "path": "/p", "installed": true, "ref_count": 1}},
                "{TWO}": {{"spec": {{"name": "y"}}, "path": null, "installed": false}}}}}}}}"#
        );
        let installed = installed_specs(tree(Some(&text)).path()).unwrap().unwrap();
        assert_eq!(installed, HashSet::from([ONE.parse().unwrap()]));
    }

    #[test]
    fn a_folder_without_a_database_is_told_from_an_empty_one() {
        assert_eq!(installed_specs(tree(None).path()).unwrap(), None);
        assert_eq!(installed_specs(Path::new("/nowhere/at/all")).unwrap(), None);
        let empty = tree(Some(r#"{"database": {"installs": {}}}"#));
        assert_eq!(installed_specs(empty.path()).unwrap(), Some(HashSet::new()));
    }

    #[test]
    fn a_broken_database_is_an_error_that_names_the_file() {
        for broken in ["", "{", "[]", r#"{"database": {}}"#, r#"{"database": {"installs": {"../x": {}}}}"#] {
            let root = tree(Some(broken));
            let error = installed_specs(root.path()).unwrap_err();
            assert!(error.to_string().contains(".spack-db/index.json"), "{error}");
            assert!(matches!(error, InstallTreeError::Malformed { .. }), "{broken}: {error:?}");
        }
    }

    #[test]
    fn a_folder_in_the_place_of_the_database_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join(".spack-db/index.json")).unwrap();
        assert!(matches!(installed_specs(root.path()), Err(InstallTreeError::NotAFile { .. })));
    }

    #[test]
    fn a_huge_database_is_refused_before_it_is_read() {
        let root = tree(Some(""));
        let file = std::fs::OpenOptions::new().write(true).open(root.path().join(".spack-db/index.json")).unwrap();
        file.set_len(MAX_DATABASE + 1).unwrap();
        assert!(matches!(installed_specs(root.path()), Err(InstallTreeError::TooLarge { .. })));
    }
}
