//! Collapsible sections of a GitLab job log.
//!
//! A section is opened and closed by a control sequence with a time and a name; GitLab folds what is between them, and shows
//! how long it took. A warning in a folded section would not be seen, so the section is closed before it, and opened again
//! only if there is more to say.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::console::tell;

/// A log with sections.
pub(crate) struct Sections {
    state: Mutex<State>,
    /// Seconds since 1970.
    clock: fn() -> u64,
    sink: Box<dyn Fn(&str) + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// The section that lines belong to now.
    current: Option<Current>,
    /// How many were opened so far: each needs a name of its own.
    opened: u32,
}

struct Current {
    topic: &'static str,
    header: String,
    /// Its name while it is open.
    name: Option<String>,
}

impl Sections {
    /// Sections on standard error.
    pub(crate) fn new() -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        Self::with(clock, Box::new(tell))
    }

    fn with(clock: fn() -> u64, sink: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { state: Mutex::default(), clock, sink }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begin a section: `topic` is part of its name, `header` is what is seen while it is folded.
    pub(crate) fn begin(&self, topic: &'static str, header: &str) {
        let mut state = self.state();
        self.close(&mut state);
        state.current = Some(Current { topic, header: header.to_owned(), name: None });
        self.open(&mut state);
    }

    /// A line, in the section if one has begun.
    pub(crate) fn line(&self, line: &str) {
        let mut state = self.state();
        self.open(&mut state);
        (self.sink)(&format!("{line}\n"));
    }

    /// A line that must be seen.
    pub(crate) fn line_outside(&self, line: &str) {
        let mut state = self.state();
        self.close(&mut state);
        (self.sink)(&format!("{line}\n"));
    }

    /// End the section, if one has begun.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        self.close(&mut state);
        state.current = None;
    }

    fn open(&self, state: &mut State) {
        let Some(current) = state.current.as_mut().filter(|current| current.name.is_none()) else { return };
        state.opened += 1;
        let name = format!("larder_{}_{}", current.topic, state.opened);
        let time = (self.clock)();
        let header = &current.header;
        (self.sink)(&format!("\u{1b}[0Ksection_start:{time}:{name}[collapsed=true]\r\u{1b}[0K{header}\n"));
        current.name = Some(name);
        if !current.header.ends_with(CONTINUED) {
            current.header.push_str(CONTINUED);
        }
    }

    fn close(&self, state: &mut State) {
        if let Some(name) = state.current.as_mut().and_then(|current| current.name.take()) {
            (self.sink)(&format!("\u{1b}[0Ksection_end:{}:{name}\r\u{1b}[0K\n", (self.clock)()));
        }
    }
}

/// Behind the header of a section that a warning interrupted.
const CONTINUED: &str = " (continued)";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn log() -> (Sections, Arc<Mutex<String>>) {
        let said = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&said);
        (Sections::with(|| 17, Box::new(move |text| sink.lock().unwrap().push_str(text))), said)
    }

    #[test]
    fn a_section_is_written_as_gitlab_reads_it() {
        let (log, said) = log();
        log.line("before");
        log.begin("fetch", "fetching 2 files");
        log.line("half");
        log.end();
        log.end();
        log.line("after");
        assert_eq!(
            *said.lock().unwrap(),
            "before\n\u{1b}[0Ksection_start:17:larder_fetch_1[collapsed=true]\r\u{1b}[0Kfetching 2 files\nhalf\n\
             \u{1b}[0Ksection_end:17:larder_fetch_1\r\u{1b}[0K\nafter\n"
        );
    }

    #[test]
    fn a_warning_closes_the_section_and_the_next_line_opens_it_again() {
        let (log, said) = log();
        log.begin("validate", "validating");
        log.line_outside("warning: a");
        log.line_outside("warning: b");
        log.line("more");
        log.line_outside("warning: c");
        log.end();
        let said = said.lock().unwrap().replace("\u{1b}[0K", "").replace('\r', " ");
        assert_eq!(
            said,
            "section_start:17:larder_validate_1[collapsed=true] validating\nsection_end:17:larder_validate_1 \n\
             warning: a\nwarning: b\nsection_start:17:larder_validate_2[collapsed=true] validating (continued)\nmore\n\
             section_end:17:larder_validate_2 \nwarning: c\n"
        );
    }
}
