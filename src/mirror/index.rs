//! The index of a mirror: exactly its entries, and the nodes that they refer to.
//!
//! Spack's newer installer looks specs up in the index instead of asking for each one. The nodes come from the metadata that
//! the mirror published, so they are what Spack wrote, in the format of the layout, whatever format the lockfile has. A node of
//! an entry is taken from that entry's own metadata: another spec's metadata must not be able to describe it.
//!
//! The version of an index goes with the format of those nodes, as in what the Spack wrote that wrote them. A version lists older
//! nodes as they are, which a newer Spack takes for ones that provide nothing: this matters where it concretizes, not where it
//! installs what a lockfile names.

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

/// The indexes that an earlier run wrote for the same mirror.
#[derive(Debug, Default)]
struct EarlierIndex {
    /// What each version lists.
    installs: BTreeMap<u32, BTreeMap<DagHash, Install>>,
    blobs: Vec<MirrorPath>,
}

/// The index of a mirror in one layout, as files.
pub(crate) struct Index {
    /// The files, below the mirror, in the order in which they may appear.
    pub(crate) files: Vec<(MirrorPath, Vec<u8>)>,
    /// Earlier indexes, where nothing leads to them any more.
    pub(crate) obsolete: Vec<MirrorPath>,
}

impl EarlierIndex {
    /// `None` where there is none. What can't be read counts as nothing: everything in an index is also in the metadata.
    fn read(layout: Layout, read: &dyn Fn(&MirrorPath) -> Option<Vec<u8>>) -> Option<Self> {
        let rules = layout.rules();
        let path = rules.place_of(Extra::Index);
        let document = read(&path)?;
        let metadata = Metadata { at: &PublicUrl::of_text(&path.to_string()), document: &document };
        let mut earlier = Self::default();
        for (version, expected) in rules.indexes_of(metadata).unwrap_or_default() {
            let blob = expected.map(|expected| MirrorPath::of_blob(expected.digest));
            let text = blob.as_ref().map_or_else(|| Some(document.clone()), read).unwrap_or_default();
            // Only what is an index is ever removed: the manifest could have been changed to name a binary.
            earlier.blobs.extend(blob.filter(|_| text.starts_with(b"{\"database\"")));
            let database = serde_json::from_slice(&text).ok().map(|File { database }| database);
            if let Some(database) = database.filter(|database| database.version == version.to_string()) {
                earlier.installs.insert(version, database.installs);
            }
        }
        Some(earlier)
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
    let files = layout.rules().publish_indexes(databases(layout, entries, earlier.installs));
    let is_obsolete = |blob: &MirrorPath| files.iter().all(|(path, _)| path != blob);
    let obsolete = earlier.blobs.into_iter().filter(is_obsolete).collect();
    Index { files, obsolete }
}

/// An index in each version that is needed, as JSON.
///
/// A Spack reads no metadata of formats that are newer than its own, and no index either. So an index lists the entries that a
/// Spack of its version can read, and where entries are of several formats, there are several indexes: the newest lists all.
fn databases(
    layout: Layout,
    entries: Vec<SpecNodes>,
    mut earlier: BTreeMap<u32, BTreeMap<DagHash, Install>>,
) -> BTreeMap<u32, Vec<u8>> {
    let rules = layout.rules();
    let mut entries_of: BTreeMap<u32, Vec<SpecNodes>> = BTreeMap::new();
    let mut version_of: HashMap<DagHash, u32> = HashMap::new();
    for entry in entries {
        let version = rules.index_version(entry.format);
        version_of.insert(entry.hash(), version);
        entries_of.entry(version).or_default().push(entry);
    }
    for version in earlier.keys() {
        entries_of.entry(*version).or_default();
    }
    if entries_of.is_empty() {
        // Every Spack that knows the layout reads the oldest.
        entries_of.insert(rules.index_version(0), Vec::new());
    }
    let mut installs = BTreeMap::new();
    let mut databases = BTreeMap::new();
    for (version, entries) in entries_of {
        let mut listed = earlier.remove(&version).unwrap_or_default();
        // Its metadata has become unreadable for a Spack of this version.
        listed.retain(|hash, _| version_of.get(hash).is_none_or(|newest| *newest <= version));
        add(layout, &mut installs, entries, listed);
        count_references(&mut installs);
        let file = File { database: Database { version: version.to_string(), installs } };
        databases.insert(version, serde_json::to_vec(&file).unwrap_or_default());
        installs = file.database.installs;
    }
    databases
}

/// Add entries, the nodes that they refer to, and what an earlier index listed.
fn add(
    layout: Layout,
    installs: &mut BTreeMap<DagHash, Install>,
    entries: Vec<SpecNodes>,
    earlier: BTreeMap<DagHash, Install>,
) {
    let install = |node, format, in_buildcache| {
        let spec = layout.rules().index_node(node, format);
        Install { spec, ref_count: 0, in_buildcache }
    };
    let mut others = Vec::new();
    for SpecNodes { format, spec: (hash, node), others: referred_to } in entries {
        installs.insert(hash, install(node, format, true));
        others.extend(referred_to.into_iter().map(|(hash, node)| (hash, node, format)));
    }
    for (hash, node, format) in others {
        installs.entry(hash).or_insert_with(|| install(node, format, false));
    }
    for (hash, listed) in earlier {
        let was_published = listed.in_buildcache;
        installs.entry(hash).or_insert(listed).in_buildcache |= was_published;
    }
}

fn count_references(installs: &mut BTreeMap<DagHash, Install>) {
    let mut references: HashMap<DagHash, u64> = HashMap::new();
    for dependency in installs.values().flat_map(|install| dependencies(&install.spec)) {
        *references.entry(dependency).or_default() += 1;
    }
    for (hash, install) in installs {
        install.ref_count = references.get(hash).copied().unwrap_or_default();
    }
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
        spec_file_of(5, nodes)
    }

    fn spec_file_of(format: u32, nodes: &[(char, &str, &[char])]) -> SpecNodes {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|(letter, name, on)| {
                let edges: Vec<_> = on.iter().map(|to| json!({"name": "x", "hash": hash(*to)})).collect();
                json!({"name": name, "hash": hash(*letter), "dependencies": edges})
            })
            .collect();
        SpecNodes::read(json!({"spec": {"_meta": {"version": format}, "nodes": nodes}}).to_string().as_bytes()).unwrap()
    }

    fn v3(entries: Vec<SpecNodes>, earlier: EarlierIndex) -> Value {
        let databases = databases(Layout::V3, entries, earlier.installs);
        assert_eq!(databases.keys().collect::<Vec<_>>(), [&8]);
        serde_json::from_slice(&databases[&8]).unwrap()
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

    /// What each version of the index lists as its own, by the first letters of the hashes.
    fn listed(index: &Index) -> Vec<(String, String)> {
        let read = |path: &MirrorPath| Some(index.files.iter().find(|(written, _)| written == path)?.1.clone());
        let manifest: Value = serde_json::from_slice(&index.files.last().unwrap().1).unwrap();
        let versions = manifest["data"].as_array().unwrap().iter().map(|record| {
            let blob = MirrorPath::of_blob(record["checksum"].as_str().unwrap().parse().unwrap());
            let database: Value = serde_json::from_slice(&read(&blob).unwrap()).unwrap();
            let version = database["database"]["version"].as_str().unwrap();
            assert_eq!(record["mediaType"], format!("application/vnd.spack.db.v{version}+json"));
            let installs = database["database"]["installs"].as_object().unwrap();
            let own = installs.iter().filter(|(_, install)| install["in_buildcache"] == true);
            (version.to_owned(), own.map(|(hash, _)| &hash[..1]).collect())
        });
        versions.collect()
    }

    #[test]
    fn each_spack_finds_an_index_of_what_it_can_read() {
        let (old, new) = (|| spec_file_of(5, &[('a', "app", &['b'])]), || spec_file_of(6, &[('b', "lib", &[])]));
        let of = |entries| listed(&index(Layout::V3, entries, EarlierIndex::default()));
        let expected = |versions: &[(&str, &str)]| {
            versions.iter().map(|(version, own)| (version.to_string(), own.to_string())).collect::<Vec<_>>()
        };
        assert_eq!(of(vec![]), expected(&[("8", "")]));
        assert_eq!(of(vec![old()]), expected(&[("8", "a")]));
        assert_eq!(of(vec![new()]), expected(&[("9", "b")]));
        assert_eq!(of(vec![new(), old()]), expected(&[("8", "a"), ("9", "ab")]));
        // Whatever a mirror says, there are two at most.
        assert_eq!(of(vec![spec_file_of(u32::MAX, &[('c', "x", &[])])]), expected(&[("9", "c")]));
        assert_eq!(of(vec![spec_file_of(4, &[('c', "x", &[])])]), expected(&[("8", "c")]));
    }

    #[test]
    fn an_entry_that_a_newer_spack_published_anew_leaves_the_older_index() {
        let entries = vec![spec_file(&[('a', "app", &[])]), spec_file(&[('b', "lib", &[])])];
        let before = index(Layout::V3, entries, EarlierIndex::default());
        let read = |path: &MirrorPath| Some(before.files.iter().find(|(written, _)| written == path)?.1.clone());
        let earlier = EarlierIndex::read(Layout::V3, &read).unwrap();
        let after = index(Layout::V3, vec![spec_file_of(6, &[('b', "lib", &[])])], earlier);
        assert_eq!(listed(&after), [("8".to_owned(), "a".to_owned()), ("9".to_owned(), "ab".to_owned())]);
        assert_eq!(after.obsolete, [before.files[0].0.clone()]);
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
        assert_eq!(obsolete, [], "the same index has the same name");
        let more = vec![spec_file(&[('c', "more", &[])])];
        let obsolete = index(Layout::V3, more, EarlierIndex::read(Layout::V3, &read).unwrap()).obsolete;
        assert_eq!(obsolete, [before.files[0].0.clone()]);
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
        assert!(earlier.installs.is_empty() && earlier.blobs.is_empty());
    }
}
