//! The index of a mirror: exactly its entries, and the nodes that they refer to.
//!
//! Spack's newer installer looks specs up in the index instead of asking for each one. The nodes come from the metadata that
//! the mirror published, so they are what Spack wrote, in the format of the layout, whatever format the lockfile has. A node of
//! an entry is taken from that entry's own metadata: another spec's metadata must not be able to describe it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::layout::Layout;
use super::metadata::Metadata;
use super::rules::Extra;
use super::spec_file::SpecNodes;
use crate::types::{DagHash, MirrorPath, PublicUrl};

/// The index that an earlier run wrote for the same mirror.
#[derive(Debug, Default)]
struct EarlierIndex {
    nodes: Vec<(DagHash, Value, Publication)>,
    blob: Option<MirrorPath>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Publication {
    Published,
    ReferredTo,
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
        Some(Self { nodes: nodes_of(&text, rules.index_version()), blob })
    }
}

fn nodes_of(index: &[u8], version: &str) -> Vec<(DagHash, Value, Publication)> {
    let index: Value = serde_json::from_slice(index).unwrap_or_default();
    let database = &index["database"];
    let installs = database["installs"].as_object().filter(|_| database["version"] == version);
    let listed = installs.into_iter().flatten().filter_map(|(hash, entry)| {
        let is_published = entry["in_buildcache"].as_bool()?;
        let publication = if is_published { Publication::Published } else { Publication::ReferredTo };
        Some((hash.parse().ok()?, entry.get("spec")?.clone(), publication))
    });
    listed.collect()
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
    let content = database(layout, entries, earlier.nodes).to_string().into_bytes();
    let files = layout.rules().publish(Extra::Index, content);
    let obsolete = earlier.blob.filter(|blob| files.iter().all(|(path, _)| path != blob));
    Index { files, obsolete }
}

fn database(layout: Layout, entries: Vec<SpecNodes>, earlier: Vec<(DagHash, Value, Publication)>) -> Value {
    let rules = layout.rules();
    let mut nodes: BTreeMap<DagHash, Value> = BTreeMap::new();
    let mut published: HashSet<DagHash> = HashSet::new();
    let mut others = Vec::new();
    for SpecNodes { version, spec: (hash, node), others: referred_to } in entries {
        published.insert(hash);
        nodes.insert(hash, rules.index_node(node, version));
        others.extend(referred_to.into_iter().map(|(hash, node)| (hash, node, version)));
    }
    for (hash, node, version) in others {
        nodes.entry(hash).or_insert_with(|| rules.index_node(node, version));
    }
    for (hash, node, publication) in earlier {
        nodes.entry(hash).or_insert(node);
        if publication == Publication::Published {
            published.insert(hash);
        }
    }
    let mut references: HashMap<DagHash, u64> = HashMap::new();
    for dependency in nodes.values().flat_map(dependencies) {
        *references.entry(dependency).or_default() += 1;
    }
    let install = |(hash, node): (DagHash, Value)| {
        let references = references.get(&hash).copied().unwrap_or_default();
        let entry = json!({"spec": node, "ref_count": references, "in_buildcache": published.contains(&hash)});
        (hash.to_string(), entry)
    };
    let installs: Map<String, Value> = nodes.into_iter().map(install).collect();
    json!({"database": {"version": rules.index_version(), "installs": installs}})
}

fn dependencies(node: &Value) -> HashSet<DagHash> {
    let edges = node.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    edges.filter_map(|edge| edge.get("hash")?.as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        database(Layout::V3, entries, earlier.nodes)
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
        assert!(EarlierIndex::read(Layout::V2, &|_| Some(text.clone())).unwrap().nodes.is_empty());
        assert!(EarlierIndex::read(Layout::V2, &|_| Some(b"x".to_vec())).unwrap().nodes.is_empty());
        let manifest = before.files.last().unwrap();
        let read =
            |path: &MirrorPath| Some(if *path == manifest.0 { manifest.1.clone() } else { b"a binary".to_vec() });
        let earlier = EarlierIndex::read(Layout::V3, &read).unwrap();
        assert!(earlier.nodes.is_empty() && earlier.blob.is_none());
    }
}
