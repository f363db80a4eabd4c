//! `finish` foretells what the runner does, and the runner's own rule, applied to a real tree, agrees.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rstest::rstest;
use serde_json::Value;

use crate::context::{Project, Run, backdate, in_cache, mirror_entry};
use crate::fixtures::{Mirror, copy_folder, fixture, sha256};
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;
const CACHE: &str = ".larder/shared";

/// The local archive of the runner: it was there before the job began.
struct Archive {
    made: i128,
}

impl Archive {
    /// Archive the cache and restore it for the next job: times are cut to whole seconds, and the archive is newer.
    fn made_and_restored(project: &Project) -> Self {
        project.next_job();
        let newest = project.entries(CACHE).values().map(|entry| entry.modified).max().unwrap();
        Self { made: newest + 300_000_000_000 }
    }

    /// The runner's rule: is any entry, the folder itself included, later than the archive?
    fn is_outdated(&self, project: &Project) -> bool {
        project.entries(CACHE).values().any(|entry| entry.modified > self.made)
    }
}

/// A cache that holds what this spec of the demo environment needs, or everything.
fn filled(keep: &str, spec: Option<&str>) -> (Project, Server) {
    let (project, server) = Project::with_server(MIRROR);
    let caches = format!("caches: [{{ name: shared, path: {CACHE}, keep: {keep} }}]\n");
    project.configure(&format!("{}{caches}", mirror_entry(&server.url(), false)));
    match spec {
        Some(spec) => drop(project.larder(&["prepare", "--spec", spec]).succeeds()),
        None => drop(project.prepare()),
    }
    project.finish();
    (project, server)
}

fn causes(report: &Value) -> Vec<String> {
    let reasons = report["caches"][0]["upload_reasons"].as_array().cloned().unwrap_or_default();
    reasons.iter().map(|reason| format!("{} {}", reason["cause"].as_str().unwrap(), reason["entries"])).collect()
}

fn line_of(run: &Run) -> &str {
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("shared: ")).collect();
    assert_eq!(lines.len(), 1, "one line for each cache\n{run}");
    lines[0]
}

#[test]
fn a_cold_cache_is_uploaded_for_the_first_time() {
    let (project, _server) = Project::with_server(MIRROR);
    project.prepare();
    let report = project.finish();
    assert_eq!(report["caches"][0]["uploads"], "first");
    assert_eq!(causes(&report), [format!("new-blobs {}", MIRROR.needed_blobs().len())]);
    let run = project.larder(&["finish"]).succeeds();
    assert!(line_of(&run).contains("the runner uploads it for the first time"), "{run}");
}

#[rstest]
fn a_warm_job_uploads_nothing_whatever_it_runs(
    #[values("{ max-age: 30d }", "lockfile", "{ max-age: 30d, slack: 20% }")] keep: &str,
    #[values(&["plan"], &["prepare"], &["warm"], &["verify"], &["list"], &["finish", "--dry-run"])] command: &[&str],
) {
    let (project, _server) = filled(keep, None);
    let archive = Archive::made_and_restored(&project);
    project.prepare();
    project.larder(command).succeeds();
    assert!(!archive.is_outdated(&project), "{command:?} touched the cache");
    let run = project.larder(&["finish"]).succeeds();
    assert!(!archive.is_outdated(&project), "finish touched the cache");
    assert!(line_of(&run).starts_with("shared: no upload, nothing in it changed;"), "{run}");
    let report = project.finish();
    assert_eq!((&report["caches"][0]["uploads"], causes(&report)), (&Value::from("no"), vec![]));
}

#[test]
fn a_job_that_adds_a_binary_uploads_once_and_says_so_in_one_line() {
    let (project, _server) = filled("{ max-age: 30d }", Some("plotter"));
    let archive = Archive::made_and_restored(&project);
    project.prepare();
    let run = project.larder(&["finish"]).succeeds();
    assert!(archive.is_outdated(&project));
    assert!(line_of(&run).starts_with("shared: the runner uploads it (4 new blobs: "), "{run}");
    assert!(line_of(&run).contains(", new records);"), "{run}");

    let archive = Archive::made_and_restored(&project);
    project.prepare();
    let report = project.finish();
    assert_eq!(report["caches"][0]["uploads"], "no");
    assert!(!archive.is_outdated(&project));
}

#[test]
fn a_job_that_prunes_uploads_and_names_what_went() {
    let (project, _server) = filled("{ max-age: 10d }", None);
    backdate(&project, Duration::from_secs(11 * 86_400));
    // The records would be refreshed as well: that is another reason.
    let archive = Archive::made_and_restored(&project);
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    let dry = project.larder(&["finish", "--dry-run", "--json"]).report();
    let report = project.finish();
    assert!(archive.is_outdated(&project));
    assert_eq!(report["caches"][0]["uploads"], "yes");
    assert_eq!(causes(&report), ["records 1", "removed-blobs 4"]);
    assert_eq!((&dry["caches"][0]["uploads"], causes(&dry)), (&report["caches"][0]["uploads"], causes(&report)));
}

#[test]
fn a_second_prepare_of_the_same_job_does_not_forget_what_the_first_added() {
    let (project, _server) = filled("{ max-age: 30d }", Some("plotter"));
    let archive = Archive::made_and_restored(&project);
    let job = [("CI_JOB_ID", "17"), ("CI_JOB_STATUS", "success")];
    project.larder_with(&["prepare"], &job).succeeds();
    project.larder_with(&["prepare", "--spec", "plotter"], &job).succeeds();
    let report = project.larder_with(&["finish", "--json"], &job).report();
    assert_eq!(report["caches"][0]["uploads"], "yes");
    assert!(archive.is_outdated(&project));
    // What an earlier job left in a project folder that nobody cleaned is not this job's.
    let report = project.larder_with(&["finish", "--json"], &[("CI_JOB_ID", "18")]).report();
    assert_eq!(report["caches"][0].get("upload_reasons"), None);
}

#[test]
fn what_was_touched_before_larder_ran_is_seen_by_the_start_of_the_job() {
    let (project, _server) = filled("{ max-age: 30d }", None);
    let archive = Archive::made_and_restored(&project);
    project.write(".larder/shared/notes.txt", "not larder's");
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 200;
    let started = jiff::Timestamp::from_second(started.try_into().unwrap()).unwrap().to_string();
    let variables = [("CI_JOB_STARTED_AT", started.as_str())];
    project.larder_with(&["prepare"], &variables).succeeds();
    let run = project.larder_with(&["finish"], &variables).succeeds();
    assert!(archive.is_outdated(&project));
    assert!(
        line_of(&run).contains("the runner uploads it (what larder did not put there, such as `notes.txt`)"),
        "{run}"
    );
}

#[test]
fn a_job_that_only_restores_says_so() {
    let (project, _server) = filled("{ max-age: 30d }", Some("plotter"));
    project.next_job();
    project.prepare();
    let variables = [("LARDER_CACHE_POLICY", "pull"), ("CI_NODE_TOTAL", "3")];
    let run = project.larder_with(&["finish"], &variables).succeeds();
    assert!(line_of(&run).contains("no upload, since this job only restores it (4 new blobs"), "{run}");
    assert!(!run.stderr.contains("parallel"), "{run}");
}

#[test]
fn parallel_jobs_that_add_blobs_are_told_that_the_last_one_wins() {
    let (project, _server) = filled("{ max-age: 30d }", Some("plotter"));
    project.next_job();
    let variables = [("CI_NODE_TOTAL", "3"), ("CI_JOB_STATUS", "failed")];
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    let run = project.larder_with(&["finish"], &variables).succeeds();
    assert!(!run.stderr.contains("parallel"), "it added nothing\n{run}");
    project.prepare();
    project.larder_with(&["finish"], &variables).succeeds().says(&[
        "warning: this is one of 3 parallel jobs",
        "the last one wins",
        "the job failed; each cache is kept all the same",
    ]);
}

#[test]
fn an_archive_that_is_too_large_to_be_saved_is_warned_of_before() {
    let (project, server) = Project::with_server(MIRROR);
    let bytes: u64 = MIRROR.needed_blobs().iter().map(|blob| blob.bytes).sum();
    let with_limit = |limit: u64| {
        project.configure(&format!("{}max-archive-size: {limit}B\n", mirror_entry(&server.url(), false)));
        project.larder(&["finish"]).succeeds().stderr
    };
    project.prepare();
    assert!(with_limit(bytes - 1).contains("warning: the archive of cache `shared` will have about"));
    assert!(with_limit(bytes + 1).contains("it may not be saved any more"));
    assert!(!with_limit(bytes * 2).contains("archive of cache"));
}

#[test]
fn waste_within_the_slack_waits_for_an_upload_that_happens_anyway() {
    let (project, server) = filled("{ max-age: 10d, slack: 90% }", None);
    backdate(&project, Duration::from_secs(11 * 86_400));
    // The dates of what the job needs are refreshed, which is an upload: the job after that has none of its own.
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    let archive = Archive::made_and_restored(&project);
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    let report = project.finish();
    assert!(!archive.is_outdated(&project));
    assert_eq!(report["caches"][0]["uploads"], "no");
    let waste: u64 =
        ["app", "libmid"].iter().flat_map(|name| MIRROR.published(name).blobs).map(|blob| blob.bytes).sum();
    assert_eq!((in_cache(&report, "shared", "removed"), in_cache(&report, "shared", "waste_bytes")), (0, waste));

    // Something new: the waste goes with it.
    let added = b"new";
    let path = format!("{CACHE}/blobs/sha256/{}/{}", &sha256(added)[..2], sha256(added));
    project.write(&path, added);
    let report = project.finish();
    assert_eq!((in_cache(&report, "shared", "removed"), in_cache(&report, "shared", "waste_bytes")), (4, 0));
    assert_eq!(report["caches"][0]["uploads"], "yes");
    drop(server);
}

#[test]
fn waste_above_the_slack_goes() {
    let (project, _server) = filled("{ max-age: 10d, slack: 1% }", None);
    backdate(&project, Duration::from_secs(11 * 86_400));
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    project.next_job();
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    assert_eq!(in_cache(&project.finish(), "shared", "removed"), 4);
}

#[test]
fn a_cancelled_prepare_ends_at_once_says_why_and_records_what_arrived() {
    let (project, server) = Project::with_server(MIRROR);
    let blob = &MIRROR.published("app").blobs[0];
    server.fault(&blob.path, Times::Always, Fault::StallHalfWay);
    let child = project.command(&["prepare"]).spawn().unwrap();
    server.wait_until_stalled();
    // The others come by connections of their own.
    project.wait_for_blobs(MIRROR.needed_blobs().len() - 1);
    terminate(child.id());
    let run = Run::wait(child, &["prepare"])
        .fails_saying(143, &["error: stopped by SIGTERM", "hint: what arrived whole stays"]);
    assert!(!run.stderr.contains("in the middle"), "{run}");
    assert_eq!(project.unfinished(), [""; 0].map(PathBuf::from), "nothing half-written is left");
    let records = fs::read_to_string(project.path(".larder/shared/larder.json")).unwrap();
    for digest in project.blobs_in(CACHE) {
        assert!(records.contains(&digest), "{digest} arrived and is not recorded");
    }
}

#[test]
fn a_cancelled_finish_that_waits_for_another_job_ends_with_nothing_half_done() {
    let (project, _server) = filled("{ max-age: 10d }", None);
    backdate(&project, Duration::from_secs(11 * 86_400));
    project.larder(&["prepare", "--spec", "plotter"]).succeeds();
    let before = project.entries(CACHE);
    let lock = fs::File::options().append(true).create(true).open(project.path(".larder/shared.lock")).unwrap();
    lock.lock().unwrap();
    let mut child = project.command(&["finish", "-vvv"]).spawn().unwrap();
    // It reads nothing more once it has opened the lock.
    while !is_open(child.id(), "shared.lock") {
        assert!(child.try_wait().unwrap().is_none(), "finish did not wait for the lock");
        std::thread::yield_now();
    }
    terminate(child.id());
    Run::wait(child, &["finish"]).fails_saying(143, &["stopped by SIGTERM"]);
    assert_eq!(project.entries(CACHE), before);
    drop(lock);
    project.finish();
}

fn terminate(process: u32) {
    assert!(Command::new("kill").args(["-TERM", &process.to_string()]).status().unwrap().success());
}

fn is_open(process: u32, name: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.to_string_lossy().ends_with(name))
}

#[test]
fn two_caches_are_judged_each_for_itself() {
    let (project, server) = Project::with_server(MIRROR);
    let caches = "caches: [{ name: branch, prefix: 'https://nowhere/' }, { name: shared }]\n";
    project.configure(&format!("{}{caches}", mirror_entry(&server.url(), false)));
    copy_folder(&fixture(MIRROR.environment()), &project.root());
    project.prepare();
    let report = project.finish();
    assert_eq!((&report["caches"][0]["uploads"], &report["caches"][1]["uploads"]), (&"no".into(), &"first".into()));
}
