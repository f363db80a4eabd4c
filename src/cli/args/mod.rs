//! The command line.
//!
//! Values are parsed into the domain's types here, so that a wrong one ends with a usage error (exit code 2) before
//! anything is read or asked. What is left out is `None` or empty: the configuration decides then.

mod help;
mod selection;

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use larder::types::{InvalidMirrorUrl, MaxAge, MirrorUrl, PublicUrl};

pub use selection::{BuildDepsOption, SelectionOptions};

/// Like cargo's help.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    about = help::ABOUT,
    styles = STYLES,
    max_term_width = 100,
    after_help = help::LARDER,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the job needs and where each binary would come from; change nothing
    #[command(after_help = help::PLAN)]
    Plan(SelectionOptions),
    /// Write a first larder.yaml and the lines for the pipeline, from what is in this folder
    #[command(after_help = help::INIT)]
    Init(InitOptions),
    /// Before the job: check the caches, download what is missing, make the local mirror
    #[command(after_help = help::PREPARE)]
    Prepare(FillOptions),
    /// After the job: prune the caches, so that the runner uploads only what is worth it
    #[command(after_help = help::FINISH)]
    Finish(FinishOptions),
    /// Push what this job built from source into the folder that GitLab caches for the branch
    #[command(after_help = help::COLLECT)]
    Collect(CollectOptions),
    /// Fill the caches by hand, for whole environments
    #[command(after_help = help::WARM)]
    Warm(FillOptions),
    /// Write the environments and their binaries to a folder for a site without a network
    #[command(after_help = help::EXPORT)]
    Export(ExportOptions),
    /// Hash every blob of the caches and say which ones are corrupt
    #[command(after_help = help::VERIFY)]
    Verify(VerifyOptions),
    /// Show what the caches hold, for whom, how large, and when it was last used
    #[command(after_help = help::LIST)]
    List(ListOptions),
    /// Make room in the caches that are in object stores, by what jobs needed lately
    #[command(after_help = help::PRUNE)]
    Prune(PruneOptions),
    /// Empty the caches
    #[command(after_help = help::CLEAN)]
    Clean(CleanOptions),
    /// Write caches into an archive as the runner does
    #[command(after_help = help::PACK)]
    Pack(PackOptions),
    /// Read an archive of the runner, or of `pack`, into the caches; everything in it is checked
    #[command(after_help = help::UNPACK)]
    Unpack(UnpackOptions),
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that people type")]
pub struct GlobalOptions {
    /// Configuration file [default: larder.yaml, where there is one]
    #[arg(long, value_name = "FILE", env = "LARDER_CONFIG", hide_env_values = true, global = true)]
    pub config: Option<PathBuf>,
    /// Environment: its folder, or a lockfile; may be repeated [default: the configured ones, else `.`]
    #[arg(short, long = "environment", value_name = "PATH", global = true)]
    pub environments: Vec<PathBuf>,
    /// Mirror to use instead of the configured ones; may be repeated, the first that has a spec wins
    #[arg(long = "mirror", value_name = "URL", value_parser = mirror_url, global = true)]
    pub mirrors: Vec<MirrorUrl>,
    /// The mirrors given by `--mirror` need no signatures
    #[arg(long, global = true)]
    pub unsigned: bool,
    /// Act on this cache only; may be repeated
    #[arg(long = "cache", value_name = "NAME", global = true)]
    pub caches: Vec<String>,
    /// Print the report as JSON on standard output, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more: what is tried again (-v), what is decided (-vv), everything (-vvv)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub quiet: bool,
    /// Colours; `auto` looks at the terminal, `GITLAB_CI`, `NO_COLOR` and `CLICOLOR_FORCE`
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub color: ColorOption,
    /// Fold progress into sections of a GitLab job log; `auto` looks at `GITLAB_CI`
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        default_missing_value = "always",
        num_args = 0..=1,
        require_equals = true,
        global = true
    )]
    pub gitlab_sections: SectionsOption,
    /// Plain lines instead of progress bars, as in a job log
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorOption {
    #[default]
    Auto,
    Always,
    Never,
}

/// When to write sections of a GitLab job log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SectionsOption {
    #[default]
    Auto,
    Always,
    Never,
}

/// Options of `init`.
#[derive(Clone, Debug, Args)]
pub struct InitOptions {
    /// Print both on standard output, and write no file
    #[arg(long)]
    pub print: bool,
}

/// Options of `prepare` and `warm`.
#[derive(Clone, Debug, Default, Args)]
pub struct FillOptions {
    /// Which specs.
    #[command(flatten)]
    pub selection: SelectionOptions,
    /// Add what was fetched to the caches in object stores at once, not in `finish`; `warm` adds all that they lack
    #[arg(long)]
    pub push: bool,
}

/// Options of `prune`.
#[derive(Clone, Debug, Args)]
pub struct PruneOptions {
    /// Remove what no job needed for so long, as in `30d` [default: the cache's `keep`]
    #[arg(long, value_name = "TIME")]
    pub max_age: Option<MaxAge>,
    /// Remove what was unused for longest until the rest is no larger, as in `500GiB` [default: the cache's `keep`]
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<ByteSize>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `finish`.
#[derive(Clone, Debug, Args)]
pub struct FinishOptions {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// First push what this job built, as `larder collect` does, but for 200 seconds at most, all pushing together
    #[arg(long)]
    pub collect: bool,
    /// For `--collect`: the program `spack`
    #[arg(long, value_name = "PATH", requires = "collect")]
    pub spack: Option<PathBuf>,
    /// For `--collect`: root of the install tree; may be repeated
    #[arg(long = "installed", value_name = "ROOT", requires = "collect")]
    pub installed: Vec<PathBuf>,
}

/// Options of `collect`.
#[derive(Clone, Debug, Args)]
pub struct CollectOptions {
    /// Say what would be pushed, and push nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The program `spack` [default: the one on the PATH, else `$SPACK_ROOT/bin/spack`]
    #[arg(long, value_name = "PATH")]
    pub spack: Option<PathBuf>,
    /// Root of the install tree that this job installed into; may be repeated [default: the one that the environment's
    /// configuration names]
    #[arg(long = "installed", value_name = "ROOT")]
    pub installed: Vec<PathBuf>,
}

/// Options of `export`.
#[derive(Clone, Debug, Args)]
pub struct ExportOptions {
    /// The folder: a new or empty one, or an earlier export, to which what is missing is added
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Which specs.
    #[command(flatten)]
    pub selection: SelectionOptions,
}

/// Options of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyOptions {
    /// Remove corrupt blobs; the next `prepare` fetches them again
    #[arg(long)]
    pub delete: bool,
}

/// Options of `list`.
#[derive(Clone, Debug, Args)]
pub struct ListOptions {
    /// What comes first: the alphabet, the largest, or what was unused for longest (as pruning takes it)
    #[arg(long, value_enum, value_name = "BY", default_value_t)]
    pub sort: SortOption,
}

/// What comes first in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SortOption {
    #[default]
    Name,
    Size,
    Used,
}

/// Options of `clean`.
#[derive(Clone, Debug, Args)]
pub struct CleanOptions {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `pack`.
#[derive(Clone, Debug, Args)]
pub struct PackOptions {
    /// Names of the caches, as with `--cache` [default: all]
    #[arg(value_name = "CACHE")]
    pub names: Vec<String>,
    /// The archive to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite the archive if there is one
    #[arg(long)]
    pub force: bool,
}

/// Options of `unpack`.
#[derive(Clone, Debug, Args)]
pub struct UnpackOptions {
    /// The archive: zip, or tar compressed with zstd, whatever its name
    #[arg(value_name = "ARCHIVE")]
    pub archive: PathBuf,
    /// Check the archive and list what it holds for the caches, and unpack nothing
    #[arg(long, visible_alias = "list")]
    pub dry_run: bool,
}

impl Cli {
    /// Read the command line of this process. Ends it where there is nothing to do but to say something: help, the
    /// version, a usage error.
    pub fn from_process() -> Self {
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
        Ok(self)
    }
}

/// clap repeats a value that it does not accept: of a URL, only what may be printed.
fn without_password(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) {
        let shown = PublicUrl::of_text(value).into();
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}

/// A mirror's URL, or a path relative to the current folder as Spack takes it.
fn mirror_url(text: &str) -> Result<MirrorUrl, InvalidMirrorUrl> {
    let here = std::env::current_dir().unwrap_or_else(|_| Path::new("").to_owned());
    MirrorUrl::parse(text, &here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).and_then(Cli::checked)
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_examples_that_it_understands() {
        for command in Cli::command().get_subcommands() {
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
        for command in Cli::command().get_subcommands() {
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
            ("larder plan --gitlab-sections=sometimes", ErrorKind::InvalidValue),
            ("larder finish --spec x", ErrorKind::UnknownArgument),
            ("larder plann", ErrorKind::InvalidSubcommand),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}");
        }
    }
}
