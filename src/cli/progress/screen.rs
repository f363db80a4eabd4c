//! Standard error while a command runs.

use std::sync::Arc;

use indicatif::MultiProgress;

use crate::cli::console::tell;
use crate::cli::sections::Sections;

/// Standard error, with or without bars at its bottom or sections that fold. Clones write to the same one.
#[derive(Clone)]
pub(crate) enum Screen {
    Plain(Arc<dyn Fn(&str) + Send + Sync>),
    Bars(MultiProgress),
    Sections(Sections),
}

impl Screen {
    pub(super) fn plain() -> Self {
        Self::Plain(Arc::new(tell))
    }

    /// Write a line: above the bars, or into the section that has begun.
    pub(crate) fn write_line(&self, line: &str) {
        match self {
            Self::Plain(write) => write(&format!("{line}\n")),
            Self::Bars(bars) => bars.suspend(|| tell(&format!("{line}\n"))),
            Self::Sections(sections) => sections.line(line),
        }
    }

    /// Write a line that must be seen: outside of a folded section.
    pub(crate) fn write_line_outside(&self, line: &str) {
        match self {
            Self::Sections(sections) => sections.line_outside(line),
            Self::Plain(_) | Self::Bars(_) => self.write_line(line),
        }
    }
}
