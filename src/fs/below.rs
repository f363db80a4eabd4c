//! Whether one place lies in another, whatever names lead there.

use std::path::{Path, PathBuf};

/// Whether a path leads into a folder, by its name or through links. Neither has to exist.
pub(crate) fn lies_below(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) || without_links(path).starts_with(without_links(folder))
}

/// A path with the links of its existing part resolved.
fn without_links(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|part| Some((part, fs_err::canonicalize(part).ok()?)));
    existing.map_or_else(
        || path.to_owned(),
        |(part, real)| match path.strip_prefix(part) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
    )
}
