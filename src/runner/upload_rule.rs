//! Whether a cache has changed in the eyes of the runner, by the same rule that the runner applies.
//!
//! The runner walks a cache's paths and makes the archive anew if any entry (file, folder or link; the named folder too) has
//! a modification time later than its local `cache.zip`. Sizes, modes and contents do not count. The time of that file can't
//! be seen from inside a job, but it has two bounds that can:
//!
//! - The archive was made after everything in it was last changed, so it is no older than the newest entry that was there
//!   before larder changed anything.
//! - It was there before the job's steps ran, so it is no newer than the job's start (`CI_JOB_STARTED_AT`, or else the start
//!   of the first larder of the job).
//!
//! Whatever changed during the job is newer than both, and whatever came out of the archive is newer than neither. So
//! [`Restored`] notes the earlier of the two before the first change, and an entry that is newer makes the upload. The job's
//! start matters where something touched the folder before larder ran, such as a link, which the runner restores with the
//! current time: the newest entry alone would hide it.
//!
//! Extraction cuts times to whole seconds. That is no matter: the note is taken from the folder as it was restored.
//!
//! Whether that makes an upload is for [`crate::runner::forecast`] to say, which knows the rest of the rules.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::archive_layout::{Place, set_modified};
use super::forecast::FolderNow;
use crate::fs::{Kind, entries};
use crate::mirror::{self, Layout};
use crate::report::UploadReason;
use crate::types::UploadCause;

/// What was in a cache folder before this job changed anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The latest modification time in the folder that is no later than the job's start; absent where there was no folder.
    pub newest: Option<Timestamp>,
    /// Where the folder came from.
    #[serde(default)]
    pub origin: Origin,
    /// The key under which the cache was saved, where it was recorded. An archive says so: it is compared, and never believed.
    #[serde(default)]
    pub key: Option<String>,
    /// How many entries each folder had.
    #[serde(default)]
    pub folders: BTreeMap<PathBuf, usize>,
}

/// Where a cache folder came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Out of an archive, in this job: the runner then sets the times of the folder.
    Archive,
    /// It may have been there before the job.
    #[default]
    Unknown,
}

/// A file, folder or link in a cache folder, or the folder itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path below the cache folder; empty for the folder itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// When it was last changed.
    pub modified: Timestamp,
}

/// What a folder is made of, which tells what an entry of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// A cache: blobs and records.
    Blobs,
    /// A mirror of what a branch built: blobs, archives and metadata.
    Mirror,
}

/// What became of a folder during the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether anything is newer than what was restored.
    pub folder: FolderNow,
    /// What is.
    pub reasons: Vec<UploadReason>,
}

impl Verdict {
    /// How many blobs are new since the folder was restored.
    pub fn new_blobs(&self) -> u64 {
        self.reasons.iter().filter(|reason| reason.cause == UploadCause::NewBlobs).map(|reason| reason.entries).sum()
    }
}

/// Every entry of a cache folder, itself first; none where it is missing. Reads no file, and follows no link.
pub fn walk(root: &Path) -> io::Result<Vec<TreeEntry>> {
    let mut found = Vec::new();
    let mut to_do = vec![PathBuf::new()];
    while let Some(path) = to_do.pop() {
        let full = root.join(&path);
        let meta = match fs::symlink_metadata(&full) {
            Ok(meta) => meta,
            // Another job that shares the folder may remove what was listed a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let kind = match meta.file_type() {
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_file() => Kind::File(meta.len()),
            _ => Kind::Other,
        };
        if kind == Kind::Folder {
            to_do.extend(entries(&full)?.iter().filter_map(|below| below.strip_prefix(root).ok().map(Path::to_owned)));
        }
        found.push(TreeEntry { path, kind, modified: Timestamp::try_from(meta.modified()?).unwrap_or(Timestamp::MAX) });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// What to note of a folder before it is changed. `started` is when the job started.
pub fn restored(tree: &[TreeEntry], started: Timestamp) -> Restored {
    let newest = tree.iter().map(|entry| entry.modified).max().map(|newest| newest.min(started));
    Restored { newest, folders: sizes(tree), ..Restored::default() }
}

/// Whether the runner unpacked an archive over this folder since the job started. It sets the time of every folder that it
/// unpacks, which can't be done without a change of the inode, and the time of that can't be set.
pub fn origin(root: &Path, started: Timestamp) -> Origin {
    let changed = fs::symlink_metadata(root).ok().and_then(|meta| Timestamp::from_second(meta.ctime()).ok());
    if changed.is_some_and(|changed| changed >= started) { Origin::Archive } else { Origin::Unknown }
}

/// Cut the times of what changed during the job to whole seconds, as archives have them: those of the format `tarzstd` are
/// rounded up, and what is restored later than it was archived is archived again. Only a time that stays later than the start of
/// the job is cut, so that the runner sees the change all the same: the archive that it restored is older than the job.
pub fn cut_times(root: &Path, restored: &Restored, started: Timestamp, contents: Contents) -> io::Result<()> {
    for entry in walk(root)? {
        let is_new = restored.newest.is_none_or(|newest| entry.modified > newest);
        let is_foreign = cause_of(&entry, contents, |_| false) == Some(UploadCause::Foreign);
        let second = entry.modified.as_second();
        let stays_new = Timestamp::from_second(second).is_ok_and(|cut| cut > started);
        if is_new && !is_foreign && stays_new && entry.modified.subsec_nanosecond() != 0 {
            set_modified(&root.join(&entry.path), second.unsigned_abs())?;
        }
    }
    Ok(())
}

/// How many entries each folder of a tree has.
fn sizes(tree: &[TreeEntry]) -> BTreeMap<PathBuf, usize> {
    let mut sizes: BTreeMap<PathBuf, usize> =
        tree.iter().filter(|entry| entry.kind == Kind::Folder).map(|entry| (entry.path.clone(), 0)).collect();
    for entry in tree {
        if let Some(size) = entry.path.parent().and_then(|above| sizes.get_mut(above)) {
            *size += 1;
        }
    }
    sizes
}

/// What became of a folder that is like this after the job.
pub fn judge(tree: &[TreeEntry], restored: &Restored, contents: Contents) -> Verdict {
    if tree.is_empty() {
        return Verdict { folder: FolderNow::Missing, reasons: Vec::new() };
    }
    let Some(newest) = restored.newest else {
        let is_blob = |entry: &&TreeEntry| cause_of(entry, contents, |_| true) == Some(UploadCause::NewBlobs);
        let reasons = reason(UploadCause::NewBlobs, tree.iter().filter(is_blob));
        return Verdict { folder: FolderNow::Changed, reasons: reasons.into_iter().collect() };
    };
    let now = sizes(tree);
    let newer: Vec<&TreeEntry> = tree.iter().filter(|entry| entry.modified > newest).collect();
    // A folder's time says that a name in it came or went. Where something new is directly in it, that is the explanation.
    let is_explained = |folder: &TreeEntry| newer.iter().any(|entry| entry.path.parent() == Some(&folder.path));
    let lost_nothing = |folder: &TreeEntry| {
        restored.folders.get(&folder.path).is_some_and(|before| now.get(&folder.path) == Some(before))
    };
    let cause = |entry: &TreeEntry| match cause_of(entry, contents, is_explained) {
        Some(UploadCause::RemovedBlobs) if lost_nothing(entry) => Some(UploadCause::Touched),
        cause => cause,
    };
    let with = |wanted| reason(wanted, newer.iter().copied().filter(|entry| cause(entry) == Some(wanted)));
    let causes = [
        UploadCause::NewBlobs,
        UploadCause::RemovedBlobs,
        UploadCause::Records,
        UploadCause::Foreign,
        UploadCause::Touched,
    ];
    let reasons: Vec<_> = causes.into_iter().filter_map(with).collect();
    Verdict { folder: if newer.is_empty() { FolderNow::Unchanged } else { FolderNow::Changed }, reasons }
}

/// What a new entry is; nothing more than what is in it, for a folder that is explained.
fn cause_of(entry: &TreeEntry, contents: Contents, is_explained: impl Fn(&TreeEntry) -> bool) -> Option<UploadCause> {
    match entry.kind {
        Kind::Folder if is_explained(entry) => None,
        Kind::Folder => Some(UploadCause::RemovedBlobs),
        Kind::File(_) => Some(cause_of_file(&entry.path, contents)),
        Kind::Other | Kind::Missing => Some(UploadCause::Foreign),
    }
}

/// The records of a cache and the metadata of a mirror are records.
fn cause_of_file(path: &Path, contents: Contents) -> UploadCause {
    let parts: Option<Vec<&str>> = path.iter().map(|part| part.to_str()).collect();
    let parts = parts.unwrap_or_default();
    match contents {
        Contents::Blobs => match Place::of_file(&parts.join("/")) {
            Some(Place::Blob(_)) => UploadCause::NewBlobs,
            Some(Place::Records) => UploadCause::Records,
            Some(Place::Folder) | None => UploadCause::Foreign,
        },
        Contents::Mirror => match Layout::recognise(&parts) {
            Some((_, mirror::Place::Blob)) => UploadCause::NewBlobs,
            Some((_, mirror::Place::Metadata(_))) => UploadCause::Records,
            None => UploadCause::Foreign,
        },
    }
}

fn reason<'a>(cause: UploadCause, entries: impl Iterator<Item = &'a TreeEntry>) -> Option<UploadReason> {
    let mut found = UploadReason { cause, entries: 0, bytes: 0, example: None };
    for entry in entries {
        found.entries += 1;
        if let Kind::File(bytes) = entry.kind {
            found.bytes += bytes;
        }
        found.example.get_or_insert_with(|| match entry.path.to_string_lossy() {
            path if path.is_empty() => ".".to_owned(),
            path => path.into_owned(),
        });
    }
    (found.entries > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use crate::runner::upload_rule::*;
    use crate::store::FILE_NAME;

    const BLOB: &str = "blobs/sha256/ab/abababababababababababababababababababababababababababababababab";

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn tree(rows: &[(&str, i64)]) -> Vec<TreeEntry> {
        let kind = |path: &str| match path {
            "" | "blobs" | "blobs/sha256" | "blobs/sha256/ab" => Kind::Folder,
            "link" => Kind::Other,
            _ => Kind::File(7),
        };
        let entry = |(path, modified): &(&str, i64)| TreeEntry {
            path: path.into(),
            kind: kind(path),
            modified: second(*modified),
        };
        rows.iter().map(entry).collect()
    }

    fn causes(rows: &[(&str, i64)], newest: i64) -> (FolderNow, Vec<(UploadCause, u64)>) {
        let restored = Restored { newest: Some(second(newest)), ..Restored::default() };
        let verdict = judge(&tree(rows), &restored, Contents::Blobs);
        (verdict.folder, verdict.reasons.iter().map(|reason| (reason.cause, reason.entries)).collect())
    }

    #[test]
    fn a_folder_as_it_was_restored_is_not_uploaded() {
        let rows =
            [("", 50), ("blobs", 40), ("blobs/sha256", 40), ("blobs/sha256/ab", 30), (BLOB, 60), (FILE_NAME, 60)];
        let noted = restored(&tree(&rows), second(100));
        assert_eq!(noted.newest, Some(second(60)));
        assert_eq!(
            judge(&tree(&rows), &noted, Contents::Blobs),
            Verdict { folder: FolderNow::Unchanged, reasons: vec![] }
        );
    }

    #[test]
    fn a_new_blob_explains_its_folder_and_the_records_explain_theirs() {
        let rows =
            [("", 90), ("blobs", 40), ("blobs/sha256", 40), ("blobs/sha256/ab", 90), (BLOB, 90), (FILE_NAME, 90)];
        let expected = vec![(UploadCause::NewBlobs, 1), (UploadCause::Records, 1)];
        assert_eq!(causes(&rows, 60), (FolderNow::Changed, expected));
    }

    #[test]
    fn a_folder_that_changed_by_itself_lost_something() {
        let rows = [("", 50), ("blobs", 40), ("blobs/sha256", 90), (FILE_NAME, 60)];
        assert_eq!(causes(&rows, 60), (FolderNow::Changed, vec![(UploadCause::RemovedBlobs, 1)]));
    }

    #[test]
    fn what_larder_did_not_put_there_counts_as_well() {
        let rows = [("", 50), ("link", 90), (FILE_NAME, 60)];
        assert_eq!(causes(&rows, 60), (FolderNow::Changed, vec![(UploadCause::Foreign, 1)]));
    }

    #[test]
    fn what_was_touched_between_the_start_of_the_job_and_larder_makes_an_upload() {
        let rows = [("", 50), ("link", 150), (FILE_NAME, 60)];
        let noted = restored(&tree(&rows), second(100));
        assert_eq!(judge(&tree(&rows), &noted, Contents::Blobs).folder, FolderNow::Changed);
    }

    #[test]
    fn a_new_folder_is_told_from_a_later_one_and_nothing_from_either() {
        let noted = restored(&[], second(100));
        assert_eq!(noted.newest, None);
        assert_eq!(judge(&[], &noted, Contents::Blobs).folder, FolderNow::Missing);
        let verdict = judge(&tree(&[("", 110), (BLOB, 110), (FILE_NAME, 110)]), &noted, Contents::Blobs);
        assert_eq!((verdict.folder, verdict.new_blobs()), (FolderNow::Changed, 1));
    }

    #[test]
    fn a_folder_that_was_touched_lost_nothing() {
        let rows = |shard, blobs| {
            let mut rows = vec![("", 50), ("blobs", 40), ("blobs/sha256", 40), ("blobs/sha256/ab", shard)];
            rows.extend(blobs);
            tree(&rows)
        };
        let noted = restored(&rows(30, Some((BLOB, 30))), second(60));
        let cause = |tree: &[TreeEntry]| judge(tree, &noted, Contents::Blobs).reasons[0].cause;
        assert_eq!(cause(&rows(90, Some((BLOB, 30)))), UploadCause::Touched);
        assert_eq!(cause(&rows(90, None)), UploadCause::RemovedBlobs);
    }

    #[test]
    fn times_are_cut_only_where_the_change_stays_newer_than_the_start_of_the_job() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [FILE_NAME, "notes.txt"] {
            fs::write(root.join(name), "x").unwrap();
        }
        let set = |name: &str, second: u64, nanosecond| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::new(second, nanosecond);
            fs::File::open(root.join(name)).unwrap().into_parts().0.set_modified(time).unwrap();
        };
        let time =
            |name: &str| Timestamp::try_from(fs::metadata(root.join(name)).unwrap().modified().unwrap()).unwrap();
        let at =
            |(second, nanosecond): (u64, u32)| Timestamp::new(second.cast_signed(), nanosecond.cast_signed()).unwrap();
        let restored = Restored { newest: Some(second(1_000)), ..Restored::default() };
        let started = second(2_000);
        for (before, after) in [
            // The archive of a local cache may be as young as the job.
            ((2_000, 700), (2_000, 700)),
            ((2_001, 700), (2_001, 0)),
            // Not of this job.
            ((900, 700), (900, 700)),
        ] {
            set(FILE_NAME, before.0, before.1);
            set("notes.txt", before.0, before.1);
            cut_times(root, &restored, started, Contents::Blobs).unwrap();
            assert_eq!(time(FILE_NAME), at(after));
            assert_eq!(time("notes.txt"), at(before), "not larder's");
        }
    }
}
