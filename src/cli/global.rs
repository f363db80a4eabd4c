//! The options that every command understands.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use larder::types::{InvalidMirrorUrl, MirrorUrl, Signatures};

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that people type")]
pub(crate) struct GlobalOptions {
    /// Configuration file [default: larder.yaml, where there is one]
    #[arg(long, value_name = "FILE", env = "LARDER_CONFIG", hide_env_values = true, global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Environment: its folder, or a lockfile; may be repeated [default: the configured ones, else `.`]
    #[arg(short, long = "environment", value_name = "PATH", global = true)]
    pub(crate) environments: Vec<PathBuf>,
    /// Mirror to use instead of the configured ones; may be repeated, the first that has a spec wins
    #[arg(long = "mirror", value_name = "URL", value_parser = mirror_url, global = true)]
    pub(crate) mirrors: Vec<MirrorUrl>,
    /// The mirrors given by `--mirror` need no signatures
    #[arg(long, global = true)]
    pub(crate) unsigned: bool,
    /// Act on this cache only; may be repeated
    #[arg(long = "cache", value_name = "NAME", global = true)]
    pub(crate) caches: Vec<String>,
    /// Print the report as JSON on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more: what is tried again (-v), what is decided (-vv), everything (-vvv)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Say nothing but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub(crate) quiet: bool,
    /// Colours; `auto` looks at the terminal, `GITLAB_CI`, `NO_COLOR` and `CLICOLOR_FORCE`
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub(crate) color: When,
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
    pub(crate) gitlab_sections: When,
    /// Plain lines instead of progress bars, as in a job log
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// When to use colours, and when to write sections of a GitLab job log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

impl GlobalOptions {
    /// What is asked of the mirrors given by `--mirror`.
    pub(crate) fn signatures(&self) -> Signatures {
        Signatures::from(!self.unsigned)
    }
}

/// A mirror's URL, or a path relative to the current folder as Spack takes it.
fn mirror_url(text: &str) -> Result<MirrorUrl, InvalidMirrorUrl> {
    let here = std::env::current_dir().unwrap_or_else(|_| Path::new("").to_owned());
    MirrorUrl::parse(text, &here)
}
