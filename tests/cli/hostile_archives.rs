//! Archives made to write elsewhere, to fill the disk or to bring in other bytes: each is refused by the name of the entry,
//! and leaves nothing behind but blobs that are what their names say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rstest::rstest;

use crate::archives::{another, filled, run};
use crate::context::{Entry, Project};
use crate::fixtures::sha256;
use crate::server::Server;

const FILE: u32 = 0o100_644;
const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const PIPE: u32 = 0o010_644;

/// An entry of a zip archive, of which every field can lie.
#[derive(Clone)]
pub struct ZipEntry {
    name: Vec<u8>,
    local_name: Vec<u8>,
    mode: u32,
    flags: u16,
    method: u16,
    crc: u32,
    archived: u32,
    unpacked: u32,
    local_unpacked: u32,
    data: Vec<u8>,
    /// Where the header and the data are said to be, instead of being written.
    at: Option<usize>,
}

/// A zip archive made by hand: no library would write these.
#[derive(Default)]
pub struct Zip {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
    directory: Vec<u8>,
}

impl ZipEntry {
    fn new(name: &str, mode: u32, data: &[u8]) -> Self {
        Self { mode, ..Self::compressed(name, 0, data, data.to_vec()) }
    }

    fn file(name: &str, data: &[u8]) -> Self {
        Self::new(name, FILE, data)
    }

    pub fn compressed(name: &str, method: u16, data: &[u8], archived: Vec<u8>) -> Self {
        let size = u32::try_from(data.len()).unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(data);
        Self {
            name: name.into(),
            local_name: name.into(),
            mode: FILE,
            flags: 0,
            method,
            crc: crc.sum(),
            archived: u32::try_from(archived.len()).unwrap(),
            unpacked: size,
            local_unpacked: size,
            data: archived,
            at: None,
        }
    }
}

impl Zip {
    pub fn new() -> Self {
        Self::default()
    }

    fn common(entry: &ZipEntry, unpacked: u32, name: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(entry.flags.to_le_bytes());
        bytes.extend(entry.method.to_le_bytes());
        bytes.extend([0, 0, 0x21, 0x58]);
        for number in [entry.crc, entry.archived, unpacked] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[expect(clippy::needless_pass_by_value, reason = "calls read better without a borrow of what is made in place")]
    pub fn entry(mut self, entry: ZipEntry) -> Self {
        let offset = entry.at.unwrap_or(self.bytes.len());
        if entry.at.is_none() {
            self.bytes.extend(b"PK\x03\x04\x14\0");
            self.bytes.extend(Self::common(&entry, entry.local_unpacked, &entry.local_name));
            self.bytes.extend(&entry.local_name);
            self.bytes.extend(&entry.data);
        }
        self.offsets.push(offset);
        self.directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        self.directory.extend(Self::common(&entry, entry.unpacked, &entry.name));
        self.directory.extend([0; 6]);
        self.directory.extend((entry.mode << 16).to_le_bytes());
        self.directory.extend(u32::try_from(offset).unwrap().to_le_bytes());
        self.directory.extend(&entry.name);
        self
    }

    pub fn finish(self) -> Vec<u8> {
        let entries = u16::try_from(self.offsets.len()).unwrap().to_le_bytes();
        let sizes = [self.directory.len(), self.bytes.len()].map(|size| u32::try_from(size).unwrap().to_le_bytes());
        [&self.bytes[..], &self.directory, b"PK\x05\x06\0\0\0\0", &entries, &entries, &sizes[0], &sizes[1], &[0, 0]]
            .concat()
    }
}

/// One block, or more, of a tar archive.
fn tar_entry(name: &str, kind: u8, target: &str, data: &[u8]) -> Vec<u8> {
    let mut block = [0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(124, format!("{:011o}\0", data.len()).as_bytes());
    put(136, b"14371573600\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = data.len().next_multiple_of(512) - data.len();
    [&block[..], data, &vec![0; padding]].concat()
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    zstd::encode_all(&[&entries.concat()[..], &[0; 1024]].concat()[..], 3).unwrap()
}

fn blob_name(data: &[u8]) -> String {
    let digest = sha256(data);
    format!(".larder/shared/blobs/sha256/{}/{digest}", &digest[..2])
}

/// A blob that is all right: what is refused is refused in spite of it.
fn good() -> ZipEntry {
    ZipEntry::file(&blob_name(b"good"), b"good")
}

fn good_tar() -> Vec<u8> {
    tar_entry(&blob_name(b"good"), b'0', "", b"good")
}

/// A project without, and one with, a cache; the second one's must survive as it is.
fn projects() -> (Server, [Project; 2]) {
    let (full, server) = filled();
    let empty = another(&server);
    (server, [empty, full])
}

/// Everything beside and in the project, but for the scratch that a project with a job folder has anyway.
fn everything(project: &Project) -> BTreeMap<PathBuf, Entry> {
    let mut entries = project.entries("..");
    entries.retain(|path, _| !path.starts_with("project/.larder/job"));
    // The job folder's making and clearing shows in the time of the folder above it.
    entries
        .iter_mut()
        .filter(|(path, _)| path.ends_with(".larder") || path.ends_with("project"))
        .for_each(|(_, entry)| entry.modified = 0);
    entries
}

/// Since `before`, nothing changed but for blobs that are what their names say.
#[track_caller]
fn assert_nothing_wrong_came(project: &Project, before: &BTreeMap<PathBuf, Entry>) {
    let after = everything(project);
    for (path, entry) in before {
        // A folder's time shows that something was added to it.
        let is_the_caches_folder = entry.kind == "folder" && path.starts_with("project/.larder/shared");
        assert!(after.get(path) == Some(entry) || is_the_caches_folder, "changed: {}", path.display());
    }
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        let Ok(below) = path.strip_prefix("project/.larder") else { panic!("came: {}", path.display()) };
        let is_named = |names: &[&str]| names.iter().any(|name| below == Path::new(name));
        assert!(
            below.starts_with("shared/blobs")
                || is_named(&[
                    "",
                    ".gitignore",
                    "job.lock",
                    "shared",
                    "shared.lock",
                    "shared.records.lock",
                    "shared/larder.json"
                ]),
            "came: {}",
            path.display()
        );
        if is_named(&["shared/larder.json"]) {
            assert!(fs::read_to_string(project.path(".larder/shared/larder.json")).unwrap().contains("\"blobs\": {}"));
        }
    }
    // Fails for one that is not.
    project.blobs_in(".larder/shared");
    let partial = project.path(".larder/job/partial");
    assert!(!partial.exists() || fs::read_dir(&partial).unwrap().next().is_none(), "leftovers");
}

#[track_caller]
fn assert_refused(archive: &[u8], parts: &[&str]) {
    let (_server, projects) = projects();
    for project in &projects {
        project.write("cache.zip", archive);
        let before = everything(project);
        for arguments in [&["unpack", "cache.zip", "--dry-run"][..], &["unpack", "cache.zip"]] {
            let run = project.larder(arguments).fails_saying(1, parts);
            let run = run.says(&["nothing was unpacked"]);
            assert!(!run.stderr.contains('\u{1b}'), "a name was printed as it is");
            assert_nothing_wrong_came(project, &before);
            if arguments.contains(&"--dry-run") {
                assert_eq!(everything(project), before, "{arguments:?}");
            }
        }
    }
}

/// The archive is odd, but all that it has for the cache is right: these blobs, and nothing else, come in.
#[track_caller]
fn assert_harmless(archive: &[u8], blobs: &[&[u8]]) {
    let (_server, projects) = projects();
    for project in &projects {
        project.write("cache.zip", archive);
        let before = everything(project);
        let mut expected = project.blobs_in(".larder/shared");
        expected.extend(blobs.iter().map(|blob| sha256(blob)));
        expected.sort();
        project.larder(&["unpack", "cache.zip"]).succeeds();
        assert_nothing_wrong_came(project, &before);
        assert_eq!(project.blobs_in(".larder/shared"), expected);
    }
}

#[rstest]
#[case::up_and_away("../x", "../x", "leads out")]
#[case::up_from_within_a_cache(".larder/shared/../../../x", "../../../x", "leads out")]
#[case::an_absolute_name("/tmp/larder-was-here", "/tmp/larder-was-here", "absolute")]
#[case::a_drive("C:\\x", "C:", "absolute")]
#[case::a_backslash(".larder\\shared\\x", "shared", "backslash")]
#[case::a_nul("x\0/../y", "x", "control character")]
#[case::a_terminal_sequence("\u{1b}[2Jx", "[2Jx", "control character")]
#[case::a_dot(".larder/./shared/x", ".larder/./shared/x", "empty part")]
#[case::no_name("", "``", "no name")]
fn a_name_that_leaves_the_folder(#[case] name: &str, #[case] shown: &str, #[case] reason: &str) {
    assert_refused(&Zip::new().entry(good()).entry(ZipEntry::file(name, b"x")).finish(), &[shown, reason]);
    if !name.is_empty() && !name.contains('\0') {
        assert_refused(&tar(&[good_tar(), tar_entry(name, b'0', "", b"x")]), &[shown, reason]);
    }
}

#[test]
fn a_name_longer_than_any_path() {
    let name = "x/".repeat(3000) + "y";
    assert_refused(&Zip::new().entry(good()).entry(ZipEntry::file(&name, b"x")).finish(), &["longer than 4096"]);
}

#[test]
fn a_name_that_is_not_utf_8() {
    let mut entry = ZipEntry::file("x", b"x");
    (entry.name, entry.local_name) = (b"\xff".to_vec(), b"\xff".to_vec());
    assert_refused(&Zip::new().entry(good()).entry(entry).finish(), &["not UTF-8"]);
}

#[rstest]
#[case::a_link(LINK, "link")]
#[case::a_pipe(PIPE, "neither a file nor a folder")]
fn what_is_no_file(#[case] mode: u32, #[case] reason: &str) {
    let entry = ZipEntry::new(".larder/shared/blobs", mode, b"/etc");
    assert_refused(&Zip::new().entry(entry).finish(), &["`.larder/shared/blobs`", reason]);
    let elsewhere = ZipEntry::new("anywhere", mode, b"/etc");
    assert_refused(&Zip::new().entry(good()).entry(elsewhere).finish(), &["`anywhere`", reason]);
}

#[rstest]
#[case::a_symbolic_link(b'2', "link")]
#[case::a_hard_link(b'1', "link")]
#[case::a_device(b'3', "neither a file nor a folder")]
#[case::a_pipe(b'6', "neither a file nor a folder")]
#[case::a_sparse_file(b'S', "neither a file nor a folder")]
fn what_is_no_file_in_a_tar(#[case] kind: u8, #[case] reason: &str) {
    assert_refused(&tar(&[good_tar(), tar_entry("anything", kind, "/etc", b"")]), &["`anything`", reason]);
}

#[test]
fn an_entry_below_a_link() {
    let below = ".larder/shared/out/x";
    let zip =
        Zip::new().entry(ZipEntry::new(".larder/shared/out", LINK, b"../../..")).entry(ZipEntry::file(below, b"x"));
    assert_refused(&zip.finish(), &["`.larder/shared/out`", "link"]);
    let link = tar_entry(".larder/shared/out", b'2', "../../..", b"");
    assert_refused(&tar(&[link, tar_entry(below, b'0', "", b"x")]), &["`.larder/shared/out`", "link"]);
}

/// No name becomes a path, so names that no folder can hold do no harm; and what a name stands for is decided by the data.
#[test]
fn an_entry_below_a_file_and_two_of_one_name() {
    let (above, below) = (ZipEntry::file("a", b"x"), ZipEntry::file("a/b", b"x"));
    assert_harmless(&Zip::new().entry(good()).entry(above.clone()).entry(below.clone()).finish(), &[b"good"]);
    assert_harmless(&Zip::new().entry(below).entry(above).entry(good()).finish(), &[b"good"]);
    let below_a_blob = ZipEntry::file(&format!("{}/x", blob_name(b"good")), b"x");
    assert_harmless(&Zip::new().entry(good()).entry(below_a_blob).finish(), &[b"good"]);
    assert_harmless(&Zip::new().entry(good()).entry(good()).finish(), &[b"good"]);
    assert_harmless(&tar(&[good_tar(), good_tar()]), &[b"good"]);
    // Whichever of the two comes first: the wrong one is refused, and never takes the place of the right one.
    let (name, wrong) = (blob_name(b"good"), ZipEntry::file(&blob_name(b"good"), b"evil"));
    let wrong_tar = tar_entry(&name, b'0', "", b"evil");
    assert_refused(&Zip::new().entry(good()).entry(wrong.clone()).finish(), &[&name, "its sha256 is"]);
    assert_refused(&Zip::new().entry(wrong).entry(good()).finish(), &[&name, "its sha256 is"]);
    assert_refused(&tar(&[good_tar(), wrong_tar.clone()]), &[&name, "its sha256 is"]);
    assert_refused(&tar(&[wrong_tar, good_tar()]), &[&name, "its sha256 is"]);
}

#[test]
fn a_wrong_digest() {
    let entry = ZipEntry::file(&blob_name(b"right"), b"wrong");
    let parts = [&*blob_name(b"right"), "its sha256 is", &*sha256(b"wrong")];
    assert_refused(&Zip::new().entry(good()).entry(entry).finish(), &parts);
    assert_refused(&tar(&[good_tar(), tar_entry(&blob_name(b"right"), b'0', "", b"wrong")]), &parts);
}

#[test]
fn a_bomb() {
    let zeros = vec![0; 64 << 20];
    let name = blob_name(&zeros);
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut deflated, &zeros).unwrap();
    // Fast deflate leaves enough for a ratio just above the bound; the best one a thousandth.
    let deflated = deflated.finish().unwrap();
    assert!(deflated.len() < zeros.len() / 200, "{}", deflated.len());
    let honest = ZipEntry::compressed(&name, 8, &zeros, deflated);
    assert_refused(&Zip::new().entry(good()).entry(honest.clone()).finish(), &[&name, "bomb"]);
    // One that states a harmless size.
    let liar = ZipEntry { unpacked: 1000, local_unpacked: 1000, ..honest };
    assert_refused(&Zip::new().entry(good()).entry(liar).finish(), &[&name, "larger than its declared"]);
    let zstd = ZipEntry::compressed(&name, 93, &zeros, zstd::encode_all(&zeros[..], 3).unwrap());
    assert_refused(&Zip::new().entry(good()).entry(zstd).finish(), &[&name, "bomb"]);
    let tarred = tar_entry(&blob_name(b"right"), b'0', "", &zeros);
    assert_refused(&tar(&[good_tar(), tarred]), &[&blob_name(b"right")]);
    assert_refused(&tar(&[good_tar(), tar_entry("elsewhere", b'0', "", &zeros)]), &["`elsewhere`", "bomb"]);
}

/// Each of them would be a small text that happens to shrink well.
#[test]
fn a_bomb_of_many_small_entries() {
    let zeros = vec![0; 1 << 20];
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut deflated, &zeros).unwrap();
    let deflated = deflated.finish().unwrap();
    let entry = |number: i32| ZipEntry::compressed(&format!("elsewhere/{number}"), 8, &zeros, deflated.clone());
    let zip = (0..8).fold(Zip::new().entry(good()), |zip, number| zip.entry(entry(number)));
    assert_refused(&zip.finish(), &["it is a bomb"]);
}

#[test]
fn a_name_of_more_folders_than_any_cache_has() {
    let name = format!("{}x", "a/".repeat(1000));
    assert_refused(&Zip::new().entry(good()).entry(ZipEntry::file(&name, b"")).finish(), &["more folders"]);
}

#[test]
fn a_bomb_of_entries_that_share_their_data() {
    let noise: Vec<u8> = (0_u64..1000).flat_map(|n| sha256(&n.to_le_bytes()).into_bytes()).collect();
    let shared = |number: i32| ZipEntry { at: Some(0), ..ZipEntry::file(&format!("elsewhere/{number}"), &noise) };
    let zip = (0..100).fold(Zip::new().entry(ZipEntry::file("first", &noise)), |zip, number| zip.entry(shared(number)));
    assert_refused(&zip.entry(good()).finish(), &["`elsewhere/", "claim more data than there is"]);
    // Two that share less than that are no bomb. The first one's data is the header and the data of the second one.
    let second = ZipEntry::file("second", b"data");
    let first = ZipEntry::file("first", &Zip::new().entry(second.clone()).bytes);
    let inside = ZipEntry { at: Some(30 + "first".len()), ..second };
    assert_harmless(&Zip::new().entry(first).entry(inside).entry(good()).finish(), &[b"good"]);
    let again = ZipEntry { at: Some(0), ..ZipEntry::file("again", b"good") };
    assert_harmless(&Zip::new().entry(good()).entry(again).finish(), &[b"good"]);
    // A blob's name with the data of another blob.
    let stolen = ZipEntry { at: Some(0), crc: good().crc, ..ZipEntry::file(&blob_name(b"evil"), b"evil") };
    assert_refused(&Zip::new().entry(good()).entry(stolen).finish(), &[&blob_name(b"evil"), "its sha256 is"]);
}

/// The directory at the end is what counts. What the headers before the data say of a name or a size has no effect.
#[test]
fn headers_that_disagree_with_the_directory() {
    let name = blob_name(b"more");
    let blob = ZipEntry::file(&name, b"more");
    let other_name = ZipEntry { local_name: b"../escaped".to_vec(), ..blob.clone() };
    assert_harmless(&Zip::new().entry(good()).entry(other_name).finish(), &[b"good", b"more"]);
    let other_size = ZipEntry { local_unpacked: 5, ..blob.clone() };
    assert_harmless(&Zip::new().entry(good()).entry(other_size).finish(), &[b"good", b"more"]);
    let right_header = ZipEntry { local_name: blob_name(b"evil").into_bytes(), ..ZipEntry::file(&name, b"evil") };
    assert_refused(&Zip::new().entry(good()).entry(right_header).finish(), &[&name, "its sha256 is"]);
    let encrypted = ZipEntry { flags: 1, ..blob.clone() };
    assert_refused(&Zip::new().entry(good()).entry(encrypted).finish(), &[&name, "encrypted"]);
    let checksum = ZipEntry { crc: 1, ..ZipEntry::file("elsewhere", b"x") };
    assert_refused(&Zip::new().entry(good()).entry(checksum).finish(), &["`elsewhere`", "checksum"]);
    let folder = ZipEntry::new(".larder/shared", FOLDER, b"");
    assert_refused(&Zip::new().entry(good()).entry(folder).finish(), &["`.larder/shared`", "disagree on what it is"]);
}

#[test]
fn a_truncated_end_names_the_last_entry() {
    let name = blob_name(b"more");
    let zip = Zip::new().entry(good()).entry(ZipEntry::file(&name, b"more")).finish();
    for cut in [1, 22, 60] {
        assert_refused(&zip[..zip.len() - cut], &[&name, "truncated"]);
    }
    // Noise shrinks no further, so that the cut is in the last entry's data.
    let noise: Vec<u8> = (0_u64..40_000).flat_map(|n| sha256(&n.to_le_bytes()).into_bytes()).collect();
    let whole = tar(&[good_tar(), tar_entry(&blob_name(&noise), b'0', "", &noise)]);
    for cut in [1, whole.len() / 2] {
        assert_refused(&whole[..whole.len() - cut], &[&blob_name(&noise), "truncated"]);
    }
    // Whole frames, but no end of the tar archive in them.
    let endless = zstd::encode_all(&good_tar()[..], 3).unwrap();
    assert_refused(&endless, &[&blob_name(b"good"), "truncated"]);
}

#[test]
fn a_real_archive_cut_anywhere_is_refused() {
    let (project, server) = filled();
    project.larder(&["pack", "-o", "cache.zip"]).succeeds();
    let archive = fs::read(project.path("cache.zip")).unwrap();
    let other = another(&server);
    for tenth in 0..10 {
        other.write("cache.zip", &archive[..archive.len() / 10 * tenth]);
        let run = other.larder(&["unpack", "cache.zip"]).exits_with(1);
        assert!(!other.path(".larder").exists(), "{run}");
    }
    run("sh", &project.root(), &["-c", "tar -c .larder/shared | zstd -q > cache.tar.zst"]);
    let archive = fs::read(project.path("cache.tar.zst")).unwrap();
    for tenth in 0..10 {
        other.write("cache.zip", &archive[..archive.len() / 10 * tenth]);
        let before = everything(&other);
        other.larder(&["unpack", "cache.zip"]).exits_with(1);
        // What stood before the cut may have come in.
        assert_nothing_wrong_came(&other, &before);
    }
}

#[test]
fn something_else_than_an_archive() {
    let (_server, [project, _]) = projects();
    project.write("cache.zip", "no archive");
    project.larder(&["unpack", "cache.zip"]).fails_saying(1, &["neither a zip archive nor a tar archive"]);
    project.larder(&["unpack", "none.zip"]).fails_saying(1, &["can't read", "none.zip"]);
    project.larder(&["unpack", "."]).fails_saying(1, &["not a regular file"]);
}

#[test]
fn records_that_lie_are_worth_nothing() {
    let records = br#"{"version": 1, "blobs": {"../../x": {}}}"#;
    let zip = Zip::new().entry(good()).entry(ZipEntry::file(".larder/shared/larder.json", records)).finish();
    let (_server, [project, _]) = projects();
    project.write("cache.zip", zip);
    project.larder(&["unpack", "cache.zip"]).succeeds().says(&["larder.json", "skipped"]);
    assert_eq!(project.blobs_in(".larder/shared"), [sha256(b"good")]);
}

#[test]
fn a_cache_behind_a_link_is_not_unpacked_into() {
    let (_server, [project, _]) = projects();
    let victim = project.outside().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::create_dir(project.path(".larder")).unwrap();
    std::os::unix::fs::symlink(&victim, project.path(".larder/shared")).unwrap();
    project.write("cache.zip", Zip::new().entry(good()).finish());
    project.larder(&["unpack", "cache.zip"]).fails_saying(1, &["symbolic link"]);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}
