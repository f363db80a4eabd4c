//! A folder whose contents are hostile: GitLab restored it from an archive, or it was carried here.
//!
//! Nothing below it is reached through a link: a restored archive can make one lead anywhere, and what is read, written or removed
//! behind it would be another file than the one that is meant.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::kind::{Kind, kind, named, read_capped, remove};
use crate::types::MirrorPath;

/// A folder that may not exist yet. Below it, paths are [`MirrorPath`]s, which can't lead out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// What to do with a link or a file that stands where a folder is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Remove it: what is not larder's does not belong there, and all of it can be fetched again.
    Remove,
    /// Leave it, and fail with [`io::ErrorKind::NotADirectory`].
    Refuse,
}

impl Folder {
    /// The folder at this path, as it is.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The first link (or file) among this folder and those between `project` and it. Above the project, and above a folder that
    /// lies outside of it, links are the administrator's business.
    pub(crate) fn first_link(&self, project: &Path) -> io::Result<Option<PathBuf>> {
        let depth = self.root.strip_prefix(project).map_or(1, |below| below.components().count());
        for path in self.root.ancestors().take(depth) {
            if !matches!(kind(path)?, Kind::Folder | Kind::Missing) {
                return Ok(Some(path.to_owned()));
            }
        }
        Ok(None)
    }

    /// The folder's own path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where something lies.
    pub(crate) fn path_of(&self, path: &MirrorPath) -> PathBuf {
        path.below(&self.root)
    }

    /// What lies at a path. Behind a link in place of a folder there is nothing.
    pub(crate) fn kind_of(&self, path: &MirrorPath) -> io::Result<Kind> {
        let (at, found) = self.walk(path)?;
        Ok(if at == self.path_of(path) { found } else { Kind::Missing })
    }

    /// The link (or file) that stands where a folder above a path should be.
    pub(crate) fn link_above(&self, path: &MirrorPath) -> io::Result<Option<PathBuf>> {
        let (at, found) = self.walk(path)?;
        Ok(Some(at).filter(|at| *at != self.path_of(path) && found != Kind::Missing))
    }

    /// As far down a path as there are folders, and one step more: what is there.
    fn walk(&self, path: &MirrorPath) -> io::Result<(PathBuf, Kind)> {
        let (mut at, mut found) = (self.root.clone(), Kind::Folder);
        for part in path.parts() {
            at.push(part);
            found = kind(&at)?;
            if found != Kind::Folder {
                break;
            }
        }
        Ok((at, found))
    }

    /// The size of the regular file at a path, unread.
    pub(crate) fn size_of(&self, path: &MirrorPath) -> Option<u64> {
        self.kind_of(path).ok().and_then(Kind::size)
    }

    /// A small file of at most `limit` bytes; `None` where there is nothing at all.
    pub(crate) fn read(&self, path: &MirrorPath, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match self.kind_of(path)? {
            Kind::Missing => Ok(None),
            _ => read_capped(&self.path_of(path), limit),
        }
    }

    /// Open the regular file at a path.
    pub(crate) fn open(&self, path: &MirrorPath) -> io::Result<Option<fs::File>> {
        self.size_of(path).map(|_| fs::File::open(self.path_of(path))).transpose()
    }

    /// Make the folders above a file, and room for it, and say where that is.
    pub(crate) fn make_place(&self, path: &MirrorPath, obstacle: Obstacle) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.root)?;
        let mut at = self.root.clone();
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            let is_folder = parts.peek().is_some();
            match (kind(&at)?, is_folder) {
                (Kind::Folder, true) | (Kind::Missing | Kind::File(_), false) => continue,
                (Kind::Missing, true) => {}
                // A file or a link is replaced in one step by the renaming: another job may be using it.
                (Kind::Other, false) if obstacle == Obstacle::Remove => continue,
                _ if obstacle == Obstacle::Remove => remove(&at)?,
                _ => return Err(io::Error::new(io::ErrorKind::NotADirectory, at.display().to_string())),
            }
            if is_folder {
                // Does not mind if another job, or another thread, was faster.
                fs::create_dir_all(&at)?;
            }
        }
        Ok(at)
    }

    /// Give a finished temporary file its name here.
    pub(crate) fn publish(
        &self,
        file: tempfile::TempPath,
        path: &MirrorPath,
        obstacle: Obstacle,
    ) -> io::Result<PathBuf> {
        let mut attempts = 3;
        loop {
            let place = self.make_place(path, obstacle);
            let renamed = place.and_then(|place| std::fs::rename(&file, &place).map_err(named(&place)).map(|()| place));
            match renamed {
                // Another job removed a folder, which was empty until now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts > 0 => attempts -= 1,
                Err(error) => return Err(error),
                Ok(place) => return file.keep().map(|_| place).map_err(|failed| failed.error),
            }
        }
    }

    /// Remove what lies at a path (a link itself, never its target), and the folders above it that it leaves empty. Says whether
    /// there was something.
    pub(crate) fn remove(&self, path: &MirrorPath) -> io::Result<bool> {
        if self.kind_of(path)? == Kind::Missing {
            return Ok(false);
        }
        let file = self.path_of(path);
        match remove(&file) {
            // Another job was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        let above = file.ancestors().skip(1).take(path.parts().count() - 1);
        for folder in above {
            // An empty folder would stay in every archive from now on. One that holds something is not removed by this.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn fixture() -> (tempfile::TempDir, Folder, MirrorPath) {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("outside/b")).unwrap();
        fs::write(temp.path().join("outside/b/c"), "secret").unwrap();
        let folder = Folder::at(&temp.path().join("project/cache"));
        (temp, folder, MirrorPath::new(["a", "b", "c"]))
    }

    #[test]
    fn behind_a_link_there_is_nothing() {
        let (temp, folder, path) = fixture();
        fs::create_dir_all(folder.root()).unwrap();
        symlink(temp.path().join("outside"), folder.root().join("a")).unwrap();
        assert_eq!(folder.kind_of(&path).unwrap(), Kind::Missing);
        assert_eq!(folder.read(&path, 100).unwrap(), None);
        assert!(folder.open(&path).unwrap().is_none());
        assert!(!folder.remove(&path).unwrap());
        assert_eq!(fs::read(temp.path().join("outside/b/c")).unwrap(), b"secret");
    }

    #[test]
    fn a_link_in_place_of_a_folder_is_replaced_or_refused_and_never_followed() {
        let (temp, folder, path) = fixture();
        fs::create_dir_all(folder.root()).unwrap();
        symlink(temp.path().join("outside"), folder.root().join("a")).unwrap();
        let refused = folder.make_place(&path, Obstacle::Refuse).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
        let place = folder.make_place(&path, Obstacle::Remove).unwrap();
        assert_eq!(place, folder.path_of(&path));
        assert!(fs::symlink_metadata(folder.root().join("a")).unwrap().is_dir());
        assert_eq!(fs::read(temp.path().join("outside/b/c")).unwrap(), b"secret");
    }

    #[test]
    fn only_links_below_the_project_are_looked_for() {
        let (temp, folder, _) = fixture();
        let project = temp.path().join("project");
        assert_eq!(folder.first_link(&project).unwrap(), None);
        symlink(temp.path().join("outside"), &project).unwrap();
        assert_eq!(folder.first_link(&project).unwrap(), None);
        symlink(temp.path(), project.join("cache")).unwrap();
        assert_eq!(folder.first_link(&project).unwrap(), Some(folder.root().to_owned()));
        assert_eq!(folder.first_link(Path::new("/elsewhere")).unwrap(), Some(folder.root().to_owned()));
    }

    #[test]
    fn removing_leaves_no_empty_folder_and_nothing_else() {
        let (_temp, folder, path) = fixture();
        fs::write(folder.make_place(&path, Obstacle::Remove).unwrap(), "x").unwrap();
        let other = MirrorPath::new(["a", "other"]);
        fs::write(folder.make_place(&other, Obstacle::Remove).unwrap(), "y").unwrap();
        assert!(folder.remove(&path).unwrap());
        assert!(!folder.root().join("a/b").exists());
        assert_eq!(folder.size_of(&other), Some(1));
    }
}
