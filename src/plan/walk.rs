//! Which specs are needed: a walk over dependencies, as Spack's installer walks.
//!
//! A spec with a binary needs its link and run dependencies. One that must be built needs its build dependencies as well.
//! An external one, and one in the install tree, needs nothing. A spliced spec needs the binary of its build spec, which
//! Spack relinks; where no mirror has that, the build spec itself must be built.

use std::collections::{BTreeMap, HashSet};

use super::Graph;
use crate::config::BuildDeps;
use crate::lockfile::{ConcreteSpec, Origin};
use crate::types::DagHash;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// The environments.
    pub graph: &'a Graph<'a>,
    /// The specs to install.
    pub roots: &'a [DagHash],
    /// Which build dependencies count.
    pub build_deps: BuildDeps,
    /// What the install trees hold.
    pub installed: &'a HashSet<DagHash>,
    /// What this very job builds, whatever the mirrors have: the spec of a `spack ci` job.
    pub built_here: Option<DagHash>,
}

/// What to take a spec for as long as no mirror was asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A mirror has it: yields the specs that are needed in any case.
    IsThere,
    /// No mirror has it: yields all specs that may be needed.
    IsMissing,
}

/// A needed spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed<'a> {
    /// The spec.
    pub spec: &'a ConcreteSpec,
    /// What it is.
    pub need: Need,
}

/// What a needed spec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Not Spack's to install.
    External,
    /// In the install tree.
    Installed,
    /// A mirror has its binary.
    Binary,
    /// It must be built.
    Build(BuildReason),
    /// No mirror was asked yet.
    Unknown,
}

/// Why a spec must be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuildReason {
    /// No mirror has it.
    InNoMirror,
    /// It is a development build.
    Development,
    /// This job is there to build it.
    ThisJob,
}

/// Walk. `availability` tells of a binary's hash whether a mirror has it, as far as that is known. The answer is in the
/// order of the hashes.
pub(crate) fn walk<'a>(
    question: &Question<'a>,
    availability: impl Fn(DagHash) -> Option<bool>,
    unknown: Unknown,
) -> Vec<Needed<'a>> {
    let mut needs: BTreeMap<DagHash, Needed<'a>> = BTreeMap::new();
    let mut waiting = question.roots.to_vec();
    while let Some(hash) = waiting.pop() {
        let Some(spec) = question.graph.spec(hash) else { continue };
        if needs.contains_key(&hash) {
            continue;
        }
        let need = if spec.origin == Origin::External {
            Need::External
        } else if question.installed.contains(&hash) {
            Need::Installed
        } else if question.built_here == Some(hash) {
            Need::Build(BuildReason::ThisJob)
        } else if spec.origin == Origin::Development {
            Need::Build(BuildReason::Development)
        } else {
            match availability(spec.binary_hash()) {
                Some(true) => Need::Binary,
                Some(false) => Need::Build(BuildReason::InNoMirror),
                None => Need::Unknown,
            }
        };
        needs.insert(hash, Needed { spec, need });
        let is_built = match need {
            Need::External | Need::Installed => continue,
            Need::Binary => false,
            Need::Build(_) => true,
            Need::Unknown => unknown == Unknown::IsMissing,
        };
        let with_build_dependencies = match question.build_deps {
            BuildDeps::Missing => is_built,
            BuildDeps::All => true,
            BuildDeps::None => false,
        };
        let edges = spec.dependencies.iter();
        let edges = edges.filter(|edge| edge.types.link_or_run || (edge.types.build && with_build_dependencies));
        waiting.extend(edges.map(|edge| edge.hash));
        if is_built {
            waiting.extend(spec.build_spec);
        }
    }
    needs.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::Lockfile;
    use std::path::Path;

    const ALL: Unknown = Unknown::IsThere;

    fn lockfile(environment: &str) -> Lockfile {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v3").join(environment).join("spack.lock");
        Lockfile::read(&path).unwrap()
    }

    /// The needed specs as `name: need`, in the order of their names; `missing` names what no mirror has.
    fn needs(environment: &str, ask: impl FnOnce(&mut Question<'_>), missing: &[&str]) -> Vec<String> {
        let lockfile = lockfile(environment);
        let graph = Graph::new([&lockfile]);
        let roots: Vec<_> = graph.roots().iter().map(|root| root.hash).collect();
        let installed = HashSet::new();
        let mut question = Question {
            graph: &graph,
            roots: &roots,
            build_deps: BuildDeps::Missing,
            installed: &installed,
            built_here: None,
        };
        ask(&mut question);
        let name = |hash| graph.spec(hash).unwrap().id.name.as_str();
        let found = walk(&question, |hash| Some(!missing.contains(&name(hash))), ALL);
        let mut lines: Vec<_> =
            found.iter().map(|needed| format!("{}: {:?}", name(needed.spec.id.hash), needed.need)).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_binary_needs_link_and_run_dependencies_only() {
        assert_eq!(
            needs("env-demo", |_| (), &[]),
            ["app: Binary", "libbase: Binary", "libmid: Binary", "plotter: Binary", "rtdata: Binary", "sysz: External"]
        );
    }

    #[test]
    fn what_must_be_built_needs_its_build_dependencies_too() {
        let found = needs("env-demo", |_| (), &["app"]);
        assert!(found.contains(&"codegen: Binary".to_owned()), "{found:?}");
        let none = needs("env-demo", |question| question.build_deps = BuildDeps::None, &["app"]);
        assert!(!none.contains(&"codegen: Binary".to_owned()), "{none:?}");
    }

    #[test]
    fn all_build_dependencies_are_added_where_asked_for() {
        let found = needs("env-demo", |question| question.build_deps = BuildDeps::All, &[]);
        assert!(found.contains(&"codegen: Binary".to_owned()), "{found:?}");
    }

    #[test]
    fn a_development_build_is_built_and_its_dependencies_are_not() {
        assert_eq!(
            needs("env-develop", |_| (), &[]),
            ["app: Build(Development)", "codegen: Binary", "libbase: Binary", "libmid: Binary", "sysz: External"]
        );
    }

    #[test]
    fn included_environments_are_needed_like_ones_own() {
        let found = needs("env-stacked", |_| (), &["unbuilt", "py-tool"]);
        for line in ["plotter: Binary", "unbuilt: Build(InNoMirror)", "py-tool: Build(InNoMirror)"] {
            assert!(found.contains(&line.to_owned()), "{found:?}");
        }
    }

    #[test]
    fn a_spliced_spec_stands_for_the_binary_of_its_build_spec() {
        let lockfile = lockfile("env-splice");
        let spliced = lockfile.spec(lockfile.roots()[0].hash).unwrap();
        assert_ne!(spliced.binary_hash(), spliced.id.hash);
        let there = needs("env-splice", |_| (), &[]);
        assert_eq!(there, ["libbase: Binary", "plotter: Binary", "rtdata: Binary"]);
        let missing = needs("env-splice", |_| (), &["plotter"]);
        assert_eq!(missing.iter().filter(|line| line.starts_with("plotter: Build")).count(), 2, "{missing:?}");
    }

    #[test]
    fn nothing_below_an_installed_spec_is_needed() {
        let lockfile = lockfile("env-demo");
        let libmid = lockfile.specs().find(|spec| spec.id.name.as_str() == "libmid").unwrap().id.hash;
        let app = lockfile.roots().iter().find(|root| root.request == "app").unwrap().hash;
        let graph = Graph::new([&lockfile]);
        let question = Question {
            graph: &graph,
            roots: &[app],
            build_deps: BuildDeps::Missing,
            installed: &[libmid].into(),
            built_here: None,
        };
        let found = walk(&question, |_| Some(true), ALL);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.contains(&Needed { spec: graph.spec(libmid).unwrap(), need: Need::Installed }));
    }

    #[test]
    fn the_spec_that_this_job_builds_is_not_looked_for() {
        let lockfile = lockfile("env-demo");
        let app = lockfile.roots().iter().find(|root| root.request == "app").unwrap().hash;
        let graph = Graph::new([&lockfile]);
        let question = Question {
            graph: &graph,
            roots: &[app],
            build_deps: BuildDeps::Missing,
            installed: &HashSet::new(),
            built_here: Some(app),
        };
        let found = walk(&question, |hash| Some(hash != app), ALL);
        assert!(found.contains(&Needed { spec: graph.spec(app).unwrap(), need: Need::Build(BuildReason::ThisJob) }));
        assert_eq!(found.len(), 5, "{found:?}");
    }
}
