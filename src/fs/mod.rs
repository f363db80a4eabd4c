//! Files and folders as larder needs them.
//!
//! | module | what it is for |
//! |---|---|
//! | `kind` | what lies at a path, seen without following a link |
//! | `atomic` | files that appear whole or not at all |
//! | `folder` | a hostile folder: where a link in a cache is refused |
//! | `lock` | advisory locks |

mod atomic;
mod folder;
mod kind;
mod lock;

pub(crate) use atomic::{PUBLISHED_MODE, TEMPORARY_PREFIX, open_own_file, publish, temporary_file, write_atomically};
pub(crate) use folder::{Folder, Obstacle};
pub(crate) use kind::{Kind, entries, is_missing, kind, named, read_capped, read_linked, remove, without_links};
pub(crate) use lock::{Exclusion, Lock, open_lock_file, patiently};
