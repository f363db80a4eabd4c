//! From environments to needed specs: walk the graph, ask the mirrors, walk again.
//!
//! Mirrors are asked for many specs at once. The first round asks for what is needed in any case; only if something of it is
//! in no mirror is there a second one, for everything that building it may need. So there are at most two rounds, however
//! deep the graph is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use super::environments::Environments;
use super::error::RunError;
use super::parallel;
use super::session::{Session, Wanted};
use crate::job::JobError;
use crate::lockfile::ConcreteSpec;
use crate::mirror::{Answer, Document, Published};
use crate::plan::{Availability, Binary, BuildReason, Graph, Need, Question, Selection, Unknown, row, select, walk};
use crate::report::SpecReport;
use crate::reporter::Phase;
use crate::store::StoredBlob;
use crate::store::built::{Depth, Lookup};
use crate::transport::Transport;
use crate::types::{DagHash, Mirror, SpecId};

/// What the environments' jobs need.
pub(crate) struct Resolution {
    /// The needed specs, in the order of their names.
    pub specs: Vec<ResolvedSpec>,
    /// What mirrors publish, by the binary's hash.
    pub found: HashMap<DagHash, Located>,
}

impl Resolution {
    /// What Spack has to build and `collect` may push afterwards: no development builds, which are in no mirror's interest.
    pub(crate) fn to_build(&self) -> Vec<DagHash> {
        let is_built = |need| matches!(need, Need::Build(BuildReason::InNoMirror | BuildReason::ThisJob));
        self.specs.iter().filter(|spec| is_built(spec.need)).map(|spec| spec.id.hash).collect()
    }

    /// Every needed spec as a row. `hold` says where the binary of one that a mirror has is.
    pub(crate) fn rows(&self, hold: impl Fn(&Located) -> Holding) -> Vec<SpecReport> {
        let row_of = |spec: &ResolvedSpec| {
            let found = self.found.get(&spec.binary).filter(|_| spec.need == Need::Binary);
            let binary = found.map(|found| {
                let holding = match &found.built {
                    Some(built) => {
                        Holding { availability: Availability::Cached, bytes: Some(built.bytes), cache: None }
                    }
                    None => hold(found),
                };
                let Holding { availability, bytes, cache } = holding;
                let digest = found.published.blobs.first().map(|blob| blob.expected.digest);
                let mirror = found.published.mirror.name.clone();
                Binary { mirror, built: found.built.is_some(), digest, availability, bytes, cache }
            });
            row(&spec.id, spec.binary, spec.need, binary)
        };
        self.specs.iter().map(row_of).collect()
    }

    /// What comes out of the folder of what the branch built.
    pub(crate) fn built(&self) -> Vec<DagHash> {
        let mut hashes: Vec<DagHash> =
            self.found.iter().filter(|(_, found)| found.built.is_some()).map(|(hash, _)| *hash).collect();
        hashes.sort_unstable();
        hashes
    }
}

/// A needed spec.
pub(crate) struct ResolvedSpec {
    /// Its identity.
    pub id: SpecId,
    /// Under which hash mirrors keep its binary.
    pub binary: DagHash,
    /// What it is.
    pub need: Need,
}

/// What a mirror publishes for a binary.
pub(crate) struct Located {
    /// The spec whose binary it is.
    pub spec: SpecId,
    /// The metadata, parsed; its `document` is empty.
    pub published: Published,
    /// Where the binary lies, if it is one that the branch built itself.
    pub built: Option<BuiltBinary>,
    /// The metadata, byte for byte. Kept only with [`Documents::Keep`].
    pub document: Option<Document>,
    /// The mirrors that would have been asked next, for blobs that are named alike everywhere.
    pub others: Vec<Arc<Mirror>>,
    signature: Signature,
}

/// Where the binary of a spec is, and how large.
pub(crate) struct Holding {
    pub availability: Availability,
    pub bytes: Option<u64>,
    pub cache: Option<String>,
}

/// A binary in the folder of what the branch built.
pub(crate) struct BuiltBinary {
    /// Its blobs, hashed in this run; none for `plan`.
    pub blobs: Vec<StoredBlob>,
    /// Their size together.
    pub bytes: u64,
}

/// Whether metadata has the signature that its mirror's configuration demands.
#[derive(Clone, Copy, PartialEq)]
enum Signature {
    AsDemanded,
    Missing,
}

/// What is done with metadata documents once they are parsed.
#[derive(Clone, Copy)]
pub(crate) enum Documents<'a> {
    /// They are forgotten.
    Forget,
    /// They are kept for the job mirror; large ones in files of this folder.
    Keep(&'a Path),
}

/// Which parts of the configuration and the environment variables choose the specs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scope {
    /// Those of this CI job: its entry in `jobs:`, or the spec that `spack ci` has it build.
    Job,
    /// None: whole environments.
    WholeEnvironments,
}

pub(crate) async fn resolve(
    session: &Session<'_>,
    environments: &Environments,
    wanted: &Wanted,
    scope: Scope,
    transport: &Transport,
    documents: Documents<'_>,
) -> Result<Resolution, RunError> {
    let graph = Graph::new(&environments.lockfiles);
    let job = job_of(session, wanted, scope)?;
    let roots = select(&graph, &job.selection)?;
    let question = Question {
        graph: &graph,
        roots: &roots,
        build_deps: wanted.build_deps.or(job.build_deps).or(session.config.build_deps).unwrap_or_default(),
        installed: &environments.installed,
        built_here: job.built_here,
    };
    let asker = Asker { session, environments, graph: &graph, transport, documents };
    let mut answers: HashMap<DagHash, Option<Located>> = HashMap::new();
    for unknown in [Unknown::IsThere, Unknown::IsMissing] {
        let known = |hash| answers.get(&hash).map(Option::is_some);
        if walk(&question, known, Unknown::IsThere).iter().all(|needed| needed.need != Need::Unknown) {
            break;
        }
        let needed = walk(&question, known, unknown);
        let to_ask = needed.iter().filter(|needed| needed.need == Need::Unknown);
        let mut to_ask: Vec<DagHash> =
            to_ask.filter_map(|needed| graph.spec(needed.hash).map(ConcreteSpec::binary_hash)).collect();
        to_ask.sort_unstable();
        to_ask.dedup();
        answers.extend(asker.ask(&to_ask).await?);
        asker.look_into_folder(&to_ask, &mut answers)?;
    }
    asker.doubt_mirrors(&answers);
    asker.warn_of_missing_signatures(&answers);
    let needed = walk(&question, |hash| answers.get(&hash).map(Option::is_some), Unknown::IsThere);
    let mut specs: Vec<ResolvedSpec> = needed
        .into_iter()
        .filter_map(|needed| {
            let spec = graph.spec(needed.hash)?;
            Some(ResolvedSpec { id: spec.id.clone(), binary: spec.binary_hash(), need: needed.need })
        })
        .collect();
    specs.sort_by(|a, b| (&a.id.name, a.id.hash).cmp(&(&b.id.name, b.id.hash)));
    let is_needed = |hash: &DagHash| specs.iter().any(|spec| spec.need == Need::Binary && spec.binary == *hash);
    let found = answers.into_iter().filter(|(hash, _)| is_needed(hash));
    let found = found.filter_map(|(hash, found)| Some((hash, found?))).collect();
    Ok(Resolution { specs, found })
}

/// What this job installs.
struct Job {
    selection: Selection,
    build_deps: Option<crate::config::BuildDeps>,
    built_here: Option<DagHash>,
}

/// The command line comes first, then the spec of a `spack ci` job, then the `jobs:` table, then all roots.
fn job_of(session: &Session<'_>, wanted: &Wanted, scope: Scope) -> Result<Job, RunError> {
    let plain = |selection| Job { selection, build_deps: None, built_here: None };
    if wanted.selection != Selection::default() || scope == Scope::WholeEnvironments {
        return Ok(plain(wanted.selection.clone()));
    }
    if let Some(text) = session.variables.set("SPACK_JOB_SPEC_DAG_HASH") {
        let no_such = || crate::plan::SelectionError::NoSuchHash { hash: text.to_owned() };
        let hash = text.parse::<DagHash>().map_err(|_| no_such())?;
        let selection = Selection { specs: Vec::new(), hashes: vec![hash.into()] };
        return Ok(Job { selection, build_deps: None, built_here: Some(hash) });
    }
    match session.variables.set("CI_JOB_NAME").and_then(|name| session.config.job_rule(name)) {
        Some(rule) => Ok(Job {
            selection: Selection { specs: rule.specs.clone(), hashes: rule.hashes.clone() },
            build_deps: rule.build_deps,
            built_here: None,
        }),
        None => Ok(plain(Selection::default())),
    }
}

struct Asker<'a> {
    session: &'a Session<'a>,
    environments: &'a Environments,
    graph: &'a Graph<'a>,
    transport: &'a Transport,
    documents: Documents<'a>,
}

impl Asker<'_> {
    /// Ask for these binaries, many at a time. The first error ends it: a mirror that can't be reached for one spec will not
    /// be for the next, and each would use up its retries.
    async fn ask(&self, binaries: &[DagHash]) -> Result<Vec<(DagHash, Option<Located>)>, RunError> {
        self.environments.mirrors.iter().try_for_each(|mirror| mirror.check_folder())?;
        let progress = self.session.reporter.phase(Phase::Metadata, binaries.len() as u64, None);
        let answers = futures::stream::iter(binaries)
            .map(async |hash| {
                let item = progress.item(hash.as_str(), None);
                let found = self.ask_for(*hash).await?;
                item.finish();
                Ok::<_, RunError>((*hash, found))
            })
            .buffer_unordered(self.transport.settings().metadata_connections)
            .try_collect()
            .await;
        progress.finish();
        answers
    }

    async fn ask_for(&self, hash: DagHash) -> Result<Option<Located>, RunError> {
        let Some(spec) = self.graph.spec(hash) else { return Ok(None) };
        let mut unsigned = None;
        let mirrors = self.mirrors_for(hash);
        for mirror in &mirrors {
            match mirror.find(&spec.id, self.transport).await? {
                Answer::Has(published) => {
                    return self.keep(&spec.id, *published, Signature::AsDemanded, &mirrors).map(Some);
                }
                Answer::Lacks => {}
                // Spack goes on to the next mirror. Only where no other has it is this one better than nothing: Spack can
                // be told not to check, and goes on checking where it is not.
                Answer::Unsigned(published) => {
                    unsigned.get_or_insert(published);
                }
            }
        }
        unsigned.map(|published| self.keep(&spec.id, *published, Signature::Missing, &mirrors)).transpose()
    }

    /// Look for what no mirror has in the folder of what the branch built. Whatever is wrong there, Spack builds the spec as it
    /// would without the folder.
    fn look_into_folder(
        &self,
        asked: &[DagHash],
        answers: &mut HashMap<DagHash, Option<Located>>,
    ) -> Result<(), RunError> {
        let Some(folder) = &self.environments.built else { return Ok(()) };
        let lacks = |hash: &&DagHash| match answers.get(*hash) {
            Some(Some(found)) => found.signature == Signature::Missing,
            Some(None) => true,
            None => false,
        };
        let missing: Vec<&ConcreteSpec> =
            asked.iter().filter(lacks).filter_map(|hash| self.graph.spec(*hash)).collect();
        let depth = match self.documents {
            Documents::Forget => Depth::Names,
            Documents::Keep(_) => Depth::Bytes,
        };
        let look = |item: usize| {
            self.session.stop_if_asked()?;
            Ok::<_, RunError>(folder.look_for(&missing[item].id, depth))
        };
        for (spec, lookup) in missing.iter().zip(parallel::in_parallel(missing.len(), &look)) {
            match lookup? {
                Lookup::Has(found) => {
                    let crate::store::built::FoundSpec { published, blobs, bytes } = *found;
                    let mut kept = self.keep(&spec.id, published, Signature::AsDemanded, &[])?;
                    kept.built = Some(BuiltBinary { blobs, bytes });
                    answers.insert(spec.id.hash, Some(kept));
                }
                Lookup::Unusable(reason) => self.session.warn(&format!(
                    "what mirror `{}` has of {} is not used, as if it were not there: {reason}",
                    folder.name(),
                    spec.id
                )),
                Lookup::Lacks => {}
            }
        }
        Ok(())
    }

    fn keep(
        &self,
        spec: &SpecId,
        mut published: Published,
        signature: Signature,
        mirrors: &[&Arc<Mirror>],
    ) -> Result<Located, RunError> {
        let is_fallback = |mirror: &&&Arc<Mirror>| published.is_content_addressed() && ***mirror != published.mirror;
        let others = mirrors.iter().filter(is_fallback);
        let others = others.map(|mirror| Arc::clone(mirror)).collect();
        let document = std::mem::take(&mut published.document);
        let document = match self.documents {
            Documents::Forget => None,
            Documents::Keep(spool) => {
                let failed = |source| JobError::Io { path: spool.to_owned(), what: "keep metadata", source };
                Some(Document::new(document, spool).map_err(failed)?)
            }
        };
        Ok(Located { spec: spec.clone(), published, built: None, document, others, signature })
    }

    /// The mirrors of the environments that hold the spec, in order, each once.
    fn mirrors_for(&self, hash: DagHash) -> Vec<&Arc<Mirror>> {
        let mut positions: Vec<usize> = Vec::new();
        for environment in self.graph.environments(hash) {
            for position in &self.environments.mirrors_of[*environment] {
                if !positions.contains(position) {
                    positions.push(*position);
                }
            }
        }
        positions.into_iter().map(|position| &self.environments.mirrors[position]).collect()
    }

    fn warn_of_missing_signatures(&self, answers: &HashMap<DagHash, Option<Located>>) {
        for mirror in &self.environments.mirrors {
            let found = answers.values().flatten().filter(|found| found.signature == Signature::Missing);
            let mut specs: Vec<String> =
                found.filter(|found| found.published.mirror == *mirror).map(|found| found.spec.to_string()).collect();
            specs.sort();
            let more = if specs.len() > 3 { ", …" } else { "" };
            let shown = specs[..specs.len().min(3)].join(", ");
            if !specs.is_empty() {
                self.session.warn(&format!(
                    "mirror `{}` is `signed: true`, but {} of its specs have no signature ({shown}{more}): Spack refuses \
                     them unless it runs with `--no-check-signature`. Push them signed, or set `signed: false` (on the \
                     command line: `--unsigned`)",
                    mirror.name,
                    specs.len(),
                ));
            }
        }
    }

    /// A server says "not found" for a wrong address, too. Where nothing at all was found, say so.
    fn doubt_mirrors(&self, answers: &HashMap<DagHash, Option<Located>>) {
        if self.environments.mirrors.is_empty() || answers.is_empty() || answers.values().any(Option::is_some) {
            return;
        }
        let mirrors: Vec<_> =
            self.environments.mirrors.iter().map(|mirror| format!("`{}` ({})", mirror.name, mirror.url)).collect();
        let specs =
            if answers.len() == 1 { "the one spec".to_owned() } else { format!("any of {} specs", answers.len()) };
        self.session.warn(&format!("no mirror has {specs} asked for: is the URL right, and on an object store, which answers 403 for a missing file too, \
             may this job read it? Asked: {}",
            mirrors.join(", ")));
    }
}
