//! What the domain tells people while it works. Only `cli/` draws.

/// A stretch of work that a person may have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Asking mirrors for the metadata of the needed specs.
    Metadata,
    /// Hashing blobs that a cache holds.
    Validate,
    /// Downloading blobs.
    Fetch,
    /// Copying blobs into an archive.
    Pack,
    /// Copying blobs into an export.
    Export,
    /// Checking the blobs of an archive.
    Unpack,
}

/// How grave a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing; what was asked for is done.
    Info,
    /// Something is not as it should be, and larder went on.
    Warning,
}

/// A name for one item of a phase, unique within it.
pub type ItemId = u64;

/// Receives progress. Called from several threads at once.
pub trait Reporter: Send + Sync {
    /// A phase begins: so many items, 0 where that is not known before; so many bytes where that is known.
    fn phase_started(&self, phase: Phase, items: u64, bytes: Option<u64>);
    /// An item of the phase begins, such as a file of so many bytes.
    fn item_started(&self, phase: Phase, item: ItemId, name: &str, bytes: Option<u64>);
    /// More bytes of the item are done. Negative where a broken download starts again.
    fn item_advanced(&self, phase: Phase, item: ItemId, bytes: i64);
    /// The item is done, whether well or not.
    fn item_finished(&self, phase: Phase, item: ItemId);
    /// The phase is over.
    fn phase_finished(&self, phase: Phase);
    /// A sentence for the person who reads the log.
    fn note(&self, level: Level, text: &str);
}
