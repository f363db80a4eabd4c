//! The index of a mirror: exactly its entries, and the nodes that they refer to.
//!
//! Spack's newer installer looks specs up in the index instead of asking for each one. The nodes come from the metadata that
//! the mirror published, so they are what Spack wrote, in the format of the layout, whatever format the lockfile has. A node of
//! an entry is taken from that entry's own metadata: another spec's metadata must not be able to describe it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::Layout;
use super::metadata::Metadata;
use super::rules::Extra;
use super::spec_file::SpecNodes;
use crate::types::{DagHash, MirrorPath, PublicUrl};

/// An index as Spack reads it.
#[derive(Serialize, Deserialize)]
struct File {
    database: Database,
}

#[derive(Serialize, Deserialize)]
struct Database {
    version: String,
    installs: BTreeMap<DagHash, Install>,
}

/// One node.
#[derive(Debug, Serialize, Deserialize)]
struct Install {
    spec: Value,
    /// How many others depend on it.
    ref_count: u64,
    /// Whether the mirror has its binary, or others only refer to it.
    in_buildcache: bool,
}

/// The index that an earlier run wrote for the same mirror.
#[derive(Debug, Default)]
struct EarlierIndex {
    installs: BTreeMap<DagHash, Install>,
    blob: Option<MirrorPath>,
}

/// The index of a mirror in one layout, as files.
pub(crate) struct Index {
    /// The files, below the mirror, in the order in which they may appear.
    pub(crate) files: Vec<(MirrorPath, Vec<u8>)>,
    /// The earlier index, where nothing leads to it any more.
    pub(crate) obsolete: Option<MirrorPath>,
}

impl EarlierIndex {
    /// `None` where there is none. What can't be read counts as nothing: everything in an index is also in the metadata.
    fn read(layout: Layout, read: &dyn Fn(&MirrorPath) -> Option<Vec<u8>>) -> Option<Self> {
        let rules = layout.rules();
        let path = rules.place_of(Extra::Index);
        let document = read(&path)?;
        let metadata = Metadata { at: &PublicUrl::of_text(&path.to_string()), document: &document };
        let Ok(blob) = rules.content_of(Extra::Index, metadata) else { return Some(Self::default()) };
        let blob = blob.map(|expected| MirrorPath::of_blob(expected.digest));
        let text = blob.as_ref().map_or(Some(document), read).unwrap_or_default();
        // Only what is an index is ever removed: the manifest could have been changed to name a binary.
        let blob = blob.filter(|_| text.starts_with(b"{\"database\""));
        let database = serde_json::from_slice(&text).ok().map(|File { database }| database);
        let database = database.filter(|database| database.version == rules.index_version());
        Some(Self { installs: database.map_or_else(BTreeMap::new, |database| database.installs), blob })
    }
}

/// The indexes of a mirror of these entries, and of what its earlier indexes list. `read` looks at its files.
pub(crate) fn indexes(
    mut entries: BTreeMap<Layout, Vec<SpecNodes>>,
    read: &dyn Fn(&MirrorPath) -> Option<Vec<u8>>,
) -> Vec<Index> {
    let earlier = |layout| Some((layout, EarlierIndex::read(layout, read)?));
    let mut earlier: HashMap<Layout, EarlierIndex> = Layout::ALL.into_iter().filter_map(earlier).collect();
    if entries.is_empty() && earlier.is_empty() {
        // Spack complains about a mirror without any index.
        entries.insert(Layout::V3, Vec::new());
    }
    let one = |(layout, entries)| index(layout, entries, earlier.remove(&layout).unwrap_or_default());
    entries.into_iter().map(one).collect()
}

fn index(layout: Layout, entries: Vec<SpecNodes>, earlier: EarlierIndex) -> Index {
    let database = database(layout, entries, earlier.installs);
    let files = layout.rules().publish(Extra::Index, serde_json::to_vec(&File { database }).unwrap_or_default());
    let obsolete = earlier.blob.filter(|blob| files.iter().all(|(path, _)| path != blob));
    Index { files, obsolete }
}

fn database(layout: Layout, entries: Vec<SpecNodes>, earlier: BTreeMap<DagHash, Install>) -> Database {
    let rules = layout.rules();
    let install = |node, version, in_buildcache| {
        let spec = rules.index_node(node, version);
        Install { spec, ref_count: 0, in_buildcache }
    };
    let mut installs = BTreeMap::new();
    let mut others = Vec::new();
    for SpecNodes { version, spec: (hash, node), others: referred_to } in entries {
        installs.insert(hash, install(node, version, true));
        others.extend(referred_to.into_iter().map(|(hash, node)| (hash, node, version)));
    }
    for (hash, node, version) in others {
        installs.entry(hash).or_insert_with(|| install(node, version, false));
    }
    for (hash, listed) in earlier {
        let was_published = listed.in_buildcache;
        installs.entry(hash).or_insert(listed).in_buildcache |= was_published;
    }
    let mut references: HashMap<DagHash, u64> = HashMap::new();
    for dependency in installs.values().flat_map(|install| dependencies(&install.spec)) {
        *references.entry(dependency).or_default() += 1;
    }
    for (hash, install) in &mut installs {
        install.ref_count = references.get(hash).copied().unwrap_or_default();
    }
    Database { version: rules.index_version().to_owned(), installs }
}

fn dependencies(node: &Value) -> HashSet<DagHash> {
    let edges = node.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    edges.filter_map(|edge| edge.get("hash")?.as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hash(letter: char) -> String {
        letter.to_string().repeat(32)
    }

    fn spec_file(nodes: &[(char, &str, &[char])]) -> SpecNodes {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|(letter, name, on)| {
                let edges: Vec<_> = on.iter().map(|to| json!({"name": "x", "hash": hash(*to)})).collect();
                json!({"name": name, "hash": hash(*letter), "dependencies": edges})
            })
            .collect();
        SpecNodes::read(json!({"spec": {"_meta": {"version": 5}, "nodes": nodes}}).to_string().as_bytes()).unwrap()
    }

    fn v3(entries: Vec<SpecNodes>, earlier: EarlierIndex) -> Value {
        serde_json::to_value(File { database: database(Layout::V3, entries, earlier.installs) }).unwrap()
    }

    #[test]
    fn an_index_lists_its_entries_and_marks_the_others() {
        let entries = vec![spec_file(&[('a', "app", &['b']), ('b', "lib", &[])])];
        let index = v3(entries, EarlierIndex::default());
        let installs = &index["database"]["installs"];
        assert_eq!(installs[hash('a')]["in_buildcache"], true);
        assert_eq!(installs[hash('b')]["in_buildcache"], false);
        assert_eq!(installs[hash('b')]["ref_count"], 1);
    }

    #[test]
    fn no_spec_can_describe_another_entry() {
        let entries = vec![spec_file(&[('a', "app", &['b']), ('b', "evil", &[])]), spec_file(&[('b', "lib", &[])])];
        let index = v3(entries, EarlierIndex::default());
        assert_eq!(index["database"]["installs"][hash('b')]["spec"]["name"], "lib");
    }

    #[test]
    fn what_was_listed_before_stays_unless_an_entry_says_better() {
        let before =
            index(Layout::V3, vec![spec_file(&[('a', "app", &['b']), ('b', "evil", &[])])], EarlierIndex::default());
        let read = |path: &MirrorPath| Some(before.files.iter().find(|(written, _)| written == path)?.1.clone());
        let earlier = EarlierIndex::read(Layout::V3, &read).unwrap();
        let second = v3(vec![spec_file(&[('b', "lib", &[])])], earlier);
        let installs = &second["database"]["installs"];
        assert_eq!(
            (&installs[hash('a')]["in_buildcache"], &installs[hash('b')]["in_buildcache"]),
            (&true.into(), &true.into())
        );
        assert_eq!(installs[hash('b')]["spec"]["name"], "lib");
        let obsolete = index(Layout::V3, vec![], EarlierIndex::read(Layout::V3, &read).unwrap()).obsolete;
        assert_eq!(obsolete, None, "the same index has the same name");
        let more = vec![spec_file(&[('c', "more", &[])])];
        let obsolete = index(Layout::V3, more, EarlierIndex::read(Layout::V3, &read).unwrap()).obsolete;
        assert_eq!(obsolete.as_ref(), Some(&before.files[0].0));
    }

    #[test]
    fn what_is_no_index_counts_for_nothing_and_is_not_removed() {
        assert!(EarlierIndex::read(Layout::V3, &|_| None).is_none());
        let before = index(Layout::V3, vec![spec_file(&[('a', "app", &[])])], EarlierIndex::default());
        let text = before.files[0].1.clone();
        assert!(EarlierIndex::read(Layout::V2, &|_| Some(text.clone())).unwrap().installs.is_empty());
        assert!(EarlierIndex::read(Layout::V2, &|_| Some(b"x".to_vec())).unwrap().installs.is_empty());
        let manifest = before.files.last().unwrap();
        let read =
            |path: &MirrorPath| Some(if *path == manifest.0 { manifest.1.clone() } else { b"a binary".to_vec() });
        let earlier = EarlierIndex::read(Layout::V3, &read).unwrap();
        assert!(earlier.installs.is_empty() && earlier.blob.is_none());
    }
}
