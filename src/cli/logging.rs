//! `-v`: a log on standard error for finding faults. What every run has to say goes through the reporter instead.

use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::console::{Console, Verbosity};
use super::outcome::Failure;
use super::palette::Palette;
use super::progress::Screen;

/// Log to standard error, above the bars where `screen` draws some. `log_filter` is the value of `LARDER_LOG`.
pub(crate) fn init(console: Console, screen: &Arc<Screen>, log_filter: Option<&str>) -> Result<(), Failure> {
    let screen = Arc::clone(screen);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(console.verbosity, log_filter)?)
        .with_ansi(console.err == Palette::Coloured)
        .with_target(console.verbosity >= Verbosity::Verbose(2))
        .without_time()
        .with_writer(move || LogLine(Arc::clone(&screen)))
        .finish();
    // An error only says that there is a log already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

fn filter(verbosity: Verbosity, log_filter: Option<&str>) -> Result<EnvFilter, Failure> {
    if let Some(text) = log_filter.filter(|text| !text.trim().is_empty()) {
        let invalid = |source| Failure::LogFilter { text: text.to_owned(), source };
        return EnvFilter::builder().parse(text).map_err(invalid);
    }
    // Other crates are logged only where everything is asked for.
    Ok(EnvFilter::new(match verbosity {
        Verbosity::Quiet => "error",
        Verbosity::Normal | Verbosity::Verbose(0) => "warn",
        Verbosity::Verbose(1) => "warn,larder=info",
        Verbosity::Verbose(2) => "warn,larder=debug",
        Verbosity::Verbose(_) => "debug,larder=trace",
    }))
}

/// Writes one event, which arrives in one piece. The subscriber escapes what starts a terminal sequence, but leaves the
/// characters that start a new line or write over this one.
struct LogLine(Arc<Screen>);

impl Write for LogLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text).replace('\n', r"\n").replace('\r', r"\r");
        self.0.write_line(&line);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_says_more_and_the_variable_wins() {
        let shown = |verbosity, log| filter(verbosity, log).unwrap().to_string();
        assert_eq!(shown(Verbosity::Quiet, None), "error");
        assert_eq!(shown(Verbosity::Normal, Some("")), "warn");
        assert_eq!(shown(Verbosity::Verbose(1), None), "larder=info,warn");
        assert_eq!(shown(Verbosity::Verbose(9), None), "larder=trace,debug");
        assert_eq!(shown(Verbosity::Quiet, Some("trace")), "trace");
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_an_error_that_shows_it() {
        let error = filter(Verbosity::Normal, Some("larder=loud")).unwrap_err();
        assert_eq!(error.to_string(), "`LARDER_LOG` is not a log filter: `larder=loud`");
    }
}
