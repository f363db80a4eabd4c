//! Where Spack installs: `config:install_tree` and the install trees of `upstreams:`.

use std::path::PathBuf;

use super::substitute::{Substitution, Target};
use crate::yaml::{Entry, Node, Result, Value};

/// The longest path of a system (`getconf PATH_MAX /`), without what Spack leaves for the part below the padded root.
const LONGEST_ROOT: usize = if cfg!(target_os = "linux") { 4096 } else { 1024 } - 300;
/// What Spack pads with.
const PADDING: &str = "__spack_path_placeholder__/";
/// More than any file system takes.
const LONGEST_PATH: usize = 65_536;

/// Before Spack 0.15 `install_tree:` was the path itself. Spack turns it into a map before it merges scopes.
pub(super) fn modernise(config: &mut Node) {
    if let Value::Map(config) = &mut config.value
        && let Some(entry) = config.iter_mut().find(|entry| entry.key == "install_tree")
        && entry.value.as_text().is_some()
    {
        let root = Entry { key: "root".to_owned(), replaces: false, ..entry.clone() };
        entry.value.value = Value::Map(vec![root]);
    }
}

/// Spack's own tree, as `config:` has it. `None` where nothing says where Spack is.
pub(super) fn own(config: &Node, substitution: &Substitution, notes: &mut Vec<String>) -> Result<Option<PathBuf>> {
    config.section("a map with settings")?;
    let tree = config.get("install_tree");
    if let Some(tree) = tree {
        tree.entries("a map with `root:`")?;
    }
    let setting = |key| tree.and_then(|tree| tree.get(key));
    let named = setting("root").map(|root| resolve(root, substitution, notes)).transpose()?.flatten();
    let root = named.or_else(|| substitution.spack.as_ref().map(|spack| spack.join("opt/spack")));
    let length = setting("padded_length").map_or(Ok(0), padded_length)?;
    Ok(root.map(|root| pad(root, length)))
}

/// The trees of `upstreams:`.
pub(super) fn upstream(upstreams: &Node, substitution: &Substitution, notes: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let mut trees = Vec::new();
    for entry in upstreams.section("names of Spack instances")? {
        entry.value.entries("a map with `install_tree:`")?;
        if let Some(tree) = entry.value.get("install_tree") {
            trees.extend(resolve(tree, substitution, notes)?);
        }
    }
    Ok(trees)
}

fn resolve(node: &Node, substitution: &Substitution, notes: &mut Vec<String>) -> Result<Option<PathBuf>> {
    let (text, file) = (node.text()?, &node.place.file);
    let unknown = |name: &str| {
        notes.push(format!("`{}` names the install tree `{text}`: larder does not know `${name}`", file.display()));
    };
    match substitution.resolve_in(text, file, unknown) {
        Target::Local(path) => Ok(Some(path)),
        Target::Remote(_) => Ok(None),
    }
}

fn padded_length(node: &Node) -> Result<usize> {
    let number = match &node.value {
        Value::Scalar(scalar) if scalar.is_plain => scalar.text.parse::<u64>().ok(),
        _ => None,
    };
    match (number, node.flag()) {
        (Some(length), _) => Ok(usize::try_from(length).map_or(LONGEST_PATH, |length| length.min(LONGEST_PATH))),
        (None, Ok(longest)) => Ok(if longest { LONGEST_ROOT } else { 0 }),
        (None, Err(_)) => Err(node.refuse("`true`, `false` or a length")),
    }
}

/// The root of `padded_length`: Spack makes paths long, so that binaries can be relocated to any shorter one. After its
/// `add_padding`: a separator and the padding up to that length, and never a separator at the end.
fn pad(root: PathBuf, length: usize) -> PathBuf {
    let missing = length.saturating_sub(root.to_string_lossy().chars().count());
    if missing < 2 {
        return root;
    }
    let mut padding: String = PADDING.chars().cycle().take(missing - 1).collect();
    if padding.ends_with('/') {
        padding.pop();
        padding.push('_');
    }
    root.join(padding)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_padded_root_is_as_long_as_it_says_and_never_ends_in_a_separator() {
        let padded = |length| pad("/opt/tree".into(), length);
        assert_eq!(padded(40), Path::new("/opt/tree/__spack_path_placeholder__/__s"));
        assert_eq!(padded(37), Path::new("/opt/tree/__spack_path_placeholder___"));
        for length in 11..200 {
            assert_eq!(padded(length).to_string_lossy().len(), length);
        }
        assert_eq!(padded(10), Path::new("/opt/tree"));
        assert_eq!(padded(0), Path::new("/opt/tree"));
        #[cfg(target_os = "linux")]
        assert_eq!(padded(LONGEST_ROOT).to_string_lossy().len(), 3796);
    }
}
