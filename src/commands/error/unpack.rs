//! Why nothing was unpacked.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// An archive that does not fit to the configured caches.
#[derive(Debug, Error, Diagnostic)]
pub enum UnpackError {
    /// None of its entries is for one of them.
    #[error("`{}` holds nothing for the configured caches", path.display())]
    #[diagnostic(help(
        "it holds {}; the caches are at {}. Paths in an archive are relative to the project folder: name one of its folders \
         under `path:` of a cache in larder.yaml",
        Self::names(holds),
        Self::names(caches)
    ))]
    NothingForCaches {
        /// The archive.
        path: PathBuf,
        /// The folders in it.
        holds: Vec<String>,
        /// The paths of the caches.
        caches: Vec<String>,
    },
}

impl UnpackError {
    /// Some names, for a sentence.
    pub(in crate::commands) fn names(names: &[String]) -> String {
        let shown: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
        match names.len() {
            0 => "nothing".to_owned(),
            1..=5 => shown.join(", "),
            more => format!("{} and {} more", shown.join(", "), more - 5),
        }
    }
}
