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

/// Receives progress. Called from several threads at once.
pub trait Reporter: Send + Sync {
    /// A phase begins: so many items, 0 where that is not known before; so many bytes where that is known.
    fn phase(&self, phase: Phase, items: u64, bytes: Option<u64>) -> Box<dyn PhaseProgress + '_>;
    /// A sentence for the person who reads the log.
    fn note(&self, level: Level, text: &str);
}

/// A phase that is under way. One that is dropped before its end was given up.
pub trait PhaseProgress: Send + Sync {
    /// An item of the phase begins, such as a file of so many bytes.
    fn item(&self, name: &str, bytes: Option<u64>) -> Box<dyn ItemProgress + '_>;
    /// The phase is over.
    fn finish(self: Box<Self>);
}

/// An item that is under way. One that is dropped before its end does not count.
pub trait ItemProgress: Send + Sync {
    /// More bytes of the item are done. Negative where a broken download starts again.
    fn advance(&self, bytes: i64);
    /// The item is done, whether well or not.
    fn finish(self: Box<Self>);
    /// More bytes of the item were read.
    fn read(&self, bytes: usize) {
        self.advance(i64::try_from(bytes).unwrap_or(0));
    }
}
