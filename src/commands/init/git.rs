//! What git knows of the lockfiles: whether a job will find them in its checkout.

use std::collections::HashSet;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a pipeline will find in place of a lockfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockfileState {
    /// It is there, and in git as far as one can tell.
    Committed,
    /// It is there, and was not added to git.
    Untracked,
    /// It is there, and git ignores it, so that no job has it.
    Ignored,
    /// There is none.
    Missing,
}

impl LockfileState {
    /// Whether a job is to have it.
    pub fn is_used(self) -> bool {
        matches!(self, Self::Committed | Self::Untracked)
    }
}

/// The states of these lockfiles. Without git, or outside of a repository, one that is there counts as committed.
pub(super) fn lockfile_states(root: &Path, lockfiles: &[PathBuf]) -> Vec<LockfileState> {
    let ignored = ask(root, &["check-ignore", "-z", "--stdin"], lockfiles);
    let tracked = ask(root, &["ls-files", "-z", "--", "*spack.lock"], &[]);
    let state = |path: &PathBuf| {
        let is_in = |set: &Option<HashSet<PathBuf>>| set.as_ref().is_some_and(|set| set.contains(path));
        if !path.is_file() {
            LockfileState::Missing
        } else if is_in(&ignored) {
            LockfileState::Ignored
        } else if tracked.is_none() || is_in(&tracked) || !path.starts_with(root) {
            LockfileState::Committed
        } else {
            LockfileState::Untracked
        }
    };
    lockfiles.iter().map(state).collect()
}

/// The paths with which git answers a question about these. Nothing where it can't be asked.
fn ask(root: &Path, question: &[&str], paths: &[PathBuf]) -> Option<HashSet<PathBuf>> {
    // A file and not a pipe: git answers while it still reads.
    let mut input = tempfile::tempfile().ok()?;
    // `./`, because a path that begins with `:` would be a pattern.
    for path in paths.iter().filter_map(|path| path.strip_prefix(root).ok()?.to_str()) {
        write!(input, "./{path}\0").ok()?;
    }
    input.rewind().ok()?;
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        // The one program that the configuration of a repository could have started by these questions.
        .args(["-c", "core.fsmonitor=false"])
        .args(question)
        .stdin(input)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    // 1: none is ignored.
    if !matches!(output.status.code(), Some(0 | 1)) {
        return None;
    }
    let paths = output.stdout.split(|byte| *byte == 0).filter_map(|path| std::str::from_utf8(path).ok());
    Some(paths.filter(|path| !path.is_empty()).map(|path| root.join(path.trim_start_matches("./"))).collect())
}

#[cfg(test)]
mod tests {
    use LockfileState::{Committed, Ignored, Missing, Untracked};

    use super::*;

    #[test]
    fn git_tells_which_lockfiles_a_job_will_find() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let git = |arguments: &[&str]| {
            let status =
                Command::new("git").arg("-C").arg(root).args(arguments).stdout(Stdio::null()).status().unwrap();
            assert!(status.success(), "git {arguments:?}");
        };
        let lockfiles = ["in", "new", "out", "none"].map(|name| root.join(name).join("spack.lock"));
        for file in &lockfiles[..3] {
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            std::fs::write(file, "{}").unwrap();
        }
        let here = Path::new(root);
        let without = lockfile_states(here, &lockfiles);
        assert_eq!(without, [Committed, Committed, Committed, Missing], "there is no repository");
        git(&["init", "--quiet"]);
        std::fs::write(root.join(".gitignore"), "out/spack.lock\n").unwrap();
        git(&["add", "in/spack.lock"]);
        assert_eq!(lockfile_states(here, &lockfiles), [Committed, Untracked, Ignored, Missing]);
    }
}
