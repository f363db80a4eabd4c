//! Is the graph whole, and free of cycles?

use std::collections::{HashMap, HashSet};

use super::error::LockfileError;
use super::model::{ConcreteSpec, Lockfile};
use crate::types::DagHash;

/// Every edge leads to a spec of the file and none leads back.
pub(super) fn check(lockfile: &Lockfile) -> Result<(), LockfileError> {
    let missing = |from: String, to| LockfileError::MissingDependency { path: lockfile.path.clone(), from, to };
    for root in &lockfile.roots {
        if lockfile.spec(root.hash).is_none() {
            return Err(missing(format!("the root `{}`", root.request.escape_debug()), root.hash.to_string()));
        }
    }
    for spec in lockfile.specs() {
        if let Some(edge) = spec.dependencies.iter().find(|edge| lockfile.spec(edge.hash).is_none()) {
            return Err(missing(spec.id.to_string(), format!("{}/{}", edge.name, edge.hash)));
        }
        if let Some(to) = spec.build_spec.filter(|to| lockfile.spec(*to).is_none()) {
            return Err(missing(spec.id.to_string(), format!("its build spec {to}")));
        }
    }
    find_cycle(lockfile).map_or(Ok(()), |cycle| Err(LockfileError::Cycle { path: lockfile.path.clone(), cycle }))
}

/// Every spec is needed by a root, as in all that Spack writes: a format that names its edges in another way would look like
/// specs without dependencies.
pub(super) fn check_reach(lockfile: &Lockfile) -> Result<(), LockfileError> {
    let mut reached: HashSet<DagHash> = lockfile.roots.iter().map(|root| root.hash).collect();
    let mut to_visit: Vec<DagHash> = reached.iter().copied().collect();
    while let Some(spec) = to_visit.pop().and_then(|hash| lockfile.spec(hash)) {
        to_visit.extend(edges(spec).filter(|hash| reached.insert(*hash)));
    }
    match lockfile.specs().find(|spec| !reached.contains(&spec.id.hash)) {
        None => Ok(()),
        Some(spec) => Err(LockfileError::Malformed {
            path: lockfile.path.clone(),
            reason: format!("nothing needs {}, which is in it", spec.id),
        }),
    }
}

fn edges(spec: &ConcreteSpec) -> impl Iterator<Item = DagHash> {
    spec.dependencies.iter().map(|edge| edge.hash).chain(spec.build_spec)
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    OnThePath,
    Done,
}

/// Depth first, with a stack of its own: a hostile file can nest deeper than the thread's.
fn find_cycle(lockfile: &Lockfile) -> Option<Vec<String>> {
    let mut marks: HashMap<DagHash, Mark> = HashMap::new();
    for start in lockfile.specs() {
        if marks.contains_key(&start.id.hash) {
            continue;
        }
        marks.insert(start.id.hash, Mark::OnThePath);
        let mut path = vec![(start, edges(start).collect::<Vec<_>>())];
        while let Some((spec, remaining)) = path.last_mut() {
            let Some(next) = remaining.pop() else {
                marks.insert(spec.id.hash, Mark::Done);
                path.pop();
                continue;
            };
            match marks.get(&next) {
                Some(Mark::Done) => {}
                Some(Mark::OnThePath) => {
                    let circle = path.iter().map(|(spec, _)| *spec).skip_while(|spec| spec.id.hash != next);
                    let mut circle: Vec<String> = circle.map(|spec| spec.id.to_string()).collect();
                    circle.extend(circle.first().cloned());
                    return Some(circle);
                }
                None => {
                    let next = lockfile.spec(next)?;
                    marks.insert(next.id.hash, Mark::OnThePath);
                    path.push((next, edges(next).collect()));
                }
            }
        }
    }
    None
}
