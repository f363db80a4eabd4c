//! What lies in a cache folder, seen without following a link.

use std::io;
use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;

use super::inventory::{Inventory, Item};
use super::records::FILE_NAME;
use crate::fs::{Folder, Kind, entries, kind};
use crate::types::{MirrorPath, Sha256Digest};

/// Look at every entry. A missing folder is empty.
pub(super) fn scan(cache: &Folder) -> io::Result<Inventory> {
    let mut inventory = Inventory::default();
    scan_folder(cache, cache.root(), &mut inventory)?;
    inventory.items.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(inventory)
}

/// Look at the entries of the cache's own folder, or of one that leads to blobs.
fn scan_folder(cache: &Folder, folder: &Path, inventory: &mut Inventory) -> io::Result<()> {
    for entry in entries(folder)? {
        let digest = entry.file_name().and_then(|name| name.to_str()?.parse::<Sha256Digest>().ok());
        let digest = digest.filter(|digest| cache.path_of(&MirrorPath::of_blob(*digest)) == entry);
        let below = entry.strip_prefix(cache.root()).unwrap_or(&entry);
        let shards = Path::new("blobs/sha256");
        let leads_to_blobs = shards.starts_with(below) || below.parent() == Some(shards);
        match (kind(&entry)?, digest) {
            (Kind::File(bytes), Some(digest)) => {
                let modified = fs::symlink_metadata(&entry)?.modified()?;
                let modified = Timestamp::try_from(modified).unwrap_or_default();
                inventory.items.push(Item::of_blob(digest, bytes, modified));
            }
            (Kind::Folder, _) if leads_to_blobs => scan_folder(cache, &entry, inventory)?,
            _ if below == Path::new(FILE_NAME) => {}
            _ => inventory.foreign.push(entry),
        }
    }
    Ok(())
}
