//! What lies in a cache folder, seen without following a link.

use std::io;
use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;

use super::inventory::{Inventory, Item};
use super::records::FILE_NAME;
use crate::fs::{Folder, Kind, entries, kind};
use crate::types::{MirrorPath, Sha256Digest};

/// The folders that lead to those of the blobs, from the cache's own.
const ABOVE: [&str; 2] = ["blobs", "sha256"];

/// Look at every entry. A missing folder is empty.
pub(super) fn scan(folder: &Folder) -> io::Result<Inventory> {
    let mut inventory = Inventory::default();
    scan_level(folder, folder.root(), 0, &mut inventory)?;
    inventory.items.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(inventory)
}

/// Look at the entries of a folder that lies so many levels below the cache's own.
fn scan_level(cache: &Folder, folder: &Path, level: usize, inventory: &mut Inventory) -> io::Result<()> {
    for entry in entries(folder)? {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digest = name.parse::<Sha256Digest>().ok();
        let digest = digest.filter(|digest| cache.path_of(&MirrorPath::of_blob(*digest)) == entry);
        let leads_to_blobs = ABOVE.get(level).map_or(level == ABOVE.len(), |above| *above == name);
        match (kind(&entry)?, digest) {
            (Kind::File(bytes), Some(digest)) => {
                let modified = fs::symlink_metadata(&entry)?.modified()?;
                let modified = Timestamp::try_from(modified).unwrap_or_default();
                inventory.items.push(Item::of_blob(digest, bytes, modified));
            }
            (Kind::Folder, _) if leads_to_blobs => scan_level(cache, &entry, level + 1, inventory)?,
            _ if level == 0 && name == FILE_NAME => {}
            _ => inventory.foreign.push(entry),
        }
    }
    Ok(())
}
