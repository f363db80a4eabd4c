//! What the nodes of all formats have in common.

use serde::Deserialize;

use super::dependency::Dependency;
use super::model::{ConcreteSpec, Origin};
use crate::types::{Arch, Compiler, DagHash, PackageName, SpecId, VersionText};

/// A node as the file has it.
#[derive(Deserialize)]
pub(super) struct RawNode {
    name: PackageName,
    version: VersionText,
    arch: Arch,
    hash: Option<DagHash>,
    #[serde(default)]
    parameters: RawParameters,
    compiler: Option<Compiler>,
    external: Option<serde::de::IgnoredAny>,
    build_spec: Option<RawBuildSpec>,
    annotations: Option<RawAnnotations>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Default, Deserialize)]
struct RawParameters {
    dev_path: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct RawBuildSpec {
    hash: DagHash,
}

/// Format 6 keeps here what a node had in an older format.
#[derive(Deserialize)]
struct RawAnnotations {
    compiler: Option<String>,
}

impl RawNode {
    /// The node under the key it has in the file; the reason where the two contradict each other.
    pub(super) fn into_spec(self, key: DagHash) -> Result<ConcreteSpec, String> {
        if let Some(hash) = self.hash
            && hash != key
        {
            return Err(format!("the spec under {key} says that its hash is {hash}"));
        }
        let compiler = match (self.compiler, self.annotations.and_then(|annotations| annotations.compiler)) {
            (Some(compiler), _) => Some(compiler),
            (None, Some(text)) => Some(parse_compiler(&text).ok_or_else(|| {
                format!("the compiler `{}` of {key} is not of the form `gcc@=12.2.0`", text.escape_debug())
            })?),
            (None, None) => None,
        };
        let origin = if self.external.is_some() {
            Origin::External
        } else if self.parameters.dev_path.is_some() {
            Origin::Development
        } else {
            Origin::Package
        };
        Ok(ConcreteSpec {
            id: SpecId { name: self.name, version: self.version, hash: key, arch: self.arch, compiler },
            origin,
            build_spec: self.build_spec.map(|build_spec| build_spec.hash).filter(|hash| *hash != key),
            dependencies: self.dependencies,
        })
    }
}

/// `gcc@=12.2.0` or `gcc@12.2.0`.
fn parse_compiler(text: &str) -> Option<Compiler> {
    let (name, version) = text.split_once('@')?;
    let version = version.strip_prefix('=').unwrap_or(version);
    Some(Compiler { name: name.parse().ok()?, version: version.parse().ok()? })
}
