//! How Spack gets the job mirror: the option that `prepare` and `run` share.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use larder::config::{Config, HandOver};

/// How Spack gets the job mirror.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct HandOverOptions {
    /// How Spack gets the local mirror: by a `flag`, by programs on the `path`, in spack.yaml of each `environment`, in the
    /// configuration of the `instance`; may be repeated, or a list with commas [default: `hand-over:` of larder.yaml, else
    /// flag for `prepare` and path for `run`]
    #[arg(
        long,
        value_name = "HOW",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(["flag", "path", "environment", "instance"])
            .try_map(|text| text.parse::<HandOver>())
    )]
    hand_over: Vec<HandOver>,
}

impl HandOverOptions {
    /// The ways of the command line, or those of the configuration, or the one that suits the command.
    pub(crate) fn ways(&self, config: &Config, otherwise: HandOver) -> Vec<HandOver> {
        let asked = (!self.hand_over.is_empty()).then(|| self.hand_over.clone());
        asked.or_else(|| config.hand_over.clone()).unwrap_or_else(|| vec![otherwise])
    }
}
