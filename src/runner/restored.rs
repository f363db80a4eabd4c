//! What the caches were like before this job changed them: [`crate::runner::upload_rule`] says what for.
//!
//! The note has a file of its own, since it is the whole job's: a second `prepare` in one job starts anew with everything
//! else, but by then the caches are no longer as the runner restored them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::job::{JobError, JobFolder};
use crate::runner::forecast::Clocks;
use crate::runner::upload_rule::Restored;
use crate::types::Variables;

const FORMAT: u64 = 1;
const FILE_NAME: &str = "restored.json";

/// The most bytes of the file that are read.
const MAX_BYTES: u64 = 16 << 20;

/// How far apart the clocks of machines are that agree.
const SLIP: SignedDuration = SignedDuration::from_secs(60);

/// The caches as the job found them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredCaches {
    version: u64,
    /// `CI_JOB_ID`: tells what this job noted from what an earlier one left in the folder.
    job: Option<String>,
    /// When the job started: `CI_JOB_STARTED_AT`, or else when the note was taken.
    pub started: Timestamp,
    /// Whether an earlier job left its note in the job folder: then what lies in the project folder may be older than this job.
    #[serde(default)]
    pub survived: bool,
    /// Whether the start of the job, or what was restored, lies in the future.
    #[serde(default)]
    pub future: bool,
    /// By the cache's name.
    pub caches: BTreeMap<String, Restored>,
}

impl RestoredCaches {
    /// A note without caches. `now` stands in for the job's start where GitLab does not tell it.
    pub fn begin(variables: &Variables, now: Timestamp) -> Self {
        let told = variables.get("CI_JOB_STARTED_AT").and_then(|text| text.parse::<Timestamp>().ok());
        let started = told.map_or(now, |started| started.min(now));
        let future = told.is_some_and(|started| is_in_the_future(started, now));
        Self { version: FORMAT, job: job_id(variables), started, survived: false, future, caches: BTreeMap::new() }
    }

    /// Whether times of this machine and of others can be compared.
    pub fn clocks(&self) -> Clocks {
        if self.future { Clocks::Disagree } else { Clocks::Agree }
    }

    /// Whether the same CI job took this note. Outside CI, there is no telling.
    pub fn is_of_this_job(&self, variables: &Variables) -> bool {
        self.job.is_some() && self.job == job_id(variables)
    }

    /// Whether a job with another number took this note.
    pub fn is_of_another_job(&self, variables: &Variables) -> bool {
        self.job != job_id(variables)
    }

    /// Write it into the job folder.
    pub fn write(&self, folder: &JobFolder) -> Result<(), JobError> {
        folder.write(FILE_NAME, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Read it. A damaged one is as good as none: nothing but a sentence in the log hangs on it.
    pub fn read(folder: &JobFolder) -> Option<Self> {
        let text = crate::fs::read_capped(&folder.root().join(FILE_NAME), MAX_BYTES).ok()??;
        serde_json::from_slice::<Self>(&text).ok().filter(|note| note.version == FORMAT)
    }
}

/// Whether a time is later than clocks that agree can make it.
pub fn is_in_the_future(time: Timestamp, now: Timestamp) -> bool {
    time.duration_since(now) > SLIP
}

fn job_id(variables: &Variables) -> Option<String> {
    variables.set("CI_JOB_ID").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::runner::restored::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        Variables::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_job_knows_its_own_note() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let (one, two, nowhere) = (variables(&[("CI_JOB_ID", "1")]), variables(&[("CI_JOB_ID", "2")]), variables(&[]));
        let note = RestoredCaches::begin(&one, now);
        assert!(note.is_of_this_job(&one) && !note.is_of_another_job(&one));
        assert!(!note.is_of_this_job(&two) && note.is_of_another_job(&two));
        let note = RestoredCaches::begin(&nowhere, now);
        assert!(!note.is_of_this_job(&nowhere) && !note.is_of_another_job(&nowhere));
    }

    #[test]
    fn gitlab_says_when_the_job_started_and_a_clock_that_is_ahead_is_not_believed() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let started = |text| RestoredCaches::begin(&variables(&[("CI_JOB_STARTED_AT", text)]), now).started;
        assert_eq!(started("2001-09-09T01:40:00Z").as_second(), 999_999_600);
        assert_eq!(started("2030-01-01T00:00:00Z"), now);
        assert_eq!(started("soon"), now);
        let clocks = |text| RestoredCaches::begin(&variables(&[("CI_JOB_STARTED_AT", text)]), now).clocks();
        assert_eq!(clocks("2001-09-09T01:46:50Z"), Clocks::Agree);
        assert_eq!(clocks("2001-09-09T02:46:40Z"), Clocks::Disagree);
    }
}
