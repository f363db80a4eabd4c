//! A project folder of its own for each test, and the program run in it with nothing of this machine's configuration.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::fixtures::{Blob, Mirror, copy_folder, fixture, sha256, walk};
use crate::server::Server;

/// Impatient enough for a test, patient enough for a busy machine. The idle timeout is long: only tests of stalls, which
/// set their own, may run into one.
pub const NETWORK: &str = "network: { retries: 2, retry-delay: 1ms, idle-timeout: 30s }\n";

/// The text of a `larder.yaml` with this mirror, named `demo`.
pub fn mirror_entry(url: &str, signed: bool) -> String {
    format!("{NETWORK}mirrors:\n  - {{ name: demo, url: \"{url}\", signed: {signed} }}\n")
}

/// A project with an environment, as it is checked out in a job.
pub struct Project {
    scratch: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Run {
    pub arguments: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// One entry of a folder: whatever the runner, or a person, could see change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: &'static str,
    pub len: u64,
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub modified: i128,
}

impl Project {
    /// A project with the environment of this folder of `tests/fixtures`.
    pub fn new(environment: &str) -> Self {
        let project = Self { scratch: tempfile::tempdir().unwrap() };
        for folder in ["project", "home"] {
            fs::create_dir(project.scratch.path().join(folder)).unwrap();
        }
        copy_folder(&fixture(environment), &project.root());
        project
    }

    /// The demo environment of a mirror, and a server for the mirror, named in `larder.yaml`.
    pub fn with_server(mirror: Mirror) -> (Self, Server) {
        let server = Server::start(&mirror.folder());
        let project = Self::new(mirror.environment());
        project.configure(&mirror_entry(&server.url(), mirror.is_signed()));
        (project, server)
    }

    /// The folder above the project's own, where nothing may appear but what the test puts there.
    pub fn outside(&self) -> &Path {
        self.scratch.path()
    }

    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("project")
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    pub fn write(&self, relative: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Write `larder.yaml`.
    pub fn configure(&self, yaml: &str) {
        self.write("larder.yaml", yaml);
    }

    /// The lockfile of this folder of `tests/fixtures` instead of the project's own.
    pub fn use_environment(&self, environment: &str) {
        copy_folder(&fixture(environment), &self.root());
    }

    /// The program, ready to run in the project with an environment of its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        let nowhere = self.scratch.path().join("no-such-folder");
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.scratch.path().join("home"))
            .env("SPACK_USER_CONFIG_PATH", &nowhere)
            .env("SPACK_SYSTEM_CONFIG_PATH", &nowhere)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn larder(&self, arguments: &[&str]) -> Run {
        self.larder_with(arguments, &[])
    }

    /// Run the program with more environment variables.
    pub fn larder_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let child = self.command(arguments).envs(variables.iter().copied()).spawn().unwrap();
        Run::wait(child, arguments)
    }

    /// `larder prepare --json`, which must succeed; its report.
    pub fn prepare(&self) -> Value {
        self.larder(&["prepare", "--json"]).report()
    }

    /// `larder finish --json`, which must succeed; its report.
    pub fn finish(&self) -> Value {
        self.larder(&["finish", "--json"]).report()
    }

    /// Where the default cache keeps a blob.
    pub fn cached(&self, digest: &str) -> PathBuf {
        self.path(&format!(".larder/shared/blobs/sha256/{}/{digest}", &digest[..2]))
    }

    /// The digests of the blobs in a cache folder, sorted. Fails where a file is not what its name says.
    pub fn blobs_in(&self, cache: &str) -> Vec<String> {
        let mut digests = Vec::new();
        let folder = self.path(cache).join("blobs");
        if folder.is_dir() {
            walk(&folder, &mut |path| {
                if path.is_symlink() || path.is_file() {
                    assert!(!path.is_symlink(), "{} is a link", path.display());
                    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                    assert_eq!(sha256(&fs::read(path).unwrap()), name, "{} is not what its name says", path.display());
                    digests.push(name);
                }
            });
        }
        digests.sort();
        digests
    }

    /// Fails unless the default cache holds exactly these blobs, whole, and nothing else lies beside them.
    pub fn assert_cache_holds_exactly(&self, blobs: &[Blob]) {
        let mut expected: Vec<String> = blobs.iter().map(|blob| blob.digest.clone()).collect();
        expected.sort();
        expected.dedup();
        assert_eq!(self.blobs_in(".larder/shared"), expected);
        let mut others = Vec::new();
        walk(&self.path(".larder/shared"), &mut |path| {
            if path.is_file() && !path.to_string_lossy().contains("/blobs/sha256/") {
                others.push(path.strip_prefix(self.path(".larder/shared")).unwrap().to_owned());
            }
        });
        assert_eq!(others, [PathBuf::from("larder.json")], "a cache folder holds its records and its blobs only");
    }

    /// Every file of a blob that has not arrived whole: where the next run may go on with it, and where none may.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in [".larder/shared.fetching", ".larder/job/partial"].map(|folder| self.path(folder)) {
            if folder.is_dir() {
                walk(&folder, &mut |path| found.push(path.to_owned()));
            }
        }
        found
    }

    /// Wait until the default cache holds so many blobs.
    pub fn wait_for_blobs(&self, count: usize) {
        while self.blobs_in(".larder/shared").len() < count {
            std::thread::yield_now();
        }
    }

    /// Every entry of a folder, itself included, by its path in it.
    pub fn entries(&self, relative: &str) -> BTreeMap<PathBuf, Entry> {
        let folder = self.path(relative);
        let mut entries = BTreeMap::from([(PathBuf::from("."), Entry::of(&folder))]);
        walk(&folder, &mut |path| {
            entries.insert(path.strip_prefix(&folder).unwrap().to_owned(), Entry::of(path));
        });
        entries
    }

    /// Give every entry of a folder a modification time in the past, in whole seconds, as the runner restores it.
    pub fn restore_times(&self, relative: &str, age: Duration) {
        let seconds = (SystemTime::now() - age).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let set = |path: &Path| fs::File::open(path).unwrap().set_modified(time).unwrap();
        walk(&self.path(relative), &mut |path| set(path));
        set(&self.path(relative));
    }

    /// What the next job gets: a fresh checkout with the cached folder restored, and no job folder.
    pub fn next_job(&self) {
        let _ = fs::remove_dir_all(self.path(".larder/job"));
        let _ = fs::remove_file(self.path(".larder/shared.lock"));
        self.restore_times(".larder/shared", Duration::from_secs(600));
    }
}

impl Entry {
    fn of(path: &Path) -> Self {
        let meta = fs::symlink_metadata(path).unwrap();
        let kind = match meta.file_type() {
            kind if kind.is_symlink() => "link",
            kind if kind.is_dir() => "folder",
            kind if kind.is_file() => "file",
            _ => "other",
        };
        let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Self { kind, len: meta.len(), mode: meta.permissions().mode() & 0o7777, modified }
    }
}

impl Run {
    pub fn wait(child: Child, arguments: &[&str]) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("larder prints UTF-8");
        let run = Self {
            arguments: arguments.join(" "),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!run.stderr.contains("panicked"), "{run}");
        run
    }

    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// Failed with this code, and said all of this on standard error, however the lines are broken.
    #[track_caller]
    pub fn fails_saying(self, code: i32, parts: &[&str]) -> Self {
        let run = self.exits_with(code);
        run.says(parts)
    }

    /// Said all of this on standard error, however the lines are broken.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        // Wrapped diagnostics begin each line with a bar.
        let squeeze = |text: &str| text.replace(['│', '|'], "").split_whitespace().collect::<String>();
        let said = squeeze(&self.stderr);
        for part in parts {
            assert!(said.contains(&squeeze(part)), "`{part}` was not said:\n{self}");
        }
        self
    }

    /// The report on standard output of a run that succeeded.
    #[track_caller]
    pub fn report(self) -> Value {
        let run = self.succeeds();
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("the report is not JSON: {error}\n{run}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { arguments, code, stdout, stderr } = self;
        write!(f, "$ larder {arguments}\nexit code: {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// `name status` of every spec of a report, in its order.
pub fn statuses(report: &Value) -> Vec<String> {
    let specs = report["specs"].as_array().expect("a report has specs");
    specs
        .iter()
        .map(|spec| format!("{} {}", spec["name"].as_str().unwrap(), spec["status"].as_str().unwrap()))
        .collect()
}

/// The names of the specs with this status.
pub fn names_with(report: &Value, status: &str) -> Vec<String> {
    let specs = report["specs"].as_array().expect("a report has specs");
    let matching = specs.iter().filter(|spec| spec["status"] == status);
    matching.map(|spec| spec["name"].as_str().unwrap().to_owned()).collect()
}

/// A number in `totals`.
#[track_caller]
pub fn total(report: &Value, field: &str) -> u64 {
    report["totals"][field].as_u64().unwrap_or_else(|| panic!("no totals.{field} in {report:#}"))
}

/// A number in the entry of a cache.
#[track_caller]
pub fn in_cache(report: &Value, cache: &str, field: &str) -> u64 {
    let caches = report["caches"].as_array().expect("a report has caches");
    let found = caches.iter().find(|entry| entry["name"] == cache);
    found.and_then(|entry| entry[field].as_u64()).unwrap_or_else(|| panic!("no {field} of {cache} in {report:#}"))
}

/// Move every date in the records of the default cache into the past, as if so much time had gone by.
pub fn backdate(project: &Project, age: Duration) {
    let path = project.path(".larder/shared/larder.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut dates = 0;
    let aged: Vec<String> = text
        .split('"')
        .map(|part| match part.parse::<Timestamp>() {
            Ok(date) => {
                dates += 1;
                (date - age).to_string()
            }
            Err(_) => part.to_owned(),
        })
        .collect();
    assert!(dates > 0, "no dates in the records: {text}");
    fs::write(&path, aged.join("\"")).unwrap();
}
