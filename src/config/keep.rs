//! `keep:`: what stays in a cache after a job.

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use super::slack::Slack;
use super::text::{Flag, Size, TextOr, from_text, not, text_types};
use crate::types::MaxAge;
use crate::yaml::{self, Problem, Result};

/// What stays in a cache after a job. Whatever it says, what the job itself needs stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "TextOr<KeepWord, KeepRules>")]
pub enum Keep {
    /// Everything.
    All,
    /// What the rules let stay.
    Rules(KeepRules),
}

/// What stays. At least one of `max-age`, `max-size` and `lockfile` is there; with `lockfile` alone, what the lockfiles name
/// stays and nothing else does: for caches that belong to one branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "`all`, `lockfile`, or a map with `max-age`, `max-size`, `lockfile` or `slack`"
)]
pub struct KeepRules {
    /// What no job needed for so long goes.
    pub max_age: Option<MaxAge>,
    /// What was not needed for the longest time goes until the rest is no larger than this.
    pub max_size: Option<Size>,
    /// Whether what the lockfiles of the environments name stays, however old and large it is. Default: `false`.
    #[serde(default)]
    #[schemars(with = "Option<Flag>")]
    pub lockfile: LockfileBlobs,
    /// The share of the rest that may stay as well, until it is worth an upload to be rid of it. Default: nothing.
    pub slack: Option<Slack>,
}

/// What rules of age and size do with blobs that the lockfiles of the environments name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<Flag>")]
pub enum LockfileBlobs {
    /// They age like any other.
    #[default]
    LikeOthers,
    /// They stay, however old and large: `lockfile: true`.
    Kept,
}

impl Keep {
    /// What the lockfiles name, and nothing else.
    pub(super) const LOCKFILE: Self =
        Self::Rules(KeepRules { max_age: None, max_size: None, lockfile: LockfileBlobs::Kept, slack: None });

    /// How much waste may stay until it is worth an upload to be rid of it.
    pub fn slack(self) -> Slack {
        match self {
            Self::All => Slack::NONE,
            Self::Rules(rules) => rules.slack.unwrap_or_default(),
        }
    }
}

impl Default for Keep {
    /// What was used in the last 30 days.
    fn default() -> Self {
        Self::Rules(KeepRules { max_age: Some(MaxAge::days(30)), ..KeepRules::default() })
    }
}

impl From<Option<Flag>> for LockfileBlobs {
    fn from(flag: Option<Flag>) -> Self {
        if let Some(Flag(true)) = flag { Self::Kept } else { Self::LikeOthers }
    }
}

impl TryFrom<TextOr<KeepWord, KeepRules>> for Keep {
    type Error = Problem;

    fn try_from(keep: TextOr<KeepWord, KeepRules>) -> Result<Self> {
        let rules = match keep {
            TextOr::Text(KeepWord(keep)) => return Ok(keep),
            TextOr::Other(rules) => rules,
        };
        if rules == KeepRules::default() {
            return Err(Problem::new("`keep` says nothing: it has neither `max-age` nor `max-size`")
                .help("`keep: all` keeps everything; without `keep`, what was used in the last 30 days is kept"));
        }
        if rules == (KeepRules { slack: rules.slack, ..KeepRules::default() }) {
            return Ok(Self::Rules(KeepRules { max_age: Some(MaxAge::days(30)), ..rules }));
        }
        Ok(Self::Rules(rules))
    }
}

text_types! {
    /// The short forms of `keep:`.
    KeepWord(Keep) = keep_word => "string",
}

fn keep_word(text: &str) -> Result<Keep> {
    match text {
        "all" => return Ok(Keep::All),
        "lockfile" => return Ok(Keep::LOCKFILE),
        _ => {}
    }
    // What `keep: 30d` is meant to say is plain.
    let help = if text.parse::<MaxAge>().is_ok() {
        format!("write `keep: {{ max-age: {text} }}`")
    } else if text.parse::<ByteSize>().is_ok() {
        format!("write `keep: {{ max-size: {text} }}`")
    } else {
        let hint = yaml::hint(text, &["all", "lockfile"]);
        format!("{hint} (a map such as `{{ max-age: 30d, max-size: 20GiB }}` will do, too)")
    };
    Err(not(text, "a way to keep blobs").help(help))
}
