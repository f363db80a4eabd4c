//! `keep:`: what stays in a cache after a job.

use bytesize::ByteSize;

use super::complaint::Complaint;
use super::reader::{Problem, Reader, flag};
use super::shape::{Text, TextOr, shape};
use super::slack::Slack;
use crate::types::{MaxAge, shorten};
use crate::yaml;

/// What stays in a cache after a job. Whatever it says, what the job itself needs stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    All,
    /// What the lockfiles of the environments name, and nothing else: for caches that belong to one branch.
    Lockfile,
    /// What was used lately. At least one of the two bounds is there.
    Used {
        /// A blob that no job needed for so long goes.
        max_age: Option<MaxAge>,
        /// What was not needed for the longest time goes until the rest is no larger than this.
        max_size: Option<ByteSize>,
        /// What holds for blobs that the lockfiles name.
        lockfile: LockfileBlobs,
    },
}

/// What a policy of age and size does with blobs that the lockfiles of the environments name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockfileBlobs {
    /// They age like any other.
    #[default]
    LikeOthers,
    /// They stay, however old and large: `lockfile: true`.
    Kept,
}

impl Default for Keep {
    /// What was used in the last 30 days.
    fn default() -> Self {
        Self::Used { max_age: Some(MaxAge::days(30)), max_size: None, lockfile: LockfileBlobs::LikeOthers }
    }
}

shape! {
    /// `keep:` in its long form.
    KeepShape, "`all`, `lockfile`, or a map with `max-age`, `max-size`, `lockfile` or `slack`" {
        "max-age" => max_age: Text,
        "max-size" => max_size: Text,
        "lockfile" => lockfile: Text,
        "slack" => slack: Text,
    }
}

impl Keep {
    /// What stays, and how much of the rest may stay as well until it is worth an upload to be rid of it.
    pub(super) fn read(reader: &Reader<'_>, shape: &TextOr<KeepShape>) -> Result<(Self, Slack), Problem> {
        let shape = match shape {
            TextOr::Text(text) => return Ok((reader.read(text, word)?, Slack::NONE)),
            TextOr::Other(shape) => shape,
        };
        let max_age = reader.read_key("max-age", shape.max_age.as_ref(), str::parse::<MaxAge>)?;
        let max_size = reader.read_key("max-size", shape.max_size.as_ref(), size)?;
        let lockfile = reader.read_key("lockfile", shape.lockfile.as_ref(), flag)?.unwrap_or_default();
        let slack = reader.read_key("slack", shape.slack.as_ref(), |text| {
            text.parse::<Slack>().map_err(|error| Complaint::new(error.to_string()))
        })?;
        let keep = match (max_age, max_size, lockfile) {
            (None, None, true) => Self::Lockfile,
            (None, None, false) if slack.is_some() => Self::default(),
            (None, None, false) => {
                return Err(reader.problem(
                    Complaint::new("`keep` says nothing: it has neither `max-age` nor `max-size`").help(
                        "`keep: all` keeps everything; without `keep`, what was used in the last 30 days is kept",
                    ),
                ));
            }
            (_, _, true) => Self::Used { max_age, max_size, lockfile: LockfileBlobs::Kept },
            (_, _, false) => Self::Used { max_age, max_size, lockfile: LockfileBlobs::LikeOthers },
        };
        Ok((keep, slack.unwrap_or_default()))
    }
}

/// The short forms of `keep:`.
const WORDS: &[&str] = &["all", "lockfile"];

fn word(text: &str) -> Result<Keep, Complaint> {
    match text {
        "all" => return Ok(Keep::All),
        "lockfile" => return Ok(Keep::Lockfile),
        _ => {}
    }
    // Somebody who writes `keep: 30d` means something, and it is plain what.
    let help = if text.parse::<MaxAge>().is_ok() {
        format!("write `keep: {{ max-age: {text} }}`")
    } else if text.parse::<ByteSize>().is_ok() {
        format!("write `keep: {{ max-size: {text} }}`")
    } else {
        format!("{} (a map such as `{{ max-age: 30d, max-size: 20GiB }}` will do, too)", yaml::hint(text, WORDS))
    };
    Err(Complaint::new(format!("`{}` is not a way to keep blobs", shorten(text))).help(help))
}

pub(super) fn size(text: &str) -> Result<ByteSize, Complaint> {
    text.parse().map_err(|_| {
        Complaint::new(format!("`{}` is not a size", shorten(text)))
            .help("expected a number with a unit, such as `20GiB`, `500MB` or `1.5TiB`")
    })
}
