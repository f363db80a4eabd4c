//! Where Spack installs: `config:install_tree` and the install trees of `upstreams:`.

use std::path::{Path, PathBuf};

use super::document::{Map, Node, Text};
use super::substitute::{Substitution, Target};

/// The length that Spack leaves for what comes after the padded root.
const MAX_INSTALL_PATH: u64 = 300;
/// What Spack pads with.
const PADDING: &str = "__spack_path_placeholder__";
/// More than any file system takes.
const LONGEST_PATH: u64 = 65_536;

/// Before Spack 0.15 `install_tree:` was the path itself. Spack turns it into a map before it merges scopes.
pub(super) fn modernise(config: &mut Node) {
    if let Node::Map(config) = config
        && let Some(entry) = config.0.iter_mut().find(|entry| entry.key == "install_tree")
        && let Node::Text(_) = entry.value
    {
        let root = std::mem::replace(&mut entry.value, Node::Null);
        let entries = vec![super::document::Entry { key: "root".to_owned(), replaces: false, value: root }];
        entry.value = Node::Map(Map(entries));
    }
}

/// The install trees: Spack's own first. None where nothing says where Spack is.
pub(super) fn install_trees(
    config: &Node,
    upstreams: &Node,
    substitution: &Substitution,
) -> (Vec<PathBuf>, Vec<String>) {
    let mut trees = Vec::new();
    let mut notes = Vec::new();
    let mut resolve = |text: &Text| {
        let (target, unknown) = substitution.resolve_text(text);
        notes.extend(unknown.iter().map(|name| {
            format!("`{}` names the install tree `{}`: larder does not know `${name}`", text.file.display(), text.text)
        }));
        match target {
            Target::Local(path) => Some(path),
            Target::Remote(_) => None,
        }
    };
    let tree = config.get("install_tree");
    let named = tree.and_then(|tree| tree.get("root")).and_then(Node::as_text).and_then(&mut resolve);
    let root = named.or_else(|| substitution.spack.as_ref().map(|spack| spack.join("opt/spack")));
    trees.extend(root.map(|root| pad(&root, tree.and_then(|tree| tree.get("padded_length")))));
    if let Node::Map(upstreams) = upstreams {
        let paths = upstreams.0.iter().filter_map(|entry| entry.value.get("install_tree")?.as_text());
        trees.extend(paths.filter_map(resolve));
    }
    (trees, notes)
}

/// The root of `padded_length`: Spack makes paths long, so that binaries can be relocated to any shorter one.
fn pad(root: &Path, setting: Option<&Node>) -> PathBuf {
    let (plain, old_setting) = without_old_padding(&root.to_string_lossy());
    let longest = longest_path() - MAX_INSTALL_PATH;
    let length = match (setting, old_setting) {
        (Some(Node::Flag(true)), _) => longest,
        (Some(Node::Number(length)), _) if *length > 0 => (*length).min(LONGEST_PATH),
        (_, OldPadding::Length(length)) => length.min(LONGEST_PATH),
        (_, OldPadding::Longest) => longest,
        _ => return PathBuf::from(plain),
    };
    // Spack's `add_padding`: a separator and the padding up to that length, and never a separator at the end.
    let missing = usize::try_from(length).unwrap_or_default().saturating_sub(plain.chars().count());
    if missing < 2 {
        return PathBuf::from(plain);
    }
    let mut padding: String = [PADDING, "/"].concat().chars().cycle().take(missing - 1).collect();
    if padding.ends_with('/') {
        padding.pop();
        padding.push('_');
    }
    PathBuf::from(plain).join(padding)
}

/// What `$padding` in a root asks for.
enum OldPadding {
    None,
    Length(u64),
    Longest,
}

/// Takes `$padding:128` or `${padding}` out of a root, which is how it was once written, and says what it was.
fn without_old_padding(root: &str) -> (String, OldPadding) {
    for (start, end) in [("${padding", "}"), ("$padding", "")] {
        let Some(at) = root.find(start) else { continue };
        let rest = &root[at + start.len()..];
        let digits = rest
            .strip_prefix(':')
            .map_or("", |number| &number[..number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len())]);
        let used = if digits.is_empty() { 0 } else { digits.len() + 1 };
        if let Some(after) = rest[used..].strip_prefix(end) {
            let plain = format!("{}{after}", &root[..at]);
            let plain = plain.trim_end_matches('/');
            return (plain.to_owned(), digits.parse().map_or(OldPadding::Longest, OldPadding::Length));
        }
    }
    (root.to_owned(), OldPadding::None)
}

/// `getconf PATH_MAX /`.
fn longest_path() -> u64 {
    if cfg!(target_os = "linux") { 4096 } else { 1024 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_root_is_as_long_as_it_says_and_never_ends_in_a_separator() {
        let padded = |length| pad(Path::new("/opt/tree"), Some(&Node::Number(length)));
        assert_eq!(padded(40), Path::new("/opt/tree/__spack_path_placeholder__/__s"));
        assert_eq!(padded(37), Path::new("/opt/tree/__spack_path_placeholder___"));
        for length in 11..200 {
            assert_eq!(padded(length).to_string_lossy().len() as u64, length);
        }
        assert_eq!(padded(10), Path::new("/opt/tree"));
        assert_eq!(pad(Path::new("/opt/tree"), Some(&Node::Flag(true))).to_string_lossy().len(), 3796);
        assert_eq!(pad(Path::new("/opt/tree"), Some(&Node::Flag(false))), Path::new("/opt/tree"));
    }

    #[test]
    fn the_old_way_to_write_padding_is_understood() {
        assert_eq!(
            pad(Path::new("/opt/tree/$padding:40"), None),
            Path::new("/opt/tree/__spack_path_placeholder__/__s")
        );
        assert_eq!(
            pad(Path::new("/opt/tree/${padding:40}"), None),
            Path::new("/opt/tree/__spack_path_placeholder__/__s")
        );
    }
}
