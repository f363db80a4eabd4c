//! Paths without `.` and `..`.

use std::path::{Component, Path, PathBuf};

/// `/a/./b/../c` → `/a/c`, without asking the file system: what is there may not exist yet, and Spack does not look for links
/// either.
pub fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
