//! The index of a job mirror: exactly its entries, and the nodes that they refer to.
//!
//! Spack's newer installer looks specs up in the index instead of asking for each one. The nodes come from the metadata that
//! the mirror published (a v2 spec file, the spec blob of a v3 manifest), so they are what Spack wrote, in the format of the
//! layout, whatever format the lockfile has. A node of an entry is taken from that entry's own metadata: another spec's
//! metadata must not be able to describe it.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::types::DagHash;

/// The most bytes a spec file may unpack to: stops a small blob that unpacks to gigabytes.
const MAX_SPEC_BYTES: u64 = 64 << 20;

/// The nodes of one spec's metadata.
pub(crate) struct SpecNodes {
    /// The version of the nodes' format.
    pub version: u32,
    /// The nodes; the first is the spec itself.
    pub nodes: Vec<(DagHash, Value)>,
}

/// The version of the index database, and of the nodes in it.
#[derive(Clone, Copy)]
pub(crate) enum IndexFormat {
    /// `application/vnd.spack.db.v8+json`, nodes of format 5.
    V8,
    /// `index.json` of layout v2, nodes of format 4.
    V7,
}

impl IndexFormat {
    fn version(self) -> &'static str {
        match self {
            Self::V8 => "8",
            Self::V7 => "7",
        }
    }
}

#[derive(Deserialize)]
struct SpecFile {
    spec: SpecGraph,
}

#[derive(Deserialize)]
struct SpecGraph {
    #[serde(rename = "_meta")]
    meta: Meta,
    nodes: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Meta {
    version: u32,
}

/// Read the spec blob of a v3 mirror: JSON, usually compressed.
pub(crate) fn read_spec_blob(bytes: &[u8]) -> Result<SpecNodes, String> {
    let mut text = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let unpacked = flate2::read::MultiGzDecoder::new(bytes).take(MAX_SPEC_BYTES + 1).read_to_end(&mut text);
        unpacked.map_err(|error| format!("it can't be unpacked: {error}"))?;
        if text.len() as u64 > MAX_SPEC_BYTES {
            return Err(format!("it unpacks to more than {MAX_SPEC_BYTES} bytes"));
        }
    } else {
        text.extend_from_slice(bytes);
    }
    let file: SpecFile = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    spec_nodes(file.spec.meta.version, &file.spec.nodes)
}

/// Read nodes as the metadata has them.
pub(crate) fn spec_nodes(version: u32, nodes: &[Box<RawValue>]) -> Result<SpecNodes, String> {
    let read = |node: &RawValue| -> Result<(DagHash, Value), String> {
        let node: Value = serde_json::from_str(node.get()).map_err(|error| error.to_string())?;
        let hash = node.get("hash").and_then(Value::as_str).ok_or("a node has no hash")?;
        Ok((hash.parse().map_err(|error| format!("{error}"))?, node))
    };
    let nodes = nodes.iter().map(|node| read(node)).collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() { Err("it holds no spec".to_owned()) } else { Ok(SpecNodes { version, nodes }) }
}

/// What an earlier index of the same mirror lists.
#[derive(Debug, Default)]
pub(crate) struct Listed(Vec<(DagHash, Value, Publication)>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Publication {
    Published,
    ReferredTo,
}

impl Listed {
    /// Read an index of this format. What can't be read counts as nothing: everything in an index is also in the metadata.
    pub(crate) fn read(index: &[u8], format: IndexFormat) -> Self {
        let index: Value = serde_json::from_slice(index).unwrap_or_default();
        let database = &index["database"];
        let installs = database["installs"].as_object().filter(|_| database["version"] == format.version());
        let listed = installs.into_iter().flatten().filter_map(|(hash, entry)| {
            let is_published = entry["in_buildcache"].as_bool()?;
            let publication = if is_published { Publication::Published } else { Publication::ReferredTo };
            Some((hash.parse().ok()?, entry.get("spec")?.clone(), publication))
        });
        Self(listed.collect())
    }
}

/// The index of these entries, as JSON, and of what was listed before.
pub(crate) fn index(entries: &[SpecNodes], earlier: &Listed, format: IndexFormat) -> Vec<u8> {
    let mut nodes: BTreeMap<DagHash, Value> = BTreeMap::new();
    let mut published: HashSet<DagHash> = HashSet::new();
    for entry in entries {
        if let Some((hash, node)) = entry.nodes.first() {
            published.insert(*hash);
            nodes.insert(*hash, convert(node.clone(), entry.version, format));
        }
    }
    for entry in entries {
        for (hash, node) in entry.nodes.iter().skip(1) {
            nodes.entry(*hash).or_insert_with(|| convert(node.clone(), entry.version, format));
        }
    }
    for (hash, node, publication) in &earlier.0 {
        nodes.entry(*hash).or_insert_with(|| node.clone());
        if *publication == Publication::Published {
            published.insert(*hash);
        }
    }
    let mut references: BTreeMap<DagHash, u64> = BTreeMap::new();
    for node in nodes.values() {
        for dependency in dependencies(node) {
            *references.entry(dependency).or_default() += 1;
        }
    }
    let installs: Map<String, Value> = nodes
        .into_iter()
        .map(|(hash, node)| {
            let references = references.get(&hash).copied().unwrap_or_default();
            let entry = json!({"spec": node, "ref_count": references, "in_buildcache": published.contains(&hash)});
            (hash.to_string(), entry)
        })
        .collect();
    json!({"database": {"version": format.version(), "installs": installs}}).to_string().into_bytes()
}

fn dependencies(node: &Value) -> HashSet<DagHash> {
    let edges = node.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    edges.filter_map(|edge| edge.get("hash")?.as_str()?.parse().ok()).collect()
}

/// Nodes of format 3 (Spack before 0.21) differ from format 4 in their edges only.
fn convert(mut node: Value, version: u32, format: IndexFormat) -> Value {
    if let (3, IndexFormat::V7, Some(Value::Array(edges))) = (version, format, node.get_mut("dependencies")) {
        for edge in edges.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(types) = edge.remove("type") {
                edge.insert("parameters".to_owned(), json!({"deptypes": types, "virtuals": []}));
            }
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn hash(letter: char) -> String {
        letter.to_string().repeat(32)
    }

    fn blob(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn spec_file(nodes: &[(char, &str, &[char])]) -> SpecNodes {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|(letter, name, on)| {
                let edges: Vec<_> = on.iter().map(|to| json!({"name": "x", "hash": hash(*to)})).collect();
                json!({"name": name, "hash": hash(*letter), "dependencies": edges})
            })
            .collect();
        read_spec_blob(&blob(&json!({"spec": {"_meta": {"version": 5}, "nodes": nodes}}).to_string())).unwrap()
    }

    #[test]
    fn an_index_lists_its_entries_and_marks_the_others() {
        let entries = [spec_file(&[('a', "app", &['b']), ('b', "lib", &[])])];
        let index: Value = serde_json::from_slice(&index(&entries, &Listed::default(), IndexFormat::V8)).unwrap();
        let installs = &index["database"]["installs"];
        assert_eq!(installs[hash('a')]["in_buildcache"], true);
        assert_eq!(installs[hash('b')]["in_buildcache"], false);
        assert_eq!(installs[hash('b')]["ref_count"], 1);
    }

    #[test]
    fn no_spec_can_describe_another_entry() {
        let entries = [spec_file(&[('a', "app", &['b']), ('b', "evil", &[])]), spec_file(&[('b', "lib", &[])])];
        let index: Value = serde_json::from_slice(&index(&entries, &Listed::default(), IndexFormat::V8)).unwrap();
        assert_eq!(index["database"]["installs"][hash('b')]["spec"]["name"], "lib");
    }

    #[test]
    fn what_was_listed_before_stays_unless_an_entry_says_better() {
        let first =
            index(&[spec_file(&[('a', "app", &['b']), ('b', "evil", &[])])], &Listed::default(), IndexFormat::V8);
        let earlier = Listed::read(&first, IndexFormat::V8);
        let second: Value =
            serde_json::from_slice(&index(&[spec_file(&[('b', "lib", &[])])], &earlier, IndexFormat::V8)).unwrap();
        let installs = &second["database"]["installs"];
        assert_eq!(
            (&installs[hash('a')]["in_buildcache"], &installs[hash('b')]["in_buildcache"]),
            (&true.into(), &true.into())
        );
        assert_eq!(installs[hash('b')]["spec"]["name"], "lib");
        assert!(Listed::read(&first, IndexFormat::V7).0.is_empty() && Listed::read(b"x", IndexFormat::V8).0.is_empty());
    }

    #[test]
    fn a_blob_that_unpacks_to_gigabytes_is_refused() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![b' '; 1 << 20];
        (0..70).for_each(|_| gzip.write_all(&zeros).unwrap());
        assert!(read_spec_blob(&gzip.finish().unwrap()).err().unwrap().contains("unpacks to more than"));
    }
}
