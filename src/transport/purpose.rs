//! What a body is for: it decides which connection brings it.

/// What a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A document: many small ones, which may share connections.
    Document,
    /// A blob: each has a connection of its own, since a limit on one connection must not be one on all.
    Blob,
}
