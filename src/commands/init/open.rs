//! What `init` can't know and leaves open: lines with a marker in what it writes, found again by `larder init --check`.

use std::path::{Path, PathBuf};

use crate::commands::error::CommandError;
use crate::fs::read_linked;

/// The file of a pipeline.
pub(super) const PIPELINE: &str = ".gitlab-ci.yml";

/// What a line with something open says. Not `TODO` alone, which a project may have for other reasons.
pub(super) const MARKER: &str = "# TODO(larder):";

/// The largest file that is looked into. Pipelines of thousands of lines have some hundred kilobytes.
const MAX_FILE: u64 = 4 << 20;

/// A line that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPoint {
    /// The file it is in.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What to do.
    pub text: String,
}

/// What is open in the configuration at `file` and in the pipeline beside it.
pub fn open_points(file: &Path) -> Result<Vec<OpenPoint>, CommandError> {
    let pipeline = file.with_file_name(PIPELINE);
    let (mut found, mut open) = (false, Vec::new());
    for path in [file, &pipeline] {
        let bytes = read_linked(path, MAX_FILE)
            .map_err(|source| CommandError::Init { what: "look for what is open", source })?;
        let Some(bytes) = bytes else { continue };
        found = true;
        open.extend(in_text(path, &String::from_utf8_lossy(&bytes)));
    }
    if found { Ok(open) } else { Err(CommandError::NothingToCheck { files: [file.to_owned(), pipeline] }) }
}

/// The lines of a text with the marker.
pub(super) fn in_text(file: &Path, text: &str) -> Vec<OpenPoint> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let (_, text) = line.split_once(MARKER)?;
            Some(OpenPoint { file: file.to_owned(), line: index + 1, text: text.trim().to_owned() })
        })
        .collect()
}
