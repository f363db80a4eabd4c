//! Adding a spec, removing one: blobs before metadata, metadata before blobs.

use std::collections::HashSet;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::find::FoundSpec;
use super::folder::BuiltFolder;
use crate::fs::Obstacle;
use crate::mirror::Layout;
use crate::store::StoreError;
use crate::store::inventory::{Inventory, Item, Key};
use crate::types::{MirrorPath, SpecId};

impl BuiltFolder {
    /// Move a spec here from a scratch folder, where it was found whole. What lay here under its name is replaced.
    pub(crate) fn take(&self, spec: &SpecId, scratch: &Self, found: &FoundSpec) -> Result<(), StoreError> {
        let take = || -> io::Result<()> {
            for (_, path) in Layout::places(spec) {
                // Another layout's metadata, or a damaged signed one, would be found before the new one.
                self.folder.remove(&path)?;
            }
            for blob in &found.published.blobs {
                self.bring(scratch, &blob.path)?;
            }
            self.bring(scratch, &found.published.path)
        };
        take().map_err(self.failed("store a spec"))
    }

    /// Remove specs and strays, and then every blob that belongs to none of the specs that stay.
    pub(crate) fn remove(&self, inventory: &Inventory, removals: &[&Item]) -> Result<(), StoreError> {
        let is_removed = |item: &Item| removals.iter().any(|removal| removal.key == item.key);
        let staying = inventory.items.iter().filter(|item| !is_removed(item));
        let kept: HashSet<&PathBuf> = staying.flat_map(|item| &item.files).collect();
        let metadata = removals.iter().filter_map(|item| match &item.key {
            Key::Spec(_, metadata) => Some(metadata),
            Key::Blob(_) => None,
        });
        let blobs = removals.iter().flat_map(|item| &item.files).filter(|file| !kept.contains(file));
        let strays = inventory.strays.iter().map(|stray| &stray.path);
        metadata.chain(blobs).chain(strays).try_for_each(|file| self.remove_file(file))
    }

    /// Remove all specs and strays. The folder goes as well unless something that no push put there is in it.
    pub(crate) fn empty(&self) -> Result<(), StoreError> {
        let inventory = self.inventory()?;
        self.remove(&inventory, &inventory.items.iter().collect::<Vec<_>>())?;
        // Fails where it is not empty, and then it is to stay.
        let _ = fs::remove_dir(self.root());
        Ok(())
    }

    /// Remove a file that [`BuiltFolder::inventory`] found.
    fn remove_file(&self, file: &Path) -> Result<(), StoreError> {
        let path = MirrorPath::new(file.iter().filter_map(|part| part.to_str()));
        self.folder.remove(&path).map(drop).map_err(self.failed("remove a file"))
    }

    fn bring(&self, scratch: &Self, path: &MirrorPath) -> io::Result<()> {
        let from = scratch.folder.path_of(path);
        let to = self.folder.make_place(path, Obstacle::Remove)?;
        // Spack may have written it for this user only; the archiver is another one.
        fs::set_permissions(&from, Permissions::from_mode(crate::fs::PUBLISHED_MODE))?;
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                // The folder is a mount: there is no way around a temporary file in it.
                let file = crate::fs::temporary_file(self.root())?;
                fs::copy(&from, file.path())?;
                crate::fs::publish(file.into_temp_path(), &to)
            }
            result => result,
        }
    }
}
