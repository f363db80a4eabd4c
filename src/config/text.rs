//! How a scalar of `larder.yaml` becomes a value: through `FromStr`, whose error says what to do instead.
//!
//! Numbers and flags are read from their spelling as well, because `${NAME}` may stand for any of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use globset::Glob;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::types::{MaxAge, normalise, shorten};
use crate::yaml::{Problem, Result};

/// Types that wrap what a function makes of a text.
macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident($value:ty) = $parse:expr => $json:tt),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(pub $value);

        impl std::str::FromStr for $name {
            type Err = Problem;

            fn from_str(text: &str) -> Result<Self, Problem> {
                ($parse)(text).map(Self)
            }
        }

        from_text!($name => $json);
    )*};
}
pub(super) use text_types;

/// Lets serde read a type with `FromStr`, and says which types of JSON the schema allows for it.
macro_rules! from_text {
    ($type:ty => $json:tt) => {
        $crate::types::deserialize_as_text!($type);
        $crate::config::text::schema_of_text!($type => $json);
    };
}
pub(super) use from_text;

/// The schema alone, for a type that serde reads already.
macro_rules! schema_of_text {
    ($type:ty => $json:tt) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": $json })
            }
        }
    };
}
pub(super) use schema_of_text;

text_types! {
    /// `true` or `false`.
    #[derive(Copy)]
    Flag(bool) = flag => ["boolean", "string"],
    /// A text that says something.
    Line(String) = line => ["string", "number"],
    /// A path as it is written.
    PathText(String) = path => ["string", "number"],
    /// The name of a variable.
    VariableName(String) = variable_name => "string",
    /// A key of GnuPG.
    KeyId(String) = key_id => ["string", "number"],
    /// Where an object store is reached.
    Endpoint(Url) = endpoint => "string",
    /// A number of bytes.
    #[derive(Copy)]
    Size(ByteSize) = size => ["string", "number"],
    /// A length of time.
    Delay(Duration) = delay => "string",
    /// A length of time in which something must happen.
    Timeout(Duration) = timeout => "string",
    /// Bytes a second.
    Bandwidth(u64) = bandwidth => ["string", "number"],
}
schema_of_text!(MaxAge => "string");

// A text, or something with more structure. (A doc comment would be the description in the schema.)
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum TextOr<T, M> {
    Text(T),
    Other(M),
}

/// A text, or a list of texts.
pub(super) type OneOrMany<T> = TextOr<T, Vec<T>>;

impl<T> OneOrMany<T> {
    /// The list; a single text is a list of one.
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::Text(text) => vec![text],
            Self::Other(list) => list,
        }
    }

    /// The list, or the problem that it is empty.
    pub(super) fn some(self, problem: Problem) -> Result<Vec<T>> {
        Some(self.into_vec()).filter(|list| !list.is_empty()).ok_or(problem)
    }
}

/// The problem of a text that is not what its key asks for.
pub(super) fn not(text: &str, what: &str) -> Problem {
    Problem::new(format!("`{}` is not {what}", shorten(text)))
}

fn flag(text: &str) -> Result<bool> {
    text.parse().map_err(|_| Problem::new(format!("`{}` is neither `true` nor `false`", shorten(text))))
}

/// Not empty, and on one line.
pub(super) fn line(text: &str) -> Result<String> {
    if text.trim().is_empty() {
        Err(Problem::new("the text is empty"))
    } else if text.contains(char::is_control) {
        Err(Problem::new(format!("`{}` holds a line break or another control character", shorten(text))))
    } else {
        Ok(text.to_owned())
    }
}

fn path(text: &str) -> Result<String> {
    if text == "~" || text.starts_with("~/") {
        return Err(Problem::new(format!("`~` is not expanded in `{}`", shorten(text))).help("write `${HOME}`"));
    }
    line(text)
}

impl PathText {
    /// The path made absolute, and cleared of `.` and `..` without asking the file system: what it names may not exist yet.
    pub(super) fn below(&self, root: &Path) -> PathBuf {
        normalise(&root.join(&self.0))
    }
}

/// Whether this can be the name of an environment variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Read as it is written: with variables expanded in it, a secret would be taken for a name, and names are printed.
fn variable_name(name: &str) -> Result<String> {
    if is_variable_name(name) {
        return Ok(name.to_owned());
    }
    // Not shown: it may be the secret itself.
    Err(Problem::new("this is not the name of an environment variable")
        .help("write the name alone, such as `MIRROR_TOKEN`, without `$`; a secret itself has no place in the file"))
}

/// The key goes onto a command line, where one that begins with a dash would be an option.
fn key_id(text: &str) -> Result<String> {
    if text.starts_with('-') {
        let help = "`gpg --list-secret-keys` lists them; a fingerprint or an e-mail address will do";
        return Err(not(text, "the ID of a key").help(help));
    }
    line(text)
}

fn endpoint(text: &str) -> Result<Url> {
    let is_plain =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    Url::parse(&line(text)?).ok().filter(is_plain).ok_or_else(|| {
        Problem::new("this is not the address of an object store")
            .help("expected `https://` or `http://` and a host, without user name and password")
    })
}

fn size(text: &str) -> Result<ByteSize> {
    let help = "expected a number with a unit, such as `20GiB`, `500MB` or `1.5TiB`";
    text.parse().map_err(|_| not(text, "a size").help(help))
}

fn delay(text: &str) -> Result<Duration> {
    let help = "expected a number with a unit, such as `500ms`, `30s` or `1h`";
    text.parse().map(MaxAge::as_duration).map_err(|_| not(text, "a length of time").help(help))
}

fn timeout(text: &str) -> Result<Duration> {
    let time = delay(text)?;
    if time.is_zero() {
        return Err(Problem::new("a timeout of zero lets nothing succeed")
            .help("leave the key out for the default, or give a long time, such as `1d`"));
    }
    Ok(time)
}

/// With or without the `/s` that is meant.
fn bandwidth(text: &str) -> Result<u64> {
    let size = text.trim_end().trim_end_matches("/s").trim_end().parse::<ByteSize>();
    let rate = size.ok().map(|size| size.as_u64()).filter(|rate| *rate > 0);
    let help = "expected bytes a second, such as `50MB/s` or `800KiB/s`";
    rate.ok_or_else(|| not(text, "a bandwidth").help(help))
}

/// A glob whose `*` crosses every character.
pub(super) fn glob(text: &str) -> Result<Glob> {
    // Written to the log, and compiled to a program whose size grows with it.
    if text.is_empty() || text.len() > 1024 {
        return Err(Problem::new("a pattern has 1 to 1024 bytes"));
    }
    let help = "a literal `*`, `?`, `[` or `{` is written in brackets, such as `[[]`";
    Glob::new(text).map_err(|error| not(text, &format!("a glob: {}", error.kind())).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_has_no_detours() {
        let path = |text: &str| text.parse::<PathText>().map(|path| path.below(Path::new("/project")));
        for (text, result) in [
            (".", "/project"),
            ("a/./b/../c/", "/project/a/c"),
            ("../x", "/x"),
            ("/../..", "/"),
            ("/cache", "/cache"),
            ("~x", "/project/~x"),
        ] {
            assert_eq!(path(text).unwrap(), Path::new(result), "{text}");
        }
        for text in ["", " ", "~", "~/x", "a\nb", "a\0b"] {
            assert!(path(text).is_err(), "{text:?}");
        }
    }
}
