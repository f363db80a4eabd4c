//! What a command that needs binaries works with: environments, caches and mirrors, opened.

use std::collections::HashSet;
use std::sync::Arc;

use super::absent::AbsentMirrors;
use super::environments::{self, Environments, Mirrors};
use super::error::RunError;
use super::no_mirror::proposal;
use super::remote::RemoteCaches;
use super::session::{Mode, Scope, Session, Wanted};
use super::stores;
use super::uploads::{Note, note};
use crate::job::{JobFolder, JobLock};
use crate::store::Cache;
use crate::transport::Transport;

/// One run.
pub(crate) struct Run<'a> {
    pub session: &'a Session<'a>,
    pub wanted: &'a Wanted,
    pub scope: Scope,
    pub environments: Environments,
    /// In the order of the configuration.
    pub caches: Vec<Cache>,
    /// What asks mirrors.
    pub transport: Arc<Transport>,
    /// Within the limits of the transport.
    pub remotes: RemoteCaches<'a>,
    /// Optional mirrors that turned out not to be there.
    pub absent: AbsentMirrors,
    /// What becomes of it where the time for downloads is over.
    pub out_of_time: OutOfTime,
}

/// What becomes of a run that has to stop because the job's timeout is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfTime {
    /// It fails: without what is left, it was for nothing.
    Fails,
    /// It ends with what it has, and the next run goes on.
    EndsWell,
}

impl<'a> Run<'a> {
    /// Read the environments and open the caches. Nothing is asked of a server yet.
    pub(crate) fn open(session: &'a Session<'a>, wanted: &'a Wanted, scope: Scope) -> Result<Self, RunError> {
        let environments = environments::load(session, wanted, scope)?;
        if environments.have_no_mirror() {
            session.warn(&proposal(&environments.files));
        }
        Self::with(session, wanted, scope, environments)
    }

    /// The same without lockfiles and all that comes from them: for what is asked of mirrors before there is one.
    pub(crate) fn of_mirrors(session: &'a Session<'a>, wanted: &'a Wanted) -> Result<Self, RunError> {
        let Mirrors { all: mirrors, of_environments: mirrors_of } = environments::mirrors(session)?;
        let environments = Environments {
            lockfiles: Vec::new(),
            without_lockfile: Vec::new(),
            mirrors,
            mirrors_of,
            built: None,
            installed: HashSet::new(),
            files: Vec::new(),
        };
        Self::with(session, wanted, Scope::Job, environments)
    }

    fn with(
        session: &'a Session<'a>,
        wanted: &'a Wanted,
        scope: Scope,
        environments: Environments,
    ) -> Result<Self, RunError> {
        let caches = stores::open_caches(session)?;
        let transport = session.transport();
        let remotes = RemoteCaches::new(session, Some(&transport));
        let (absent, out_of_time) = (AbsentMirrors::default(), OutOfTime::Fails);
        Ok(Self { session, wanted, scope, environments, caches, transport, remotes, absent, out_of_time })
    }

    /// Enter the job folder, and note there what the caches are like before anything in them changes.
    pub(crate) fn enter(&self) -> Result<(JobFolder, JobLock), RunError> {
        let folder = JobFolder::of(&self.session.config.root);
        let lock = folder.enter(|| self.session.inform("waiting for another larder in this project folder"))?;
        note(self.session, &folder, Note::OfThisJob, Mode::Act)?;
        Ok((folder, lock))
    }
}
