//! The lockfiles of all environments as one graph.

use std::collections::{BTreeMap, BTreeSet};

use crate::lockfile::{ConcreteSpec, Lockfile, Root};
use crate::types::DagHash;

/// Specs of several environments. A spec that two have is the same in both: its hash covers its dependencies.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    specs: BTreeMap<DagHash, Node<'a>>,
    roots: Vec<&'a Root>,
}

#[derive(Debug)]
struct Node<'a> {
    spec: &'a ConcreteSpec,
    environments: Vec<usize>,
}

impl<'a> Graph<'a> {
    /// Merge lockfiles; environments are numbered in their order.
    pub(crate) fn new(lockfiles: impl IntoIterator<Item = &'a Lockfile>) -> Self {
        let mut graph = Self { specs: BTreeMap::new(), roots: Vec::new() };
        for (environment, lockfile) in lockfiles.into_iter().enumerate() {
            graph.roots.extend(lockfile.roots());
            for spec in lockfile.specs() {
                let node = graph.specs.entry(spec.id.hash);
                node.or_insert_with(|| Node { spec, environments: Vec::new() }).environments.push(environment);
            }
        }
        graph
    }

    /// What the environments ask for.
    pub(crate) fn roots(&self) -> &[&'a Root] {
        &self.roots
    }

    /// All groups of roots, each once, in the order of their names. Nothing where no lockfile names one: then all roots are in the
    /// same, which need not be chosen.
    pub(crate) fn groups(&self) -> BTreeSet<&'a str> {
        if self.roots.iter().all(|root| root.named_group.is_none()) {
            return BTreeSet::new();
        }
        self.roots.iter().map(|root| root.group()).collect()
    }

    /// The groups in which a spec is a root, as far as lockfiles name any.
    pub(crate) fn groups_of(&self, hash: DagHash) -> BTreeSet<&'a str> {
        self.roots.iter().filter(|root| root.hash == hash).filter_map(|root| root.named_group.as_deref()).collect()
    }

    /// All specs, in the order of their hashes.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &'a ConcreteSpec> {
        self.specs.values().map(|node| node.spec)
    }

    /// The spec with this hash.
    pub(crate) fn spec(&self, hash: DagHash) -> Option<&'a ConcreteSpec> {
        self.specs.get(&hash).map(|node| node.spec)
    }

    /// The numbers of the environments that hold this spec.
    pub(crate) fn environments(&self, hash: DagHash) -> &[usize] {
        self.specs.get(&hash).map_or(&[], |node| &node.environments)
    }
}
