//! Adding a spec, removing one: blobs before metadata, metadata before blobs.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::fs::{Kind, kind};
use crate::mirror::Layout;
use crate::store::built::{BuiltError, BuiltSpec, Contents, Folder, FoundSpec};
use crate::types::{MirrorPath, SpecId};

impl Folder {
    /// Move a spec here from a scratch folder, where it was found whole. What lay here under its name is replaced.
    pub fn take(&self, spec: &SpecId, scratch: &Self, found: &FoundSpec) -> Result<(), BuiltError> {
        let take = || -> io::Result<()> {
            for (_, path) in Layout::places(spec) {
                // Another layout's metadata, or a damaged signed one, would be found before the new one.
                if self.kind_of(&path)? != Kind::Missing {
                    crate::fs::remove(&path.below(&self.root))?;
                }
            }
            for blob in &found.published.blobs {
                self.bring(scratch, &blob.path)?;
            }
            self.bring(scratch, &found.published.path)
        };
        take().map_err(self.failed("put a spec into"))
    }

    /// Remove specs, and then every blob that belongs to none of those that stay.
    pub fn remove(&self, contents: &Contents, removals: &[&BuiltSpec]) -> Result<(), BuiltError> {
        let is_removed = |spec: &BuiltSpec| removals.iter().any(|removal| removal.metadata == spec.metadata);
        let kept: HashSet<&PathBuf> = contents
            .specs
            .iter()
            .filter(|spec| !is_removed(spec))
            .flat_map(|spec| spec.blobs.iter().map(|blob| &blob.path))
            .collect();
        let remove = || -> io::Result<()> {
            for spec in removals {
                self.remove_file(&spec.metadata)?;
            }
            let of_specs = removals.iter().flat_map(|spec| spec.blobs.iter().map(|blob| &blob.path));
            for path in of_specs.chain(contents.strays.iter().map(|stray| &stray.path)) {
                if !kept.contains(path) {
                    self.remove_file(path)?;
                }
            }
            Ok(())
        };
        remove().map_err(self.failed("remove files of"))
    }

    /// Remove all specs and strays. The folder goes as well unless something of somebody else is in it.
    pub fn empty(&self) -> Result<(), BuiltError> {
        let contents = self.contents()?;
        self.remove(&contents, &contents.specs.iter().collect::<Vec<_>>())?;
        if kind(&self.root).is_ok_and(|kind| kind == Kind::Folder) {
            // Fails where it is not empty, and then it is to stay.
            let _ = fs::remove_dir(&self.root);
        }
        Ok(())
    }

    /// Remove a file that [`Folder::contents`] found, and the folders above it that it leaves empty.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(self.root.join(path)) {
            // Two specs had it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
        for folder in path.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty()) {
            if fs::remove_dir(self.root.join(folder)).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn bring(&self, scratch: &Self, path: &MirrorPath) -> io::Result<()> {
        let (from, to) = (path.below(&scratch.root), path.below(&self.root));
        self.make_folders(path)?;
        if kind(&to)? == Kind::Folder {
            crate::fs::remove(&to)?;
        }
        // Spack may have written it for this user only; the archiver is another one.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&from, std::fs::Permissions::from_mode(crate::fs::PUBLISHED_MODE))?;
        }
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                // The folder is a mount: there is no way around a temporary file in it.
                let file = crate::fs::temporary_file(&self.root)?;
                fs::copy(&from, file.path())?;
                crate::fs::publish(file.into_temp_path(), &to)
            }
            result => result,
        }
    }

    /// Make the folders above a file. What stands in their way (a link, a file) was put there by somebody else.
    fn make_folders(&self, path: &MirrorPath) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let mut folder = self.root.clone();
        let parts: Vec<&str> = path.parts().collect();
        for part in parts.iter().take(parts.len().saturating_sub(1)) {
            folder.push(part);
            match kind(&folder)? {
                Kind::Folder => continue,
                Kind::Missing => {}
                Kind::File(_) | Kind::Other => fs::remove_file(&folder)?,
            }
            fs::create_dir(&folder)?;
        }
        Ok(())
    }
}
