//! The bounds on what an archive can make larder do.

/// Bounds on sizes. Each names the attack that it stops.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most entries. Stops an archive of millions of empty files from filling the memory with their names; a cache of
    /// 200 GB in blobs of 1 MB has 200,000.
    pub entries: u64,
    /// The most bytes of one name. Stops names that fill the memory, and those that no file system takes.
    pub name_bytes: usize,
    /// The most folders that one name may lead through. Stops names of thousands of them: each is looked up for every entry.
    pub depth: usize,
    /// The most bytes of all names together, counting each folder once. Stops long names without a folder in common, which
    /// the tree has to remember: 500,000 of them would take gigabytes. As many entries of a cache take 50 MB.
    pub tree_bytes: u64,
    /// The most bytes that one archived byte may turn into. Stops bombs: blobs are compressed already and hardly shrink,
    /// records shrink to a tenth, while a bomb of zeros shrinks to a thousandth.
    pub ratio: u64,
    /// What an entry, and an archive, may hold in any case: a small text of one repeated line is no bomb.
    pub slack: u64,
    /// The most bytes of an extended header (pax, or a long name of GNU tar), which has to be in memory. Stops a header of
    /// many gigabytes.
    pub header_bytes: u64,
    /// How far back zstd may refer, as a power of two, which is the memory that it takes. Stops a frame that asks for
    /// gigabytes of it; the runner's frames ask for 8 MiB.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 500_000,
            name_bytes: 4096,
            depth: 64,
            tree_bytes: 64 << 20,
            ratio: 200,
            slack: 1 << 20,
            header_bytes: 64 << 10,
            zstd_window_log: 27,
        }
    }
}

impl Limits {
    /// Whether so many bytes may come out of so many archived ones.
    pub(super) fn allow(&self, unpacked: u64, archived: u64) -> bool {
        unpacked <= self.most_from(archived)
    }

    /// The most bytes that may come out of so many archived ones.
    pub(super) fn most_from(&self, archived: u64) -> u64 {
        archived.saturating_mul(self.ratio).saturating_add(self.slack)
    }
}
