//! A cache in an object store, which many jobs read and fill at the same time.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use larder::transport::{Limits, Location, NetworkSettings, Transport, UploadError, Written};
use larder::types::{PlainHttp, Variables};
use larder::verified::{Expected, Size};
use rstest::rstest;
use s3s::S3ErrorCode;
use serde_json::Value;

use crate::context::{NETWORK, Project, Run, in_cache, names_with};
use crate::fixtures::{Blob, Mirror, mirror_with_manifest, sha256, walk};
use crate::s3_server::{KEY_ID, Readers, S3Server, SECRET};
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A remote cache, and the mirror of the jobs that share it.
struct Remote {
    store: S3Server,
    mirror: Server,
}

impl Remote {
    fn new() -> Self {
        Self { store: S3Server::start(Readers::Known), mirror: Server::start(&MIRROR.folder()) }
    }

    /// One of the jobs, in a fresh checkout, without any folder from an earlier one.
    fn job(&self) -> Project {
        self.job_with("")
    }

    fn job_with(&self, more_caches: &str) -> Project {
        self.job_as(more_caches, "")
    }

    fn job_as(&self, more_caches: &str, more_keys: &str) -> Project {
        let project = Project::new("v3/env-demo");
        let remote = format!("{{ name: remote, url: s3://binaries/larder, keep: {{ max-age: 30d }}{more_keys} }}");
        let mirror = format!("mirrors: [{{ name: demo, url: \"{}\", signed: false }}]", self.mirror.url());
        project.configure(&format!("{NETWORK}{mirror}\ncaches:\n{more_caches}  - {remote}\n"));
        project
    }

    fn run(&self, project: &Project, arguments: &[&str]) -> Run {
        self.run_with(project, arguments, &[])
    }

    fn run_with(&self, project: &Project, arguments: &[&str], changes: &[(&str, &str)]) -> Run {
        let mut command = project.command(arguments);
        command.envs(self.store.variables()).envs(changes.iter().copied());
        Run::wait(command.spawn().unwrap(), arguments)
    }

    fn report(&self, project: &Project, arguments: &[&str]) -> Value {
        self.run(project, &[arguments, &["--json"]].concat()).report()
    }

    /// What the cache holds, each object as its name says.
    fn blobs(&self) -> Vec<String> {
        let mut found = Vec::new();
        let root = self.store.object("larder/blobs");
        if root.is_dir() {
            walk(&root, &mut |path| {
                if path.is_file() {
                    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                    assert_eq!(sha256(&fs::read(path).unwrap()), name);
                    found.push(name);
                }
            });
        }
        found.sort();
        found
    }

    fn object(&self, blob: &Blob) -> PathBuf {
        self.store.object(&format!("larder{}", blob.path))
    }

    /// Make an object look as if it had been written so long ago.
    fn age(&self, blob: &Blob, age: Duration) {
        set_age(&self.object(blob), age);
    }

    /// Fill the cache as one job does.
    fn fill(&self) {
        let job = self.job();
        self.report(&job, &["prepare"]);
        self.report(&job, &["finish"]);
        assert_eq!(self.blobs(), digests(&MIRROR.needed_blobs()));
    }

    fn forget_uses(&self) {
        fs::remove_dir_all(self.store.object("larder/uses")).unwrap();
    }

    fn writes(&self) -> usize {
        self.store.log().iter().filter(|line| line.starts_with("PutObject ") && line.contains("/blobs/")).count()
    }
}

fn set_age(path: &std::path::Path, age: Duration) {
    fs::File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

fn digests(blobs: &[Blob]) -> Vec<String> {
    let mut digests: Vec<_> = blobs.iter().map(|blob| blob.digest.clone()).collect();
    digests.sort();
    digests.dedup();
    digests
}

fn app() -> Blob {
    MIRROR.published("app").blobs[0].clone()
}

#[test]
fn what_one_job_fetched_the_next_one_reads_from_the_store() {
    let remote = Remote::new();
    let first = remote.job();
    let report = remote.report(&first, &["prepare"]);
    assert_eq!(names_with(&report, "fetched"), MIRROR.needed());
    assert!(remote.blobs().is_empty(), "nothing is added before the end of the job");
    let report = remote.report(&first, &["finish"]);
    let bytes: u64 = MIRROR.needed_blobs().iter().map(|blob| blob.bytes).sum();
    assert_eq!(in_cache(&report, "remote", "added"), MIRROR.needed_blobs().len() as u64);
    assert_eq!(in_cache(&report, "remote", "added_bytes"), bytes);
    assert_eq!(remote.blobs(), digests(&MIRROR.needed_blobs()));

    let asked = remote.mirror.blob_requests().len();
    let second = remote.job();
    let report = remote.report(&second, &["prepare"]);
    assert_eq!(names_with(&report, "cached"), MIRROR.needed());
    assert_eq!(in_cache(&report, "remote", "read_bytes"), bytes);
    assert!(
        report["specs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|spec| spec["status"] == "cached")
            .all(|spec| spec["cache"] == "remote")
    );
    assert_eq!(remote.mirror.blob_requests().len(), asked, "no blob comes from the mirror");
    let writes = remote.writes();
    remote.report(&second, &["finish"]);
    assert_eq!(remote.writes(), writes, "a job that fetched nothing adds nothing");
}

#[test]
fn jobs_that_fetch_different_binaries_at_once_all_leave_them_there() {
    let remote = Remote::new();
    let jobs: Vec<_> = ["app", "plotter", "libmid"].into_iter().map(|spec| (remote.job(), spec)).collect();
    let at_once = |arguments: &dyn Fn(&'static str) -> Vec<&'static str>| {
        let start = |(job, spec): &(Project, &'static str)| {
            job.command(&arguments(spec)).envs(remote.store.variables()).spawn().unwrap()
        };
        let running: Vec<_> = jobs.iter().map(start).collect();
        for child in running {
            Run::wait(child, &[]).succeeds();
        }
    };
    at_once(&|spec| vec!["prepare", "--spec", spec]);
    at_once(&|_| vec!["finish"]);
    assert_eq!(remote.blobs(), digests(&MIRROR.needed_blobs()));
}

#[test]
fn folders_are_asked_before_the_store_and_the_store_before_mirrors() {
    let remote = Remote::new();
    remote.fill();
    let job = remote.job_with("  - { name: shared }\n");
    remote.report(&job, &["prepare"]);
    assert_eq!(job.blobs_in(".larder/shared"), digests(&MIRROR.needed_blobs()));
    let asked = remote.store.log().len();
    job.next_job();
    let report = remote.report(&job, &["prepare"]);
    assert_eq!(in_cache(&report, "shared", "blobs"), digests(&MIRROR.needed_blobs()).len() as u64);
    assert_eq!(remote.store.log().len(), asked, "a warm folder asks nobody");
}

#[test]
fn push_adds_at_once_and_leaves_nothing_for_finish() {
    let remote = Remote::new();
    let job = remote.job();
    remote.report(&job, &["prepare", "--push"]);
    assert_eq!(remote.blobs(), digests(&MIRROR.needed_blobs()));
    let asked = remote.store.log().len();
    remote.report(&job, &["finish"]);
    assert_eq!(remote.store.log().len(), asked);
}

#[test]
fn one_connection_is_enough_for_the_store_and_the_mirror_together() {
    let remote = Remote::new();
    remote.fill();
    fs::remove_file(remote.object(&app())).unwrap();
    let job = remote.job();
    let configuration = fs::read_to_string(job.path("larder.yaml")).unwrap();
    job.configure(&configuration.replace("retries: 2", "retries: 2, connections: 1"));
    let report = remote.report(&job, &["prepare"]);
    assert_eq!(names_with(&report, "fetched"), ["app"]);
    assert_eq!(in_cache(&report, "remote", "read"), digests(&MIRROR.needed_blobs()).len() as u64 - 1);
}

#[test]
fn a_plan_shows_what_the_store_has_and_goes_on_without_it() {
    let remote = Remote::new();
    remote.fill();
    fs::remove_file(remote.object(&app())).unwrap();
    let job = remote.job();
    let report = remote.report(&job, &["plan"]);
    assert_eq!(names_with(&report, "fetch"), ["app"]);
    assert_eq!(names_with(&report, "cached").len(), MIRROR.needed().len() - 1);
    let specs = report["specs"].as_array().unwrap();
    assert!(specs.iter().filter(|spec| spec["status"] == "cached").all(|spec| spec["cache"] == "remote"));
    let run = remote.run_with(&job, &["plan", "--json"], &[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    let run = run.says(&["can't use cache `remote`"]);
    assert_eq!(names_with(&run.report(), "fetch"), MIRROR.needed());
}

#[test]
fn a_folder_of_somebody_else_keeps_finish_from_nothing() {
    let remote = Remote::new();
    let job = remote.job_with("  - { name: shared }\n");
    remote.report(&job, &["prepare"]);
    fs::remove_dir_all(job.path(".larder/shared")).unwrap();
    job.write(".larder/shared/notes.txt", "mine");
    remote.run(&job, &["finish"]).succeeds().says(&["cache `shared` is left alone"]);
}

#[test]
fn a_warm_folder_fills_a_new_store() {
    let remote = Remote::new();
    let job = remote.job_with("  - { name: shared }\n");
    remote.run(&job, &["warm"]).succeeds();
    job.next_job();
    assert!(remote.blobs().is_empty());
    let asked = remote.mirror.blob_requests().len();
    let report = remote.report(&job, &["warm", "--push"]);
    assert_eq!(remote.blobs(), digests(&MIRROR.needed_blobs()));
    assert_eq!(in_cache(&report, "remote", "added"), digests(&MIRROR.needed_blobs()).len() as u64);
    assert_eq!(remote.mirror.blob_requests().len(), asked, "the mirror sends nothing twice");
    let writes = remote.writes();
    remote.report(&job, &["warm", "--push"]);
    assert_eq!(remote.writes(), writes, "what is there is not sent again");
}

#[test]
fn the_entry_names_key_and_endpoint() {
    let remote = Remote::new();
    let endpoint = remote.store.endpoint();
    let keys =
        format!(", endpoint-url: \"{endpoint}\", access-pair: {{ id: {KEY_ID}, secret-variable: REMOTE_SECRET }}");
    let run = |arguments: &[&str], secret: &str| {
        let job = remote.job_as("", &keys);
        let mut command = job.command(&[arguments, &["--json"]].concat());
        Run::wait(command.env("REMOTE_SECRET", secret).spawn().unwrap(), arguments)
    };
    let wrong = run(&["prepare", "--push"], "wrong");
    wrong.succeeds().says(&["can't use cache `remote`"]);
    assert!(remote.blobs().is_empty());
    run(&["prepare", "--push"], SECRET).succeeds();
    assert_eq!(remote.blobs(), digests(&MIRROR.needed_blobs()));
}

#[rstest]
#[case::a_flipped_bit(|bytes: &mut Vec<u8>| bytes[7] ^= 1)]
#[case::half_of_it(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2))]
#[case::a_byte_more(|bytes: &mut Vec<u8>| bytes.push(0))]
fn a_bad_object_is_named_removed_and_fetched_from_the_mirror(#[case] damage: fn(&mut Vec<u8>)) {
    let remote = Remote::new();
    remote.fill();
    let blob = app();
    let mut bytes = fs::read(remote.object(&blob)).unwrap();
    damage(&mut bytes);
    fs::write(remote.object(&blob), bytes).unwrap();
    let job = remote.job();
    let run = remote.run(&job, &["prepare", "--json"]).says(&["cache `remote` held a bad blob", &blob.digest, "app@"]);
    let report = run.report();
    assert_eq!(names_with(&report, "fetched"), ["app"]);
    assert_eq!(in_cache(&report, "remote", "corrupt"), 1);
    assert!(!remote.object(&blob).exists());
    remote.report(&job, &["finish"]);
    assert_eq!(remote.blobs(), digests(&MIRROR.needed_blobs()));
}

#[test]
fn metadata_with_a_false_size_gets_no_good_object_removed() {
    let remote = Remote::new();
    remote.fill();
    let (folder, _) = mirror_with_manifest(|text| text.replace("\"contentLength\":94043", "\"contentLength\":94042"));
    let job = Project::new("v3/env-demo");
    let mirror = format!("mirrors: [{{ url: '{}', signed: false }}]", folder.path().display());
    job.configure(&format!("{NETWORK}{mirror}\ncaches: [{{ name: remote, url: s3://binaries/larder }}]\n"));
    let run = remote.run(&job, &["prepare"]).fails_saying(1, &[&MIRROR.published("libmid").blobs[0].path]);
    assert!(!run.stderr.contains("bad blob"), "{run}");
    assert_eq!(remote.blobs(), digests(&MIRROR.needed_blobs()));
}

#[test]
fn no_trouble_with_the_store_makes_a_job_fail() {
    let remote = Remote::new();
    let gone = remote.job();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    for change in [("AWS_ENDPOINT_URL", nobody.as_str()), ("AWS_SECRET_ACCESS_KEY", "wrong")] {
        for command in ["prepare", "finish"] {
            let run = remote.run_with(&gone, &[command], &[change]).succeeds();
            assert_eq!(run.stderr.matches("can't use cache `remote`").count(), 1, "{run}");
            assert!(change.0 != "AWS_ENDPOINT_URL" || run.stderr.contains(&nobody), "{run}");
        }
        fs::remove_dir_all(gone.path(".larder")).unwrap();
    }
    let other = remote.job();
    remote.store.refuse(S3ErrorCode::AccessDenied, |operation, _| operation == "PutObject");
    remote.report(&other, &["prepare"]);
    let run = remote.run(&other, &["finish"]).succeeds();
    run.says(&["can't use cache `remote`", "AccessDenied", "lack the right"]);
}

#[test]
fn a_blob_that_was_changed_on_the_disk_does_not_get_in() {
    let remote = Remote::new();
    let job = remote.job();
    remote.report(&job, &["prepare"]);
    let blob = app();
    let file = job.path(&format!(".larder/scratch{}", blob.path));
    let mut bytes = fs::read(&file).unwrap();
    bytes[3] ^= 1;
    fs::write(&file, bytes).unwrap();
    remote.run(&job, &["finish"]).succeeds().says(&[&blob.digest, "is not added to cache `remote`"]);
    assert!(!remote.object(&blob).exists());
    assert_eq!(remote.blobs().len(), digests(&MIRROR.needed_blobs()).len() - 1);
}

#[test]
fn prune_goes_by_age_and_use_and_spares_what_is_new() {
    let remote = Remote::new();
    remote.fill();
    let job = remote.job();
    remote.forget_uses();
    let (old, used) = (app(), MIRROR.published("plotter").blobs[0].clone());
    for blob in [&old, &used] {
        remote.age(blob, 40 * DAY);
    }
    // Another job needs one of them today.
    let reader = remote.job();
    remote.report(&reader, &["prepare", "--spec", "plotter"]);
    remote.report(&reader, &["finish"]);
    let report = remote.report(&job, &["prune", "--dry-run"]);
    assert_eq!(in_cache(&report, "remote", "removed"), 1);
    assert!(remote.object(&old).exists());
    let report = remote.report(&job, &["prune"]);
    assert_eq!((in_cache(&report, "remote", "removed"), in_cache(&report, "remote", "removed_bytes")), (1, old.bytes));
    assert!(!remote.object(&old).exists() && remote.object(&used).exists());
    let report = remote.report(&job, &["prune", "--max-age", "1s"]);
    assert_eq!(in_cache(&report, "remote", "removed"), 0, "what is younger than a day stays");
    // A job that finds it gone fetches it from the mirror.
    assert_eq!(names_with(&remote.report(&job, &["prepare"]), "fetched"), ["app"]);
}

#[test]
fn prune_goes_by_size_and_takes_what_was_unused_for_longest() {
    let remote = Remote::new();
    remote.fill();
    remote.forget_uses();
    let blobs = MIRROR.needed_blobs();
    for (days, blob) in (2..).zip(&blobs) {
        remote.age(blob, days * DAY);
    }
    let total: u64 = blobs.iter().map(|blob| blob.bytes).sum();
    let oldest = blobs.last().unwrap();
    let bound = format!("{}B", total - 1);
    let report = remote.report(&remote.job(), &["prune", "--max-size", &bound]);
    assert_eq!(in_cache(&report, "remote", "removed_bytes"), oldest.bytes);
    assert!(!remote.object(oldest).exists());
    assert_eq!(in_cache(&remote.report(&remote.job(), &["list"]), "remote", "bytes"), total - oldest.bytes);
}

#[test]
fn prune_spares_what_a_job_writes_anew_while_it_decides() {
    let remote = Remote::new();
    remote.fill();
    remote.forget_uses();
    let blob = app();
    remote.age(&blob, 40 * DAY);
    let object = remote.object(&blob);
    let digest = blob.digest.clone();
    // Somebody writes the object between the listing and the last look at it.
    remote.store.refuse(S3ErrorCode::InternalError, move |operation, key| {
        if operation == "HeadObject" && key.ends_with(&digest) {
            set_age(&object, Duration::ZERO);
        }
        false
    });
    let report = remote.report(&remote.job(), &["prune"]);
    assert_eq!(in_cache(&report, "remote", "removed"), 0);
    assert!(remote.object(&blob).exists());
}

#[test]
fn clean_empties_what_is_larders_and_nothing_else() {
    let remote = Remote::new();
    remote.fill();
    let others = ["larder/README", "larder/blobs/sha256/zz/notes", "else/blobs/x"];
    for key in others {
        let path = remote.store.object(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let job = remote.job();
    remote.run(&job, &["clean"]).succeeds().says(&["`--cache remote` empties it"]);
    remote.report(&job, &["clean", "--dry-run", "--cache", "remote"]);
    let before = digests(&MIRROR.needed_blobs()).len() as u64;
    assert_eq!(in_cache(&remote.report(&job, &["list"]), "remote", "blobs"), before);
    assert_eq!(in_cache(&remote.report(&job, &["clean", "--cache", "remote"]), "remote", "removed"), before);
    assert_eq!(in_cache(&remote.report(&job, &["list"]), "remote", "blobs"), 0);
    assert!(others.iter().all(|key| remote.store.object(key).exists()));
    remote.run(&job, &["verify"]).succeeds().says(&["cache `remote` is in an object store"]);
}

#[test]
fn prune_without_a_store_says_what_it_is_for() {
    let project = Project::new("v3/env-demo");
    project.larder(&["prune"]).fails_saying(2, &["there is no cache in an object store", "larder finish"]);
}

/// An upload of 40 MiB, which goes up in three parts; `stop_before` says before which part somebody stops it.
fn upload(store: &S3Server, promised: &[u8], sent: &[u8], stop_before: usize) -> Result<Written, UploadError> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let transport = Transport::new(NetworkSettings::default(), Limits::default(), &Variables::new(store.variables()));
    let url = "s3://binaries/large".parse().unwrap();
    let at = Location { url, plain_http: PlainHttp::LoopbackOnly, access: Arc::default() };
    let digest = sha256(promised).parse().unwrap();
    let expected = Expected { digest, size: Size::Exactly(promised.len() as u64) };
    let parts = AtomicUsize::new(0);
    let go_on = || parts.fetch_add(1, Ordering::SeqCst) < stop_before;
    runtime.block_on(transport.upload(&at, Cursor::new(sent.to_vec()), expected, &go_on))
}

#[test]
fn a_large_blob_goes_up_in_parts_and_is_visible_only_when_it_is_whole_and_right() {
    let store = S3Server::start(Readers::Known);
    let mut right = Vec::new();
    for number in 0..(40 << 20) / 8_u64 {
        right.write_all(&number.to_le_bytes()).unwrap();
    }
    let nothing_is_left = || {
        assert!(!store.object("large").exists());
        let started = store.log().iter().filter(|line| line.starts_with("CreateMultipartUpload")).count();
        let taken_back = store.log().iter().filter(|line| line.starts_with("AbortMultipartUpload")).count();
        assert_eq!(started, taken_back, "{:?}", store.log());
        started
    };
    assert!(matches!(upload(&store, &right, &right, 2), Err(UploadError::Stopped)));
    assert_eq!(nothing_is_left(), 1);
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(matches!(upload(&store, &right, &wrong, usize::MAX), Err(UploadError::Blob(_))));
    assert_eq!(nothing_is_left(), 2);
    assert!(matches!(upload(&store, &right, &right, usize::MAX), Ok(Written::New)));
    assert_eq!(sha256(&fs::read(store.object("large")).unwrap()), sha256(&right));
    assert!(matches!(upload(&store, &right, &right, usize::MAX), Ok(Written::Existed)));
}
