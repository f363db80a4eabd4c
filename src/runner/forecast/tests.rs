//! The runner's rules as a table, written by hand from its source (19.4) and from jobs of the real runner (14.7 and 19.4), and
//! compared with what [`forecast`] says of every combination.
//!
//! Where each rule is in the runner's source:
//!
//! - policy: `shells/abstract.go`, `archiveCache`: "Not uploading cache … due to policy".
//! - missing, changed, up to date: `commands/helpers/cache_archiver.go`, `Execute`: "No files to cache.", "Archive is up to date!";
//!   `file_archiver.go`, `isFileChanged`: any entry later than `cache.zip`, or no `cache.zip`.
//! - asking: `uploadExistingArchiveIfNeeded`, since 18.11: "Primary cache already exists remotely, skipping upload", or "Primary cache
//!   does not exist remotely, uploading existing archive"; `cache/azure` and roles of `cache/s3v2` give no right to ask.
//! - fallback key: `addExtractCacheCommand`: each key's archive is a file of its own.
//! - when: `common/build.go`, `executeArchiveCache`: any error of the job, a cancel and a script timeout too, is a failure.

use super::*;
use crate::report::Uploads;

/// How a job can end, and the `when` of the cache: `STATUS/WHEN`, each pair once.
const ENDS: [(&str, &[&str]); 4] = [
    (
        "saved",
        &[
            "running/always",
            "success/always",
            "failed/always",
            "canceled/always",
            "timedout/always",
            "success/on_success",
            "success/-",
            "failed/on_failure",
            "canceled/on_failure",
            "timedout/on_failure",
        ],
    ),
    ("lost", &["failed/on_success", "canceled/on_success", "timedout/on_success", "success/on_failure"]),
    ("running", &["running/on_success", "running/on_failure", "running/-"]),
    ("untold", &["failed/-", "canceled/-", "timedout/-"]),
];

const RUNNERS: [(&str, &[&str]); 4] = [
    ("none", &["no CI"]),
    ("unknown", &["", "nightly"]),
    ("old", &["14.7.0", "15.11.1", "18.10.3"]),
    ("new", &["18.11.0", "18.11.0~pre.12.gabcdef", "v19.0.0", "19.4.0"]),
];

/// Columns: runner, store, start, folder, end, policy; what the runner does, and the rule. A cell is `*` or a list.
const TABLE: &str = "
*               *                    *                           *                  *                     pull  no      only-restored
*               *                    *                           missing            *                     push  no      nothing-there

none            *                    nothing                     unchanged,changed  *                     push  first   first-time
none            *                    other                       unchanged          *                     push  yes     other-key
none            *                    own,untold,survived         unchanged          *                     push  no      up-to-date
none            *                    own,untold,survived,other   changed            *                     push  yes     changed

old,new,unknown *                    *                           unchanged,changed  lost                  push  no      other-outcome

old,new,unknown *                    nothing                     unchanged,changed  saved                 push  first   first-time
old,new,unknown *                    own,other,untold,survived   changed            saved                 push  yes     changed
old,new,unknown *                    other                       unchanged          saved                 push  yes     other-key
old,new,unknown *                    untold                      unchanged          saved                 push  unknown unknown-key
old,new,unknown *                    survived                    unchanged          saved                 push  unknown unknown-archive
old             *                    own                         unchanged          saved,running,untold  push  no      up-to-date
new,unknown     local,s3,gcs         own                         unchanged          saved,running,untold  push  no      up-to-date
new             azure,s3-role        own                         unchanged          saved                 push  yes     store-is-silent
new             -                    own                         unchanged          saved                 push  unknown unknown-store
unknown         azure,s3-role,-      own                         unchanged          saved                 push  unknown unknown-store

new,unknown     azure,s3-role,-      own                         unchanged          running               push  unknown unknown-outcome
new,unknown     azure,s3-role,-      own                         unchanged          untold                push  unknown unknown-when
old,new,unknown *                    nothing                     unchanged,changed  running               push  unknown unknown-outcome
old,new,unknown *                    nothing                     unchanged,changed  untold                push  unknown unknown-when
old,new,unknown *                    other,untold,survived       unchanged,changed  running               push  unknown unknown-outcome
old,new,unknown *                    other,untold,survived       unchanged,changed  untold                push  unknown unknown-when
old,new,unknown *                    own                         changed            running               push  unknown unknown-outcome
old,new,unknown *                    own                         changed            untold                push  unknown unknown-when
";

const STORES: [&str; 6] = ["-", "local", "s3", "gcs", "azure", "s3-role"];
const STARTS: [(&str, Start); 5] = [
    ("nothing", Start::Nothing),
    ("own", Start::OwnKey),
    ("other", Start::OtherKey),
    ("untold", Start::UnknownKey),
    ("survived", Start::Survived),
];
const FOLDERS: [(&str, FolderNow); 3] =
    [("missing", FolderNow::Missing), ("unchanged", FolderNow::Unchanged), ("changed", FolderNow::Changed)];
const POLICIES: [(&str, CachePolicy); 2] = [("pull", CachePolicy::Restores), ("push", CachePolicy::Saves)];

/// The cells of one combination, and the combination.
fn combinations() -> Vec<([&'static str; 6], String, Circumstances)> {
    let mut all = Vec::new();
    for (runner, version) in each(&RUNNERS) {
        for (end, pair) in each(&ENDS) {
            let (status, when) = pair.split_once('/').unwrap();
            let mut pairs = vec![("CI_JOB_STATUS", status), ("CI_RUNNER_VERSION", version)];
            if runner != "none" {
                pairs.push(("CI_JOB_ID", "17"));
            }
            let variables = Variables::new(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
            for store in STORES {
                for (start, of_start) in STARTS {
                    for (folder, of_folder) in FOLDERS {
                        for (policy, of_policy) in POLICIES {
                            let circumstances = Circumstances {
                                runner: Runner::of(&variables),
                                store: ArchiveStore::parse(store).unwrap_or(ArchiveStore::Unknown),
                                start: of_start,
                                folder: of_folder,
                                outcome: Outcome::of(&variables),
                                when: SaveWhen::parse(when),
                                policy: of_policy,
                                clocks: Clocks::Agree,
                            };
                            let cells = [runner, store, start, folder, end, policy];
                            all.push((cells, format!("runner {version:?}, {pair}, {cells:?}"), circumstances));
                        }
                    }
                }
            }
        }
    }
    all
}

fn each(
    groups: &'static [(&'static str, &'static [&'static str])],
) -> impl Iterator<Item = (&'static str, &'static str)> {
    groups.iter().flat_map(|(name, members)| members.iter().map(move |member| (*name, *member)))
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn the_forecast_is_what_the_runner_does() {
    let rows: Vec<Vec<&str>> = TABLE.lines().map(|line| line.split_whitespace().collect()).collect();
    let rows: Vec<&Vec<&str>> = rows.iter().filter(|row| !row.is_empty()).collect();
    let mut met = vec![false; rows.len()];
    let all = combinations();
    assert_eq!(all.len(), 10 * 20 * 6 * 5 * 3 * 2);
    for (cells, name, circumstances) in all {
        let is_met =
            |row: &[&str]| cells.iter().zip(row).all(|(cell, of)| *of == "*" || of.split(',').any(|of| of == *cell));
        // What is only restored is so whether or not it is there.
        let fitting: Vec<usize> = (0..rows.len()).filter(|at| is_met(rows[*at])).collect();
        let [row] = fitting[..] else { panic!("{name}: rows {fitting:?} of the table, and it must be one") };
        met[row] = true;
        let (uploads, rule) = forecast(circumstances);
        assert_eq!([word(uploads), word(rule)], rows[row][6..], "{name}");
    }
    assert!(met.iter().all(|met| *met), "a row that nothing meets: {met:?}");
}

#[test]
fn clocks_that_disagree_leave_only_what_needs_no_comparison() {
    let mut told = 0;
    for (cells, name, circumstances) in combinations() {
        let (before, (uploads, rule)) =
            (forecast(circumstances), forecast(Circumstances { clocks: Clocks::Disagree, ..circumstances }));
        let compares = matches!(cells[2], "own" | "untold") && cells[3] != "missing" && cells[5] == "push";
        match (compares, cells[4]) {
            (false, _) => assert_eq!((uploads, rule), before, "{name}"),
            (true, "lost") if cells[0] != "none" => assert_eq!(rule, UploadRule::OtherOutcome, "{name}"),
            (true, _) => {
                assert_eq!(uploads, Uploads::Unknown, "{name}");
                told += 1;
            }
        }
    }
    assert!(told > 100);
}
