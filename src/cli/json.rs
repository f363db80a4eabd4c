//! `--json`: the report as data on standard output, and nothing else there.

use std::io::{self, Write};

use larder::report::Report;

use super::console::until_closed;

/// Print the report. A reader that went away is no error.
pub fn print(report: &Report) -> io::Result<()> {
    write(&mut io::stdout().lock(), report)
}

/// Write the report as indented JSON with a newline at its end.
fn write(out: &mut impl Write, report: &Report) -> io::Result<()> {
    // In one piece: serde would make a system call of every comma.
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    until_closed(out.write_all(&text).and_then(|()| out.flush()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    /// What `larder list --json | head -c 0` is to larder.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let mut text = Vec::new();
        write(&mut text, &samples::prepared()).unwrap();
        assert!(text.ends_with(b"}\n"));
        let report: Report = serde_json::from_slice(&text).unwrap();
        assert_eq!(report.specs.len(), samples::prepared().specs.len());
    }

    #[test]
    fn a_closed_pipe_is_a_success() {
        write(&mut Closed, &samples::prepared()).unwrap();
    }
}
