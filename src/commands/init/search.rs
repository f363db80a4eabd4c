//! Where environments are in a repository: by the names of its files, and by the beginning of other YAML files.
//!
//! The repository may be anything, a home folder included: the depth and the number of what is looked at are bounded, and a
//! link is followed only to a file inside.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::fs::{Kind, entries, kind};

/// How many folders below the current one are looked into.
pub(super) const DEPTH: usize = 6;

/// The most folders that are looked into: a home folder is no project.
pub(super) const MAX_FOLDERS: usize = 20_000;

/// The most YAML files of other names that are looked into.
const MAX_FILES: usize = 5_000;

/// How much of such a file is read: `spack:` stands at its top.
const BEGINNING: u64 = 64 << 10;

/// Folders that hold other programs' data, thousands of files each, or copies of what is elsewhere.
const OTHERS: [&str; 14] = [
    ".cache",
    ".cargo",
    ".git",
    ".hg",
    ".larder",
    ".mypy_cache",
    ".npm",
    ".spack-env",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
    "venv",
];

/// What was found, nearest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Folders with a `spack.yaml`.
    pub folders: Vec<PathBuf>,
    /// Other YAML files with `spack:` at the beginning of a line.
    pub others: Vec<PathBuf>,
    /// Lockfiles with no `spack.yaml` beside them.
    pub lockfiles: Vec<PathBuf>,
    /// How many folders were looked into.
    pub looked: usize,
    /// Whether that was all of them.
    pub extent: Extent,
}

/// Whether everything was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Extent {
    /// All, down to [`DEPTH`].
    #[default]
    Whole,
    /// There is more than the bounds allow.
    Cut,
}

/// Look into a folder and those below it, hidden ones as well. Spack's own checkouts are left out, which come with environments.
pub(super) fn search(root: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let real_root = fs::canonicalize(root)?;
    let (mut level, mut read) = (vec![root.to_owned()], 0);
    for depth in 0..=DEPTH {
        let mut next = Vec::new();
        for folder in level {
            if found.looked == MAX_FOLDERS {
                found.extent = Extent::Cut;
                return Ok(found);
            }
            let entries = match entries(&folder) {
                Ok(entries) => entries,
                // A folder of another user below this one is no obstacle.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && folder != root => continue,
                Err(error) => return Err(error),
            };
            let names: HashSet<_> = entries.iter().filter_map(|path| path.file_name()?.to_str()).collect();
            if folder != root && is_left_out(&folder, &names) {
                continue;
            }
            found.looked += 1;
            for path in &entries {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                match kind(path)? {
                    Kind::Folder if depth < DEPTH && !OTHERS.contains(&name) => next.push(path.clone()),
                    Kind::Folder => {}
                    _ if name == "spack.yaml" && is_inside(path, &real_root) => found.folders.push(folder.clone()),
                    Kind::File(_) if name == "spack.lock" && !names.contains("spack.yaml") => {
                        found.lockfiles.push(path.clone());
                    }
                    Kind::File(_) if is_other_manifest(name) => {
                        read += 1;
                        match read {
                            ..=MAX_FILES if begins_with_spack(path) => found.others.push(path.clone()),
                            ..=MAX_FILES => {}
                            _ => found.extent = Extent::Cut,
                        }
                    }
                    _ => {}
                }
            }
        }
        level = next;
    }
    Ok(found)
}

/// Spack itself, and what its maker marked as a cache (<https://bford.info/cachedir/>).
fn is_left_out(folder: &Path, names: &HashSet<&str>) -> bool {
    names.contains("CACHEDIR.TAG") || (folder.join("bin/spack").is_file() && folder.join("lib/spack").is_dir())
}

/// Whether a path leads to a file inside the repository, through links or not.
fn is_inside(path: &Path, real_root: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|real| real.starts_with(real_root) && real.is_file())
}

/// A pipeline may well have a job with the name `spack`.
fn is_other_manifest(name: &str) -> bool {
    let is_yaml = Path::new(name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml && !["spack.yaml", ".gitlab-ci.yml", "larder.yaml", "larder.yml"].contains(&name)
}

/// Whether a line of a file's beginning starts with `spack:`. A file that can't be read is none of the environments.
fn begins_with_spack(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    read.is_ok() && beginning.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"spack:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn below<'a>(root: &Path, paths: &'a [PathBuf]) -> Vec<&'a str> {
        paths.iter().map(|path| path.strip_prefix(root).unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn environments_are_found_nearest_first_in_hidden_folders_too_and_not_in_spack_or_in_caches() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let files = [
            "envs/b/spack.yaml",
            "envs/a/spack.yaml",
            "spack.yaml",
            ".gitlab/x/spack.yaml",
            ".spack-ci/spack.yaml",
            ".larder/job/spack.yaml",
            ".git/x/spack.yaml",
            "envs/a/.spack-env/spack.yaml",
            "node_modules/x/spack.yaml",
            "target/CACHEDIR.TAG",
            "target/x/spack.yaml",
            "spack/bin/spack",
            "spack/lib/spack/x",
            "spack/share/spack.yaml",
            "1/2/3/4/5/6/spack.yaml",
            "1/2/3/4/5/6/7/spack.yaml",
        ];
        make(root, &files.map(|path| (path, "spack: {}\n")));
        let found = search(root).unwrap();
        let expected = ["", ".spack-ci", ".gitlab/x", "envs/a", "envs/b", "1/2/3/4/5/6"];
        assert_eq!(below(root, &found.folders), expected);
        assert_eq!(found.extent, Extent::Whole);
    }

    #[test]
    fn other_names_count_where_spack_stands_at_the_top_and_a_lockfile_alone_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        make(
            root,
            &[
                ("docker/spack-cuda.yaml", "# CUDA\nspack:\n  specs: []\n"),
                ("docker/jobs.yml", "build:\n  spack: x\n"),
                ("docker/readme.txt", "spack:\n"),
                (".gitlab-ci.yml", "spack:\n  script: make\n"),
                ("locked/spack.lock", "{}"),
                ("whole/spack.lock", "{}"),
                ("whole/spack.yaml", "spack: {}"),
            ],
        );
        let found = search(root).unwrap();
        assert_eq!(below(root, &found.others), ["docker/spack-cuda.yaml"]);
        assert_eq!(below(root, &found.lockfiles), ["locked/spack.lock"]);
        assert_eq!(below(root, &found.folders), ["whole"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_to_a_file_inside_and_nowhere_else() {
        use std::os::unix::fs::symlink;
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = root.path();
        make(outside.path(), &[("spack.yaml", "spack: {}\n")]);
        make(root, &[("base/spack.yaml", "spack: {}\n"), ("in/x", ""), ("out/x", "")]);
        symlink("../base/spack.yaml", root.join("in/spack.yaml")).unwrap();
        symlink(outside.path().join("spack.yaml"), root.join("out/spack.yaml")).unwrap();
        symlink(outside.path(), root.join("folder")).unwrap();
        symlink(root, root.join("circle")).unwrap();
        assert_eq!(below(root, &search(root).unwrap().folders), ["base", "in"]);
    }
}
