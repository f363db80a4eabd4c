//! A disk that fills up. Needs the right to mount a small file system.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::{Project, names_with};
use crate::fixtures::Mirror;
use crate::requirement::Requirement;

/// A file system in memory, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where a file system can't be mounted and that is not required.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at);
        let mounted = match mount.output() {
            Ok(output) if output.status.success() => Ok(Self(at.to_owned())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("can't run `mount`: {error}")),
        };
        Requirement::Mount.met(mounted)
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy".as_ref(), self.0.as_os_str()]).status();
    }
}

#[test]
fn a_full_disk_is_said_and_the_next_run_goes_on_from_there() {
    for mirror in [Mirror::V3Unsigned, Mirror::V2Signed] {
        let (project, server) = Project::with_server(mirror);
        let Some(disk) = SmallDisk::mount(&project.path(".larder"), "256k") else { return };
        project.larder(&["prepare"]).fails_saying(1, &["the disk is full", "hint"]);
        let arrived = project.blobs_in(".larder/shared").len();

        disk.grow("16m");
        server.clear_log();
        let report = project.prepare();
        // Fewer where one had arrived and the disk had no room for its name.
        assert!(server.blob_requests().len() <= mirror.needed_blobs().len() - arrived, "{:?}", server.blob_requests());
        assert_eq!(names_with(&report, "build"), [] as [&str; 0]);
        project.assert_cache_holds_exactly(&mirror.needed_blobs());
    }
}

#[test]
fn a_full_stick_is_said_and_the_next_export_adds_what_is_missing() {
    for mirror in [Mirror::V3Unsigned, Mirror::V2Signed] {
        let (project, server) = Project::with_server(mirror);
        let stick = project.outside().join("stick");
        let Some(disk) = SmallDisk::mount(&stick, "256k") else { return };
        project.larder(&["export", "../stick"]).fails_saying(1, &["the disk is full", "hint"]);
        assert!(!stick.join("larder.yaml").exists(), "it does not promise anything yet");
        assert!(stick.join("mirror").exists(), "it was not the first file that was too much");

        disk.grow("16m");
        server.clear_log();
        let report = project.larder(&["export", "../stick", "--json"]).report();
        assert_eq!(server.blob_requests().iter().filter(|path| mirror.needed_paths().contains(path)).count(), 0);
        assert!(report["export"]["added"].as_u64() < report["export"]["blobs"].as_u64(), "{report:#}");
        let moved = project.outside().join("moved");
        crate::fixtures::copy_folder(&stick, &moved);
        server.stop();
        let prepare = project.command(&["prepare", "--require-all"]).current_dir(&moved).spawn().unwrap();
        crate::context::Run::wait(prepare, &["prepare"]).succeeds();
    }
}

#[test]
fn a_full_disk_does_not_keep_finish_from_making_room() {
    let (project, _server) = Project::with_server(Mirror::V3Unsigned);
    let Some(disk) = SmallDisk::mount(&project.path(".larder"), "16m") else { return };
    project.prepare();
    project.finish();
    crate::context::backdate(&project, std::time::Duration::from_secs(40 * 86_400));
    project.larder(&["prepare", "--spec", "rtdata"]).succeeds();
    let filler = project.path(".larder/filler");
    let mut full = std::fs::File::create(filler).unwrap();
    while std::io::Write::write(&mut full, &[0; 4096]).is_ok() {}
    project.larder(&["finish"]).succeeds().says(&["8 removed blobs"]);
    assert_eq!(project.blobs_in(".larder/shared").len(), Mirror::V3Unsigned.published("rtdata").blobs.len());
    drop(disk);
}
