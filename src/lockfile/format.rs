//! The number of a lockfile's format, and what is known of it.
//!
//! | format | Spack | what is new |
//! |---|---|---|
//! | 4 | 0.18 to 0.20 | nodes under their DAG hash |
//! | 5 | 0.21 to 0.23 | virtuals on the edges; included environments |
//! | 6 | 1.0 and later | compilers are dependencies |
//! | 7 | 1.2 | roots name their group; written only where an environment has groups |
//! | 8 | 1.3 | nodes list what they provide (`provided_virtuals`), which counts for the DAG hash and for nothing here |

/// The oldest format that is read: before it, nodes lie under other hashes than those of mirrors.
pub(super) const OLDEST: u32 = 4;

/// The newest format that larder knows.
pub(super) const NEWEST: u32 = 8;

/// The format of a lockfile that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One of those above.
    Known(u32),
    /// One that is newer than this larder, and looks as if it said the same in the same way.
    Newer(u32),
}

impl Format {
    /// What a number means; `None` for one of a distant past.
    pub(super) fn of(number: u32) -> Option<Self> {
        match number {
            0..OLDEST => None,
            OLDEST..=NEWEST => Some(Self::Known(number)),
            _ => Some(Self::Newer(number)),
        }
    }

    /// What is worth telling, one sentence.
    pub(crate) fn note(self) -> Option<String> {
        let Self::Newer(number) = self else { return None };
        Some(format!(
            "it has lockfile format {number}, and the newest that this larder knows is {NEWEST}: it was read as that one, since it has its shape; a newer larder may know better"
        ))
    }
}
