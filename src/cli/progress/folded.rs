//! Progress in a GitLab job log: the lines of validation and of downloads, each folded into a section.

use larder::reporter::{ItemId, Phase};

use super::lines::Lines;
use super::{View, doing, items};
use crate::cli::console::size;
use crate::cli::sections::Sections;

/// Lines in sections.
pub(super) struct Folded {
    lines: Lines,
    sections: Sections,
}

impl Folded {
    pub(super) fn new(lines: Lines, sections: Sections) -> Self {
        Self { lines, sections }
    }
}

/// Part of the name of the phase's section; asking mirrors says a line or two, which need no folding.
fn topic(phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Metadata => None,
        Phase::Validate => Some("validate"),
        Phase::Fetch => Some("fetch"),
        Phase::Export => Some("export"),
        Phase::Pack => Some("pack"),
        Phase::Unpack => Some("unpack"),
    }
}

impl View for Folded {
    fn phase_started(&self, phase: Phase, count: u64, bytes: Option<u64>) {
        if let Some(topic) = topic(phase) {
            let bytes = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
            let count = if count == 0 { String::new() } else { format!("{count} ") };
            self.sections.begin(topic, &format!("{} {count}{}{bytes}", doing(phase), items(phase)));
        }
        self.lines.phase_started(phase, count, bytes);
    }

    fn item_started(&self, phase: Phase, item: ItemId, name: &str, bytes: Option<u64>) {
        self.lines.item_started(phase, item, name, bytes);
    }

    fn item_advanced(&self, phase: Phase, item: ItemId, bytes: i64) {
        self.lines.item_advanced(phase, item, bytes);
    }

    fn item_finished(&self, phase: Phase, item: ItemId) {
        self.lines.item_finished(phase, item);
    }

    fn phase_finished(&self, phase: Phase) {
        self.lines.phase_finished(phase);
        if topic(phase).is_some() {
            self.sections.end();
        }
    }
}
