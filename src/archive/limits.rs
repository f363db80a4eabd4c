//! The bounds on what an archive can make larder do.

use super::error::Problem;

/// Bounds on sizes. Each names the attack that it stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most entries. Stops an archive of millions of empty files from keeping a job busy; a cache of 200 GB in blobs of
    /// 1 MB has 200,000.
    pub entries: u64,
    /// The most bytes of one name. Stops names that fill the memory, and those that no file system takes.
    pub name_bytes: usize,
    /// The most folders that one name may lead through. No cache has more than ten.
    pub depth: usize,
    /// The most bytes of all names together. Stops names that fill the memory of a caller that remembers them: half a million
    /// long ones would take gigabytes. As many entries of a cache take 50 MB.
    pub all_names: u64,
    /// The most bytes that one archived byte may turn into. Stops bombs: blobs are compressed already and hardly shrink,
    /// records shrink to a tenth, while a bomb of zeros shrinks to a thousandth.
    pub ratio: u64,
    /// What an entry, and an archive, may hold in any case: a small text of one repeated line is no bomb.
    pub slack: u64,
    /// The most bytes of a header that has to be in memory: the extended ones of tar (pax, or a long name of GNU tar), and all
    /// that is read to find the end of a zip archive's directory. Stops a header of many gigabytes, and an archive with ten
    /// thousand such ends.
    pub header_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 500_000,
            name_bytes: 4096,
            depth: 64,
            all_names: 64 << 20,
            ratio: 200,
            slack: 1 << 20,
            header_bytes: 1 << 20,
        }
    }
}

impl Limits {
    /// The most bytes that may come out of so many archived ones.
    pub(super) fn most_from(&self, archived: u64) -> u64 {
        archived.saturating_mul(self.ratio).saturating_add(self.slack)
    }

    /// The problem that there are more.
    pub(super) fn bomb(&self, archived: u64) -> Problem {
        let limit = self.most_from(archived);
        Problem::Foreign(format!("it is a bomb: {archived} archived bytes would become more than {limit}").into())
    }
}
