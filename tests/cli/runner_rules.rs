//! What `finish` says and does in a CI job, so that the runner sends nothing that is not worth it: an unchanged folder goes
//! aside and comes back, the key of a cache is known in the next job, and a job that runs out of time saves what it has.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rstest::rstest;
use serde_json::Value;

use crate::context::{Project, Run, in_cache, mirror_entry};
use crate::fixtures::Mirror;
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;
const CACHE: &str = ".larder/shared";
const ASIDE: &str = ".larder/job/aside/shared";

/// Variables of a CI job.
#[derive(Clone)]
struct Job(Vec<(&'static str, String)>);

impl Job {
    /// A job that began so many seconds ago.
    fn started(id: u32, seconds_ago: i64) -> Self {
        let started = Timestamp::from_second(Timestamp::now().as_second() - seconds_ago).unwrap();
        Self(vec![
            ("CI_JOB_ID", id.to_string()),
            ("CI_JOB_STARTED_AT", started.to_string()),
            ("CI_RUNNER_VERSION", "19.4.0".to_owned()),
        ])
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned()));
        self
    }

    /// In `after_script`.
    fn ended(self, status: &str) -> Self {
        self.with("CI_JOB_STATUS", status)
    }

    fn larder(&self, project: &Project, arguments: &[&str]) -> Run {
        let variables: Vec<(&str, &str)> = self.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
        project.larder_with(arguments, &variables)
    }

    fn report(&self, project: &Project, arguments: &[&str]) -> Value {
        self.larder(project, &[arguments, &["--json"]].concat()).report()
    }
}

/// A cache that holds what one spec of the demo environment needs, or everything, as the next job gets it.
fn restored(spec: Option<&str>) -> (Project, Server) {
    let (project, server) = Project::with_server(MIRROR);
    match spec {
        Some(spec) => drop(project.larder(&["prepare", "--spec", spec]).succeeds()),
        None => drop(project.prepare()),
    }
    project.finish();
    project.next_job();
    (project, server)
}

fn said(report: &Value) -> (&str, &str) {
    let cache = &report["caches"][0];
    (cache["uploads"].as_str().unwrap(), cache["upload_rule"].as_str().unwrap())
}

#[test]
fn an_unchanged_cache_goes_aside_in_after_script_and_comes_back_as_it_was() {
    let (project, _server) = restored(None);
    let job = Job::started(17, 5);
    let before = project.entries(CACHE);
    job.larder(&project, &["prepare"]).succeeds();
    // While the script runs, Spack may still install from the job mirror, whose links lead into the folder.
    let report = job.report(&project, &["finish"]);
    assert_eq!(said(&report), ("unknown", "unknown-outcome"));
    assert_eq!(project.entries(CACHE), before);

    let after = job.clone().ended("success");
    assert_eq!(said(&after.report(&project, &["finish", "--dry-run"])), ("no", "set-aside"));
    assert!(project.path(CACHE).is_dir(), "a dry run moves nothing");
    let run = after.larder(&project, &["finish"]).succeeds();
    assert!(run.stderr.contains("shared: no upload, nothing in it changed: it is out of the runner's sight;"), "{run}");
    assert!(!project.path(CACHE).exists(), "the runner finds no files to cache");
    assert_eq!(project.entries(ASIDE), before);

    for command in [&["list"][..], &["verify"], &["plan"], &["warm"], &["prepare"]] {
        after.larder(&project, command).succeeds();
        assert_eq!(project.entries(CACHE), before, "{command:?}");
        assert!(!project.path(ASIDE).exists());
        // Also twice, and by another command in between.
        assert_eq!(said(&after.report(&project, &["finish"])), ("no", "set-aside"), "{command:?}");
        assert!(!project.path(CACHE).exists());
    }
    let report = after.report(&project, &["prepare"]);
    assert_eq!(report["totals"]["bytes_fetched"], 0);
}

#[rstest]
#[case::something_new(Some("plotter"), &[], "success", ("yes", "changed"))]
#[case::a_job_that_only_restores(None, &[("LARDER_CACHE_POLICY", "pull")], "success", ("no", "only-restored"))]
#[case::an_outcome_that_is_not_saved(None, &[("LARDER_CACHE_WHEN", "on_success")], "timedout", ("no", "other-outcome"))]
fn what_gains_nothing_stays(
    #[case] cached: Option<&str>,
    #[case] told: &[(&'static str, &str)],
    #[case] status: &str,
    #[case] expected: (&str, &str),
) {
    let (project, _server) = restored(cached);
    let mut job = Job::started(17, 5);
    for (name, value) in told {
        job = job.with(name, value);
    }
    job.larder(&project, &["prepare"]).succeeds();
    assert_eq!(said(&job.ended(status).report(&project, &["finish"])), expected);
    assert!(project.path(CACHE).is_dir());
}

#[test]
fn what_may_have_no_archive_or_a_wrong_clock_stays_unless_that_is_asked_for() {
    // The folder was there before the job, and nothing was unpacked over it.
    let (project, _server) = restored(None);
    let job = Job::started(17, -2).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    assert_eq!(said(&job.report(&project, &["finish"])), ("unknown", "unknown-archive"));
    assert!(project.path(CACHE).is_dir());
    // The job folder outlived the job, so the cache may have, too.
    let job = Job::started(18, 5).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    assert_eq!(said(&job.report(&project, &["finish"])), ("unknown", "unknown-archive"));
    assert_eq!(said(&job.report(&project, &["finish", "--set-aside", "always"])), ("no", "set-aside"));
    assert!(!project.path(CACHE).exists());

    // GitLab's clock, or that of the machine that made the archive, is an hour ahead.
    let (project, _server) = restored(None);
    let job = Job::started(19, -3600).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    assert_ne!(said(&job.report(&project, &["finish"])).0, "no");
    let (project, _server) = restored(None);
    let ahead = SystemTime::now() + Duration::from_secs(3600);
    fs::File::open(project.path(CACHE)).unwrap().set_modified(ahead).unwrap();
    let job = Job::started(20, 5).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    assert_eq!(said(&job.report(&project, &["finish"])), ("unknown", "unknown-time"));
    assert!(project.path(CACHE).is_dir());
}

#[test]
fn a_cache_that_another_job_uses_or_that_may_never_move_stays() {
    let (project, server) = restored(None);
    let job = Job::started(17, 5).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    let lock = fs::File::options().append(true).create(true).open(project.path(".larder/shared.lock")).unwrap();
    lock.lock_shared().unwrap();
    assert_eq!(said(&job.report(&project, &["finish"])), ("unknown", "unknown-key"));
    assert!(project.path(CACHE).is_dir());
    drop(lock);
    assert_eq!(said(&job.report(&project, &["finish", "--set-aside", "never"])).1, "unknown-key");
    project.configure(&format!("{}set-aside: never\n", mirror_entry(&server.url(), false)));
    assert_eq!(said(&job.report(&project, &["finish"])).1, "unknown-key");
    assert!(project.path(CACHE).is_dir());

    // Outside of the project folder, other jobs have it, too.
    let shared = project.outside().join("volume");
    let caches = format!("caches: [{{ name: shared, path: {} }}]\nset-aside: always\n", shared.display());
    project.configure(&format!("{}{caches}", mirror_entry(&server.url(), false)));
    job.larder(&project, &["prepare"]).succeeds();
    let job = Job::started(18, 5).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    job.larder(&project, &["finish"]).succeeds();
    assert!(shared.is_dir());
}

#[test]
fn what_was_left_aside_by_another_job_is_used_where_no_archive_came_and_dropped_where_one_did() {
    let (project, _server) = restored(None);
    let job = Job::started(17, 5).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    job.larder(&project, &["finish"]).succeeds();
    // The project folder outlives the job, and the runner found no archive.
    let next = Job::started(18, 0);
    assert_eq!(next.report(&project, &["prepare"])["totals"]["bytes_fetched"], 0);
    assert!(project.path(CACHE).is_dir() && !project.path(ASIDE).exists());

    let last = next.ended("success");
    last.larder(&project, &["finish", "--set-aside", "always"]).succeeds();
    assert!(project.path(ASIDE).is_dir());
    // Now it found one: a newer one, with nothing in it yet.
    project.write(".larder/shared/larder.json", r#"{"version": 1, "blobs": {}}"#);
    Job::started(19, 5).larder(&project, &["prepare"]).succeeds();
    assert!(project.path(CACHE).is_dir() && !project.path(ASIDE).exists());
}

#[test]
fn the_next_job_knows_whether_it_started_from_another_key() {
    let keys = |own: &str| format!("branch=other; .larder/shared={own}");
    let (project, _server) = restored(Some("plotter"));
    let job = |id, own: &str| {
        let job = Job::started(id, 5).with("LARDER_CACHE_KEYS", &keys(own)).with("LARDER_CACHE_WHEN", "always");
        job.with("LARDER_CACHE_STORE", "s3").ended("success")
    };
    let main = job(17, "larder-shared-main");
    main.larder(&project, &["prepare"]).succeeds();
    assert_eq!(said(&main.report(&project, &["finish"])), ("yes", "changed"));
    let records = || fs::read_to_string(project.path(".larder/shared/larder.json")).unwrap();
    assert!(records().contains(r#""saved_as": "larder-shared-main""#), "{}", records());

    for (id, own, expected) in
        [(18, "larder-shared-main", ("no", "up-to-date")), (19, "larder-shared-topic", ("yes", "other-key"))]
    {
        project.next_job();
        let before = project.entries(CACHE);
        let job = job(id, own);
        job.larder(&project, &["prepare"]).succeeds();
        assert_eq!(said(&job.report(&project, &["finish", "--set-aside", "never"])), expected);
        assert_eq!(project.entries(CACHE), before, "a key alone is not worth an upload");
    }
    // A store that tells nothing.
    project.next_job();
    let job = job(20, "larder-shared-main").with("LARDER_CACHE_STORE", "azure");
    job.larder(&project, &["prepare"]).succeeds();
    assert_eq!(said(&job.report(&project, &["finish", "--set-aside", "never"])), ("yes", "store-is-silent"));
}

#[test]
fn what_a_job_changed_has_whole_seconds_as_in_an_archive() {
    let (project, _server) = restored(Some("plotter"));
    let job = Job::started(17, 60).ended("success");
    job.larder(&project, &["prepare"]).succeeds();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().cast_signed() - 60_000_000_000;
    let fractions =
        |project: &Project| project.entries(CACHE).values().filter(|entry| entry.modified % 1_000_000_000 != 0).count();
    assert!(fractions(&project) > 0);
    assert_eq!(said(&job.report(&project, &["finish"])), ("yes", "changed"));
    assert_eq!(fractions(&project), 0);
    let newest = project.entries(CACHE).values().map(|entry| entry.modified).max().unwrap();
    assert!(newest > started, "the runner sees the change");
}

#[test]
fn a_touched_folder_lost_nothing() {
    let (project, _server) = restored(None);
    let job = Job::started(17, 5);
    job.larder(&project, &["prepare"]).succeeds();
    fs::File::open(project.path(CACHE).join("blobs")).unwrap().set_modified(SystemTime::now()).unwrap();
    let run = job.ended("success").larder(&project, &["finish"]).succeeds();
    assert!(run.stderr.contains("the runner uploads it (1 folder touched, such as `blobs`)"), "{run}");
}

/// All but one blob arrive before the time is over.
fn slow() -> (Project, Server) {
    let (project, server) = Project::with_server(MIRROR);
    server.fault(&MIRROR.published("app").blobs[0].path, Times::Always, Fault::StallHalfWay);
    (project, server)
}

/// A job that is to save what it has in some seconds.
fn hurried() -> Job {
    Job::started(17, 0).with("CI_JOB_TIMEOUT", "12")
}

#[test]
fn a_warm_up_that_runs_out_of_time_ends_well_and_the_next_one_goes_on() {
    let (project, server) = slow();
    let run = hurried().larder(&project, &["warm"]).succeeds();
    assert!(run.stderr.contains(", 1 to fetch, 0 to build"), "{run}");
    let run = run.says(&["warning: stopped with 1 downloads to go, since the job's timeout is near"]);
    assert!(!run.stderr.contains("error"), "{run}");
    let all = MIRROR.needed_blobs().len();
    assert_eq!(project.blobs_in(CACHE).len(), all - 1);
    let records = fs::read_to_string(project.path(".larder/shared/larder.json")).unwrap();
    assert!(project.blobs_in(CACHE).iter().all(|digest| records.contains(digest)));
    assert_eq!(in_cache(&hurried().ended("success").report(&project, &["finish"]), "shared", "removed"), 0);
    server.heal();
    let report = Job::started(18, 0).report(&project, &["warm"]);
    assert_eq!(in_cache(&report, "shared", "added"), 1);
}

#[test]
fn a_job_that_can_not_have_its_binaries_in_time_fails_before_its_timeout() {
    let (project, _server) = slow();
    hurried().larder(&project, &["prepare"]).fails_saying(
        1,
        &["error: stopped with 1 of", "the job's timeout is near", "a job that runs into its timeout saves no cache"],
    );
    assert_eq!(project.blobs_in(CACHE).len(), MIRROR.needed_blobs().len() - 1);
}
