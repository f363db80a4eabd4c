//! Blobs that are worth several connections: divided, gone on with, and put together right.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use rstest::rstest;

use crate::context::{Project, Run, mirror_entry, total};
use crate::fixtures::{Mirror, blob_path, large_mirror, sha256};
use crate::s3_server::{Readers, S3Server};
use crate::server::{Fault, Server, Times};

const MIRROR: Mirror = Mirror::V3Unsigned;
const MIB: usize = 1 << 20;

/// A mirror in which the binary of `app` is large.
struct Large {
    folder: tempfile::TempDir,
    server: Server,
    project: Project,
    path: String,
    digest: String,
    bytes: usize,
}

fn large(bytes: usize) -> Large {
    let (folder, digest) = large_mirror(bytes);
    let server = Server::start(folder.path());
    let project = Project::new(MIRROR.environment());
    project.configure(&mirror_entry(&server.url(), false));
    let path = blob_path(&digest);
    Large { folder, server, project, path, digest, bytes }
}

impl Large {
    /// The parts of the file that were asked for of a server, and how many bytes it sent of it.
    fn asked(&self, server: &Server) -> (Vec<Option<Range<usize>>>, u64) {
        let log = server.log();
        let requests = log.iter().filter(|request| request.path == self.path);
        let range = |text: &str| {
            let (first, last) = text.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            first.parse().unwrap()..last.parse::<usize>().unwrap() + 1
        };
        let parts = requests.clone().map(|request| Some(range(request.headers.get("range")?.to_str().unwrap())));
        (parts.collect(), requests.map(|request| request.bytes).sum())
    }

    fn assert_cached(&self) {
        assert_eq!(sha256(&fs::read(self.project.cached(&self.digest)).unwrap()), self.digest);
        assert!(!self.project.path(".larder/shared.fetching").exists(), "nothing unfinished is left");
    }
}

#[test]
fn a_large_blob_is_fetched_in_parts_and_each_byte_once() {
    let large = large(48 * MIB);
    large.project.prepare();
    large.assert_cached();
    let (parts, sent) = large.asked(&large.server);
    let mut parts: Vec<_> = parts.into_iter().flatten().collect();
    assert!(parts.len() > 3, "{parts:?}");
    parts.sort_by_key(|part| part.start);
    let ends = parts.iter().fold(0, |end, part| if part.start == end { part.end } else { usize::MAX });
    assert_eq!((ends, sent), (large.bytes, large.bytes as u64), "{parts:?}");
}

#[test]
fn a_large_blob_in_an_object_store_is_fetched_in_parts() {
    let large = large(24 * MIB);
    let store = S3Server::with_mirror(Readers::Known, large.folder.path(), "mirror");
    large.project.configure(&mirror_entry("s3://binaries/mirror", false));
    let variables = store.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    large.project.larder_with(&["prepare"], &variables).succeeds();
    large.assert_cached();
    let asked = store.log().iter().filter(|line| line.ends_with(&large.digest)).count();
    assert!(asked > 1, "{:?}", store.log());
}

#[test]
fn parts_are_of_one_state_of_the_file() {
    let large = large(24 * MIB);
    large.project.prepare();
    let tagged = large.server.log().into_iter().filter(|request| request.path == large.path);
    let tags: Vec<_> = tagged.map(|request| request.headers.get("if-match").cloned()).collect();
    assert!(tags.len() > 1 && tags[0].is_none() && tags[1..].iter().all(Option::is_some), "{tags:?}");
}

#[test]
fn a_file_that_is_replaced_meanwhile_is_an_error_that_says_so() {
    let large = large(24 * MIB);
    large.server.fault(&large.path, Times::Always, Fault::NewTag);
    large.project.larder(&["prepare"]).fails_saying(1, &[&large.path, "was replaced while it was downloaded"]);
    assert!(!large.project.cached(&large.digest).exists());
}

#[test]
fn a_server_that_sends_whole_files_only_is_read_by_one_connection() {
    let large = large(24 * MIB);
    large.server.fault(&large.path, Times::Always, Fault::WholeFile);
    large.project.prepare();
    large.assert_cached();
    assert_eq!(large.server.count(&large.path), 1);
}

#[test]
fn a_server_that_sends_whole_files_only_and_breaks_is_asked_again_so_often_and_no_more() {
    let large = large(24 * MIB);
    large.server.fault(&large.path, Times::Always, Fault::WholeFileBroken);
    large.project.larder(&["prepare"]).fails_saying(1, &[&large.path, "can't get"]);
    assert_eq!(large.server.count(&large.path), 3, "once, and two retries, though each brought half of it");
    large.server.heal();
    large.project.prepare();
    large.assert_cached();
}

#[test]
fn another_part_than_the_one_asked_for_is_refused() {
    let large = large(24 * MIB);
    large.server.fault(&large.path, Times::Always, Fault::OtherPart);
    large.project.larder(&["prepare"]).fails_saying(1, &[&large.path, "another part", "`Range:`"]);
}

#[rstest]
#[case::breaks(Fault::Broken)]
#[case::goes_silent(Fault::StallHalfWay)]
fn what_arrived_before_a_connection_breaks_is_not_asked_for_again(#[case] fault: Fault) {
    let large = large(24 * MIB);
    let patience = mirror_entry(&large.server.url(), false).replace("idle-timeout: 30s", "idle-timeout: 3s");
    large.project.configure(&patience);
    large.server.fault(&large.path, Times::First(2), fault);
    large.project.prepare();
    large.assert_cached();
    let (parts, _) = large.asked(&large.server);
    let mut times_asked = BTreeMap::new();
    assert!(parts.iter().flatten().count() > 2, "two connections broke, and what was left came by another: {parts:?}");
    for part in parts.iter().flatten() {
        *times_asked.entry(part.start).or_insert(0) += 1;
    }
    assert!(times_asked.values().all(|times| *times == 1), "no request begins where another one did: {parts:?}");
}

#[test]
fn a_killed_run_is_gone_on_with_and_only_the_rest_is_asked_for() {
    let large = large(48 * MIB);
    // One connection, so that it is known what arrived: a stretch, and half of the next.
    let alone = mirror_entry(&large.server.url(), false).replace("retries: 2", "retries: 0, connections: 1");
    large.project.configure(&alone);
    large.server.fault(&large.path, Times::Always, Fault::StallHalfWay);
    let mut child = large.project.command(&["prepare"]).spawn().unwrap();
    large.server.wait_until_stalled();
    let partial = large.project.path(&format!(".larder/shared.fetching/{}.journal", large.digest));
    let (first, _) = large.asked(&large.server);
    let half = first[0].clone().unwrap().len() / 2;
    // The stalled half is on its way to the disk, but for what does not fill a portion.
    let end_of = |entry: &[u8]| u64::from_le_bytes(entry[8..].try_into().unwrap());
    let written = || fs::read(&partial).ok().and_then(|journal| journal.chunks_exact(16).last().map(end_of));
    while written().unwrap_or(0) < (half - (512 << 10)) as u64 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    large.server.heal();
    large.server.clear_log();
    let report = large.project.prepare();
    large.assert_cached();
    let (_, sent) = large.asked(&large.server);
    let lost = usize::try_from(sent).unwrap() + half - large.bytes;
    assert!(lost <= 512 << 10, "{lost} bytes that had arrived were asked for again");
    assert_eq!(total(&report, "bytes_resumed"), (half - lost) as u64);
    assert_eq!(total(&report, "bytes_needed"), total(&report, "bytes_fetched"));
}

#[test]
fn bytes_that_somebody_put_into_an_unfinished_blob_are_noticed_and_the_mirror_is_not_to_blame() {
    let large = large(24 * MIB);
    let unfinished = large.project.write(&format!(".larder/shared.fetching/{}.partial", large.digest), [7; 4096]);
    let entry: Vec<u8> = [0u64, 4096].iter().flat_map(|number| number.to_le_bytes()).collect();
    fs::write(unfinished.with_extension("journal"), entry).unwrap();
    large.project.prepare();
    large.assert_cached();
}

#[test]
fn finish_removes_what_nobody_goes_on_with_and_keeps_what_is_new() {
    let large = large(24 * MIB);
    large.project.prepare();
    let old = large.project.write(&format!(".larder/shared.fetching/{}.partial", "a".repeat(64)), "old");
    let new = large.project.write(&format!(".larder/shared.fetching/{}.partial", "b".repeat(64)), "new");
    let two_days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(48 * 3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(two_days_ago).unwrap();
    large.project.finish();
    assert_eq!((old.exists(), new.exists()), (false, true));
    large.project.larder(&["clean"]).succeeds();
    assert!(!new.exists());
}

#[test]
fn the_second_mirror_of_a_large_blob_is_asked_only_if_the_first_fails() {
    let large = large(48 * MIB);
    let other = Server::start(large.folder.path());
    let entry = format!("  - {{ name: other, url: \"{}\", signed: false }}\n", other.url());
    large.project.configure(&(mirror_entry(&large.server.url(), false) + &entry));
    large.project.prepare();
    large.assert_cached();
    assert_eq!(other.log().len(), 0, "bytes of the second mirror may cost more");
}

#[test]
fn of_several_mirrors_the_one_with_wrong_bytes_is_found_out() {
    let large = large(48 * MIB);
    let wrong = Server::start(large.folder.path());
    wrong.fault(&large.path, Times::Always, Fault::WrongByte);
    let entry = format!("  - {{ name: good, url: \"{}\", signed: false }}\n", large.server.url());
    large.project.configure(&(mirror_entry(&wrong.url(), false) + &entry));
    large.project.prepare();
    large.assert_cached();
}

#[test]
fn a_limit_on_bandwidth_is_kept() {
    let large = large(24 * MIB);
    let limited = mirror_entry(&large.server.url(), false).replace("retries: 2", "retries: 2, bandwidth: 12MiB/s");
    large.project.configure(&limited);
    let began = std::time::Instant::now();
    large.project.prepare();
    let seconds = began.elapsed().as_secs_f64();
    assert!(seconds > 1.8, "24 MiB at 12 MiB a second took {seconds} s");
}

#[test]
fn a_signal_leaves_what_arrived_for_the_next_run() {
    let large = large(24 * MIB);
    large.server.fault(&large.path, Times::Always, Fault::StallHalfWay);
    let child = large.project.command(&["prepare"]).spawn().unwrap();
    large.server.wait_until_stalled();
    let partial = large.project.path(&format!(".larder/shared.fetching/{}.journal", large.digest));
    while fs::metadata(&partial).map_or(0, |meta| meta.len()) == 0 {
        std::thread::yield_now();
    }
    let sent = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Run::wait(child, &["prepare"]).exits_with(143);
    large.server.heal();
    let report = large.project.prepare();
    assert!(total(&report, "bytes_resumed") > 0);
    large.assert_cached();
}
