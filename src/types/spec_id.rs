//! What tells one concrete spec from all others, and what Spack makes file names of.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::{BlobRole, DagHash, PackageName, Request, VersionText};

/// A concrete spec's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecId {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: VersionText,
    /// Its DAG hash.
    pub hash: DagHash,
    /// What it was concretized for.
    pub arch: Arch,
    /// The compiler that takes part in the file names of layout v2; absent where nothing was compiled.
    pub compiler: Option<Compiler>,
}

/// Platform, operating system and target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Arch {
    /// Such as `linux`.
    pub platform: PackageName,
    /// Such as `debian12`.
    pub platform_os: PackageName,
    /// Such as `x86_64_v3`. In a lockfile it may be an object that describes the micro-architecture.
    #[serde(deserialize_with = "target")]
    pub target: PackageName,
}

/// Name and version of a compiler.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Compiler {
    /// Such as `gcc`.
    pub name: PackageName,
    /// Such as `12.2.0`.
    pub version: VersionText,
}

impl SpecId {
    /// The request for one of its blobs to a mirror at this URL.
    pub(crate) fn request(&self, mirror: String, role: BlobRole) -> Request {
        Request { name: self.name.clone(), version: self.version.clone(), hash: self.hash, mirror, role }
    }
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PackageName, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Target {
        Name(PackageName),
        Object { name: PackageName },
    }
    let (Target::Name(name) | Target::Object { name }) = Target::deserialize(deserializer)?;
    Ok(name)
}

/// As people name a spec: `app@3.1.4/htwdxxs`.
impl fmt::Display for SpecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.name, self.version, self.hash.short())
    }
}
