//! Spack pushes specs, environment by environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::options::CollectOptions;
use crate::commands::error::CommandError;
use crate::job::{JobError, JobFolder};
use crate::lockfile::{ConcreteSpec, Lockfile};
use crate::pipeline::environments::folder_of_lockfile;
use crate::pipeline::real_spack::real_spack;
use crate::pipeline::{RunError, Session};
use crate::plan::Graph;
use crate::spack::{self, Push, SpackError, Target};
use crate::types::{DagHash, SpecId};

/// What all pushes of one job have in common. The job folder is entered.
pub(super) struct Batches<'a> {
    pub session: &'a Session<'a>,
    pub job: &'a JobFolder,
    pub graph: &'a Graph<'a>,
    pub lockfiles: &'a [Lockfile],
    /// The program `spack`.
    program: PathBuf,
    /// When to give up.
    pub deadline: Option<(Instant, Duration)>,
}

impl<'a> Batches<'a> {
    /// Find Spack, and let the time run.
    pub(super) fn new(
        session: &'a Session<'a>,
        options: &CollectOptions,
        job: &'a JobFolder,
        (graph, lockfiles): (&'a Graph<'a>, &'a [Lockfile]),
    ) -> Result<Self, CommandError> {
        let program = real_spack(job, &session.variables, options.spack.as_deref()).map_err(RunError::Spack)?;
        let deadline = options.patience.map(|patience| (Instant::now() + patience, patience));
        Ok(Self { session, job, graph, lockfiles, program, deadline })
    }

    /// An empty folder that is gone when the job folder is entered next.
    pub(super) fn scratch(&self) -> Result<PathBuf, JobError> {
        let scratch = self.job.partial().join("collect");
        let io = |source| JobError::Io { path: scratch.clone(), what: "make a folder for the push", source };
        fs::create_dir(&scratch).map_err(io)?;
        Ok(scratch)
    }

    /// Have Spack push. What it pushed before it failed is worth a look.
    pub(super) fn push(
        &self,
        specs: &[&ConcreteSpec],
        target: Target<'_>,
        signing_key: Option<&str>,
    ) -> Result<(), SpackError> {
        let mut batches: BTreeMap<usize, Vec<DagHash>> = BTreeMap::new();
        for spec in specs {
            let environment = self.graph.environments(spec.id.hash).first().copied().unwrap_or_default();
            batches.entry(environment).or_default().push(spec.id.hash);
        }
        batches.into_iter().try_for_each(|(environment, hashes)| {
            let lockfile = self.lockfiles.get(environment).map(Lockfile::path);
            let push = Push {
                program: &self.program,
                environment: lockfile.and_then(folder_of_lockfile),
                target,
                signing_key,
                specs: &hashes,
                deadline: self.deadline,
                log: &self.job.partial().join("spack.log"),
            };
            spack::push(&push, &self.session.interrupt)
        })
    }

    /// Tell of what Spack left out although it says that it pushed everything.
    pub(super) fn warn_of_left_out(&self, spec: &SpecId) {
        let text = format!("Spack did not push {spec}: its package forbids to redistribute the binary");
        self.session.warn(&text);
    }

    /// Where Spack's output is of no use any more: whether there is time left, and no signal asked to stop.
    pub(super) fn may_continue(&self) -> bool {
        self.session.stop_if_asked().is_ok() && self.deadline.is_none_or(|(deadline, _)| Instant::now() < deadline)
    }

    /// The job folder's place for unfinished files.
    pub(super) fn partial(&self) -> PathBuf {
        self.job.partial()
    }
}

/// Where a run of `larder` keeps a scope for Spack, so that no two mix.
pub(super) fn scope_folder(partial: &Path) -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("collect-").tempdir_in(partial)
}
