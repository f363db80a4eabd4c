//! The two streams of this process: what they are, and writing to them.

use std::io::{self, Write};

use larder::types::Variables;

use super::global::{GlobalOptions, When};
use super::palette::Palette;

/// How much larder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Those, progress and the closing summary.
    Normal,
    /// And a log: 1 says what is tried again, 2 what is decided, 3 everything.
    Verbose(u8),
}

/// The two streams of this process, as the options and the environment want them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// Colours of standard output.
    pub(crate) out: Palette,
    /// Colours of standard error.
    pub(crate) err: Palette,
    /// The width of the terminal that standard output is, and nothing where it is a file or a pipe.
    pub(crate) width: Option<u16>,
    /// How much is said.
    pub(crate) verbosity: Verbosity,
}

impl Console {
    /// Look at the options, the environment and the streams.
    pub(crate) fn new(options: &GlobalOptions, variables: &Variables) -> Self {
        let in_gitlab = variables.set("GITLAB_CI").is_some();
        let verbosity = match (options.quiet, options.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, count) => Verbosity::Verbose(count),
        };
        Self {
            out: Palette::for_stream(options.color, &io::stdout()),
            err: match options.color {
                // No terminal, but GitLab shows colours all the same. Standard output stays plain: scripts read it.
                When::Auto
                    if in_gitlab && variables.set("NO_COLOR").is_none() && variables.get("CLICOLOR") != Some("0") =>
                {
                    Palette::Coloured
                }
                choice => Palette::for_stream(choice, &io::stderr()),
            },
            width: terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0),
            verbosity,
        }
    }
}

/// Print a result on standard output. A reader that went away (`larder list | head`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), text)
}

/// Print a message on standard error. Where even that fails, no channel is left to report it.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_reader_that_left_is_forgiven() {
        // What `larder list | head -c 0` is to larder.
        assert!(write(&mut Broken(io::ErrorKind::BrokenPipe), "text").is_ok());
        assert!(write(&mut Broken(io::ErrorKind::StorageFull), "text").is_err());
    }
}
