//! The layouts that larder knows, in the order in which Spack looks for a spec.

use super::rules::{Place, Rules};
use super::{v2::V2, v3::V3};
use crate::types::{MirrorPath, SpecId};

/// The layout in which a mirror has a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// Manifests and content-addressed blobs.
    V3,
    /// Spec files and archives in `build_cache/`.
    V2,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V3, Self::V2];

    pub(super) fn rules(self) -> &'static dyn Rules {
        match self {
            Self::V3 => &V3,
            Self::V2 => &V2,
        }
    }

    /// Where below a mirror the metadata of a spec may lie, in the order in which one is asked.
    pub fn places(spec: &SpecId) -> Vec<(Self, MirrorPath)> {
        let places = |layout: Self| layout.rules().places(spec).into_iter().map(move |path| (layout, path));
        Self::ALL.into_iter().flat_map(places).collect()
    }

    /// What a file is by its path below a mirror; `None` for what no Spack puts there.
    pub fn recognise(path: &[&str]) -> Option<(Self, Place)> {
        Self::ALL.into_iter().find_map(|layout| Some((layout, layout.rules().recognise(path)?)))
    }
}
