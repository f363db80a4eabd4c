//! The whole command line.
//!
//! Values are parsed into the domain's types here, so that a wrong one ends with a usage error (exit code 2) before
//! anything is read or asked. What is left out is `None` or empty: the configuration decides then.

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser};
use larder::types::PublicUrl;

use super::commands::Command;
use super::global::GlobalOptions;

/// Like cargo's help.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    about = "\
Keep Spack binaries between GitLab CI jobs

Reads the lockfile of a Spack environment, works out which binaries the job needs, checks those that \
GitLab restored byte for byte, downloads only what is missing, and hands Spack a local mirror. After the \
job it prunes its caches and leaves them so that the runner uploads only what changed.",
    styles = STYLES,
    max_term_width = 100,
    after_help = "\
Examples:
  larder run -- spack -e . install  # all of the following, and concretizes where there is no lockfile
  larder prepare   # in before_script: check caches, fetch what is missing
  spack -C .larder/job/spack -e . install --cache-only
  larder finish    # in after_script: prune the caches

Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 done, but something is in no mirror (--require-all);
`run`: that of its command",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl CommandLine {
    /// Read the command line of this process. Ends it where there is nothing to do but to say something: help, the
    /// version, a usage error.
    pub(crate) fn from_process() -> Self {
        let read = Self::try_parse().map_err(without_password).and_then(Self::checked);
        read.unwrap_or_else(|error| error.exit())
    }

    /// What clap can't check by itself: a global option may stand before the command and the one it needs behind it.
    fn checked(self) -> Result<Self, clap::Error> {
        if self.global.unsigned && self.global.mirrors.is_empty() {
            let text = "`--unsigned` is about the mirrors given by `--mirror`, and there is none";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, text));
        }
        if self.global.json && matches!(self.command, Command::Init(_)) {
            let text = "`init` has no report for `--json`: it writes files, or prints them with `--print`";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, text));
        }
        if self.global.json && matches!(self.command, Command::Run(_)) {
            let text = "`run` leaves standard output to the command: its reports are in `.larder/job/report.json`";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, text));
        }
        Ok(self)
    }
}

/// clap repeats a value that it does not accept: of a URL, only what may be printed.
fn without_password(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) {
        let shown = PublicUrl::of_text(value).to_string();
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split_whitespace()).and_then(CommandLine::checked)
    }

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_examples_that_it_understands() {
        for command in CommandLine::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            let help = command.get_after_help().unwrap().to_string();
            let examples: Vec<_> = help.lines().map(str::trim).filter(|line| line.starts_with("larder ")).collect();
            assert!(help.contains("Examples:\n") && !examples.is_empty(), "{}", command.get_name());
            for example in examples {
                let line = example.split("  #").next().unwrap().replace('\'', "");
                assert!(line.contains(command.get_name()), "{line}");
                parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    #[test]
    fn global_options_are_understood_before_and_after_the_command() {
        for line in ["larder -e a -e b --json plan", "larder plan -e a -e b --json", "larder --json plan -e a -e b"] {
            let global = parse(line).unwrap().global;
            assert_eq!(global.environments, [Path::new("a"), Path::new("b")], "{line}");
            assert!(global.json, "{line}");
        }
        assert!(parse("larder --unsigned plan --mirror https://host/x").is_ok());
        assert!(parse("larder --mirror https://host/x plan --unsigned").is_ok());
    }

    #[test]
    fn help_fits_a_terminal_and_begins_with_what_the_command_does() {
        for command in CommandLine::command().get_subcommands() {
            let line = format!("larder {} --help", command.get_name());
            let help = parse(&line).unwrap_err().to_string();
            assert!(help.starts_with(&command.get_about().unwrap().to_string()), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        }
    }

    #[test]
    fn a_mirror_is_a_url_or_a_path_from_here() {
        let global = parse("larder plan --mirror https://host/x/ --mirror sub --unsigned").unwrap().global;
        let here = std::env::current_dir().unwrap().join("sub");
        assert_eq!(global.mirrors[0].to_string(), "https://host/x");
        assert_eq!(global.mirrors[1].to_path().unwrap(), here);
        assert!(global.unsigned);
    }

    #[test]
    fn wrong_values_are_usage_errors() {
        for (line, kind) in [
            ("larder plan --mirror gopher://x", ErrorKind::ValueValidation),
            ("larder plan --hash ../x", ErrorKind::ValueValidation),
            ("larder plan --spec a/b", ErrorKind::ValueValidation),
            ("larder plan --build-deps some", ErrorKind::InvalidValue),
            ("larder plan --unsigned", ErrorKind::MissingRequiredArgument),
            ("larder plan -q -v", ErrorKind::ArgumentConflict),
            ("larder init --json", ErrorKind::ArgumentConflict),
            ("larder run --json -- true", ErrorKind::ArgumentConflict),
            ("larder run", ErrorKind::MissingRequiredArgument),
            ("larder run --concretize=sometimes -- true", ErrorKind::InvalidValue),
            ("larder plan --gitlab-sections=sometimes", ErrorKind::InvalidValue),
            ("larder finish --spec x", ErrorKind::UnknownArgument),
            ("larder plann", ErrorKind::InvalidSubcommand),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}");
        }
    }
}
