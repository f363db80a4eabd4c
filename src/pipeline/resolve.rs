//! From environments to needed specs: walk the graph, ask the mirrors, walk again.
//!
//! Mirrors are asked for many specs at once. The first round asks for what is needed in any case; only if something of it is
//! in no mirror is there a second one, for everything that building it may need. So there are at most two rounds, however
//! deep the graph is.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use super::error::RunError;
use super::parallel;
use super::run::Run;
use super::session::{Scope, Session, Wanted};
use crate::config::BuildDeps;
use crate::job::JobError;
use crate::lockfile::ConcreteSpec;
use crate::mirror::{Document, Published};
use crate::plan::{
    Availability, BuildReason, Graph, Holding, Need, Needed, Question, Selection, SelectionError, Unknown, row, select,
    walk,
};
use crate::report::SpecReport;
use crate::reporter::Phase;
use crate::store::built::{BuiltBinary, Depth, FoundSpec, Lookup};
use crate::types::{DagHash, Mirror, Presence, SpecId, shorten};

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
            let Some(found) = self.found.get(&spec.binary).filter(|_| spec.need == Need::Binary) else {
                return SpecReport { groups: spec.groups.clone(), ..row(&spec.id, spec.binary, spec.need, None) };
            };
            let holding = match &found.built {
                Some(built) => Holding { availability: Availability::Cached, bytes: Some(built.bytes), cache: None },
                None => hold(found),
            };
            SpecReport {
                groups: spec.groups.clone(),
                mirror: Some(found.published.mirror.name.clone()),
                collected: found.built.is_some(),
                digest: found.published.blobs.first().map(|blob| blob.expected.digest),
                ..row(&spec.id, spec.binary, spec.need, Some(holding))
            }
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
    /// The groups in which it is a root, where its lockfile has groups.
    pub groups: Vec<String>,
}

/// What a mirror publishes for a binary.
pub(crate) struct Located {
    /// The metadata, parsed; its `document` is kept only with [`Documents::Keep`].
    pub published: Published,
    /// Where the binary lies, if it is one that the branch built itself.
    pub built: Option<BuiltBinary>,
    /// The mirrors that would have been asked next, for blobs that are named alike everywhere.
    pub others: Vec<Arc<Mirror>>,
}

/// What is done with metadata documents once they are parsed.
#[derive(Clone, Copy)]
pub(crate) enum Documents<'a> {
    /// They are forgotten.
    Forget,
    /// They are kept for the job mirror; large ones in files of this folder.
    Keep(&'a Path),
}

impl Run<'_> {
    /// Which specs are needed, and which mirror has each.
    pub(crate) async fn resolve(&self, documents: Documents<'_>) -> Result<Resolution, RunError> {
        self.session.unless_interrupted(resolve(self, documents)).await
    }
}

async fn resolve(run: &Run<'_>, documents: Documents<'_>) -> Result<Resolution, RunError> {
    let Run { session, wanted, environments, .. } = run;
    if environments.lockfiles.is_empty() {
        // Whatever is selected, it can't be known yet.
        return Ok(Resolution { specs: Vec::new(), found: HashMap::new() });
    }
    let graph = Graph::new(&environments.lockfiles);
    let job = job_of(session, wanted, run.scope)?;
    let roots = select(&graph, &job.selection)?;
    let question = Question {
        graph: &graph,
        roots: &roots,
        build_deps: wanted.build_deps.or(job.build_deps).or(session.config.build_deps).unwrap_or_default(),
        installed: &environments.installed,
        built_here: job.built_here,
    };
    let asker = Asker { run, graph: &graph, documents };
    let mut answers: HashMap<DagHash, Option<Located>> = HashMap::new();
    for unknown in [Unknown::IsThere, Unknown::IsMissing] {
        let known = |hash| answers.get(&hash).map(Option::is_some);
        let to_ask = walk(&question, known, unknown).into_iter().filter(|needed| needed.need == Need::Unknown);
        let to_ask: BTreeSet<DagHash> = to_ask.map(|needed| needed.spec.binary_hash()).collect();
        if to_ask.is_empty() {
            break;
        }
        answers.extend(asker.ask(&to_ask).await?);
        asker.look_into_folder(&to_ask, &mut answers)?;
    }
    asker.doubt_mirrors(&answers);
    asker.warn_of_missing_signatures(&answers);
    let needed = walk(&question, |hash| answers.get(&hash).map(Option::is_some), Unknown::IsThere);
    let mut specs: Vec<ResolvedSpec> = needed
        .into_iter()
        .map(|Needed { spec, need }| {
            let groups = graph.groups_of(spec.id.hash).into_iter().map(shorten).collect();
            ResolvedSpec { id: spec.id.clone(), binary: spec.binary_hash(), need, groups }
        })
        .collect();
    specs.sort_by(|a, b| (&a.id.name, a.id.hash).cmp(&(&b.id.name, b.id.hash)));
    let binaries = specs.iter().filter(|spec| spec.need == Need::Binary).map(|spec| spec.binary);
    let found = binaries.filter_map(|binary| Some((binary, answers.remove(&binary)??))).collect();
    Ok(Resolution { specs, found })
}

/// What this job installs.
#[derive(Default)]
struct Job {
    selection: Selection,
    build_deps: Option<BuildDeps>,
    built_here: Option<DagHash>,
}

/// The command line comes first, then the spec of a `spack ci` job, then the `jobs:` table, then all roots.
fn job_of(session: &Session<'_>, wanted: &Wanted, scope: Scope) -> Result<Job, RunError> {
    if wanted.selection != Selection::default() || scope == Scope::WholeEnvironments {
        return Ok(Job { selection: wanted.selection.clone(), ..Job::default() });
    }
    if let Some(text) = session.variables.set("SPACK_JOB_SPEC_DAG_HASH") {
        let no_such = |_| SelectionError::NoSuchHash { hash: text.to_owned() };
        let hash: DagHash = text.parse().map_err(no_such)?;
        let selection = Selection { hashes: vec![hash.into()], ..Selection::default() };
        return Ok(Job { selection, built_here: Some(hash), ..Job::default() });
    }
    let rule = session.variables.set("CI_JOB_NAME").and_then(|name| session.config.job_rule(name));
    let job = rule.map(|rule| {
        let (specs, hashes, groups) = (rule.specs.clone(), rule.hashes.clone(), rule.groups.clone());
        let selection = Selection { specs, hashes, groups };
        Job { selection, build_deps: rule.build_deps, built_here: None }
    });
    Ok(job.unwrap_or_default())
}

struct Asker<'a> {
    run: &'a Run<'a>,
    graph: &'a Graph<'a>,
    documents: Documents<'a>,
}

impl Asker<'_> {
    /// Ask for these binaries, many at a time. The first error ends it: a mirror that can't be reached for one spec will not
    /// be for the next, and each would use up its retries.
    async fn ask(&self, binaries: &BTreeSet<DagHash>) -> Result<Vec<(DagHash, Option<Located>)>, RunError> {
        self.leave_out_absent(binaries).await?;
        let progress = self.run.session.reporter.phase(Phase::Metadata, binaries.len() as u64, None);
        let answers = futures::stream::iter(binaries)
            .map(async |hash| {
                let item = progress.item(hash.as_str(), None);
                let found = self.ask_for(*hash).await?;
                item.finish();
                Ok::<_, RunError>((*hash, found))
            })
            .buffer_unordered(self.run.transport.settings().metadata_connections)
            .try_collect()
            .await;
        progress.finish();
        answers
    }

    /// Find out which optional mirrors are not there, each with one question: all questions at once would each use up their retries.
    async fn leave_out_absent(&self, binaries: &BTreeSet<DagHash>) -> Result<(), RunError> {
        let Run { environments, session, absent, transport, .. } = self.run;
        for mirror in environments.mirrors.iter().filter(|mirror| !absent.contains(mirror)) {
            let is_asked = |hash: &&DagHash| self.mirrors_for(**hash).contains(&mirror);
            let answer = match (mirror.check_folder(), mirror.presence) {
                (Ok(()), Presence::Optional) if mirror.url.to_path().is_none() => {
                    match binaries.iter().find(is_asked).and_then(|hash| self.graph.spec(*hash)) {
                        Some(spec) => mirror.find(&spec.id, transport).await.map(drop),
                        None => Ok(()),
                    }
                }
                (answer, _) => answer,
            };
            answer.or_else(|error| absent.note(session, mirror, error))?;
        }
        Ok(())
    }

    async fn ask_for(&self, hash: DagHash) -> Result<Option<Located>, RunError> {
        let Some(spec) = self.graph.spec(hash) else { return Ok(None) };
        let mut unsigned = None;
        let mirrors = self.mirrors_for(hash);
        for mirror in &mirrors {
            let found = match mirror.find(&spec.id, &self.run.transport).await {
                Ok(found) => found,
                Err(error) => {
                    self.run.absent.note(self.run.session, mirror, error)?;
                    None
                }
            };
            match found {
                // Spack goes on to the next mirror. Only where no other has it is this one better than nothing: Spack can
                // be told not to check, and goes on checking where it is not.
                Some(published) if published.lacks_signature() => drop(unsigned.get_or_insert(published)),
                Some(published) => return self.keep(published, &mirrors).map(Some),
                None => {}
            }
        }
        unsigned.map(|published| self.keep(published, &mirrors)).transpose()
    }

    /// Look for what no mirror has in the folder of what the branch built. Whatever is wrong there, Spack builds the spec as it
    /// would without the folder.
    fn look_into_folder(
        &self,
        asked: &BTreeSet<DagHash>,
        answers: &mut HashMap<DagHash, Option<Located>>,
    ) -> Result<(), RunError> {
        let Some(folder) = &self.run.environments.built else { return Ok(()) };
        let is_signed = |found: &Located| !found.published.lacks_signature();
        let missing = asked.iter().filter(|hash| !answers.get(*hash).and_then(Option::as_ref).is_some_and(is_signed));
        let missing: Vec<&ConcreteSpec> = missing.filter_map(|hash| self.graph.spec(*hash)).collect();
        let depth = match self.documents {
            Documents::Forget => Depth::Names,
            Documents::Keep(_) => Depth::Bytes,
        };
        let look = |item: usize| {
            self.run.session.stop_if_asked()?;
            Ok::<_, RunError>(folder.look_for(&missing[item].id, depth))
        };
        for (spec, lookup) in missing.iter().zip(parallel::in_parallel(missing.len(), &look)) {
            match lookup? {
                Lookup::Has(found) => {
                    let FoundSpec { published, binary } = *found;
                    let mut kept = self.keep(published, &[])?;
                    kept.built = Some(binary);
                    answers.insert(spec.id.hash, Some(kept));
                }
                Lookup::Unusable(reason) => self
                    .run
                    .session
                    .warn(&format!("what {folder} has of {} is not used, as if it were not there: {reason}", spec.id)),
                Lookup::Lacks => {}
            }
        }
        Ok(())
    }

    fn keep(&self, mut published: Published, mirrors: &[&Arc<Mirror>]) -> Result<Located, RunError> {
        let is_fallback = |mirror: &&&Arc<Mirror>| published.is_content_addressed() && ***mirror != published.mirror;
        let others = mirrors.iter().filter(is_fallback);
        let others = others.map(|mirror| Arc::clone(mirror)).collect();
        match self.documents {
            Documents::Forget => published.document = Document::Kept(Vec::new()),
            Documents::Keep(folder) => {
                let failed = |source| JobError::Io { path: folder.to_owned(), what: "keep metadata", source };
                published.document.spool(folder).map_err(failed)?;
            }
        }
        Ok(Located { published, built: None, others })
    }

    /// The mirrors of the environments that hold the spec, in order, each once.
    fn mirrors_for(&self, hash: DagHash) -> Vec<&Arc<Mirror>> {
        let mut mirrors: Vec<&Arc<Mirror>> = Vec::new();
        let environments = self.graph.environments(hash).iter();
        for mirror in environments.flat_map(|environment| &self.run.environments.mirrors_of[*environment]) {
            if !mirrors.contains(&mirror) && !self.run.absent.contains(mirror) {
                mirrors.push(mirror);
            }
        }
        mirrors
    }

    fn warn_of_missing_signatures(&self, answers: &HashMap<DagHash, Option<Located>>) {
        for mirror in &self.run.environments.mirrors {
            let found = answers.values().flatten().map(|found| &found.published);
            let found = found.filter(|published| published.lacks_signature() && published.mirror == *mirror);
            let mut specs: Vec<String> = found.map(|published| published.spec.to_string()).collect();
            specs.sort();
            let more = if specs.len() > 3 { ", …" } else { "" };
            let shown = specs[..specs.len().min(3)].join(", ");
            if !specs.is_empty() {
                self.run.session.warn(&format!(
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
        // What larder pushes to is empty in the beginning.
        let own = self.run.session.config.built_mirror.as_ref().map(|entry| &entry.mirror.url);
        let asked = self.run.environments.mirrors.iter();
        let asked = asked.filter(|mirror| Some(&mirror.url) != own && !self.run.absent.contains(mirror));
        let mirrors: Vec<_> = asked.map(|mirror| format!("`{}` ({})", mirror.name, mirror.url)).collect();
        if mirrors.is_empty() || answers.is_empty() || answers.values().any(Option::is_some) {
            return;
        }
        let specs =
            if answers.len() == 1 { "the one spec".to_owned() } else { format!("any of {} specs", answers.len()) };
        self.run.session.warn(&format!(
            "no mirror has {specs} asked for: is the URL right, and on an object store, which answers 403 for a missing file \
             too, may this job read it? Asked: {}",
            mirrors.join(", ")
        ));
    }
}
