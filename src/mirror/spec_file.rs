//! A spec and its dependencies, as metadata describes them: in a v2 spec file, or in the spec blob of a v3 manifest.

use std::io::Read as _;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::types::DagHash;

/// The most bytes a spec file may unpack to: stops a small blob that unpacks to gigabytes.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;

/// The nodes of one spec's metadata.
pub(crate) struct SpecNodes {
    /// The format of the nodes: 3 to 6, in what Spack 0.18 to 1.3 wrote.
    pub(super) format: u32,
    /// The spec itself.
    pub(super) spec: (DagHash, Value),
    /// Those that it refers to.
    pub(super) others: Vec<(DagHash, Value)>,
}

#[derive(Deserialize)]
struct SpecFile {
    spec: SpecGraph,
}

/// `spec:` of a spec file.
#[derive(Deserialize)]
pub(super) struct SpecGraph {
    #[serde(rename = "_meta")]
    meta: Meta,
    nodes: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Meta {
    version: u32,
}

impl SpecGraph {
    /// What is needed of the first node, which is the spec itself.
    pub(super) fn first<T: DeserializeOwned>(&self) -> Result<T, String> {
        let node = self.nodes.first().ok_or("it holds no spec")?;
        serde_json::from_str(node.get()).map_err(|error| error.to_string())
    }

    /// All of them.
    pub(super) fn nodes(&self) -> Result<SpecNodes, String> {
        let read = |node: &RawValue| -> Result<(DagHash, Value), String> {
            let node: Value = serde_json::from_str(node.get()).map_err(|error| error.to_string())?;
            let hash = node.get("hash").and_then(Value::as_str).ok_or("a node has no hash")?;
            Ok((hash.parse().map_err(|error| format!("{error}"))?, node))
        };
        let mut nodes = self.nodes.iter().map(|node| read(node)).collect::<Result<Vec<_>, _>>()?.into_iter();
        let spec = nodes.next().ok_or("it holds no spec")?;
        Ok(SpecNodes { format: self.meta.version, spec, others: nodes.collect() })
    }
}

impl SpecNodes {
    /// Read the spec blob of a v3 mirror: JSON, usually compressed.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut unpacked = Vec::new();
        let text = if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut gzip = flate2::read::MultiGzDecoder::new(bytes).take(MAX_UNPACKED_BYTES + 1);
            gzip.read_to_end(&mut unpacked).map_err(|error| format!("it can't be unpacked: {error}"))?;
            if unpacked.len() as u64 > MAX_UNPACKED_BYTES {
                return Err(format!("it unpacks to more than {MAX_UNPACKED_BYTES} bytes"));
            }
            &unpacked
        } else {
            bytes
        };
        let file: SpecFile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        file.spec.nodes()
    }

    /// The spec that is described.
    pub(crate) fn hash(&self) -> DagHash {
        self.spec.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_blob_that_unpacks_to_gigabytes_is_refused() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![b' '; 1 << 20];
        (0..70).for_each(|_| gzip.write_all(&zeros).unwrap());
        assert!(SpecNodes::read(&gzip.finish().unwrap()).err().unwrap().contains("unpacks to more than"));
    }
}
