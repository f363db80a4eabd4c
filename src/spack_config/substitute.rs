//! Variables in paths, as Spack's `util/path.py` expands them: Spack's own (`$spack`, `${ENV}`; in any case of letters), then
//! those of the environment, then `~`. What is not set stays as it is written.

use std::path::{Path, PathBuf};

use url::Url;

use crate::fs::without_links;
use crate::types::{Variables, normalise};

/// What paths may refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Substitution {
    pub(super) variables: Variables,
    pub(super) home: Option<PathBuf>,
    /// `$spack`: the folder of the Spack instance.
    pub(super) spack: Option<PathBuf>,
    /// `$spack_short_version`.
    pub(super) short_version: Option<String>,
    /// `$env`: the folder of the environment.
    pub(super) environment: Option<PathBuf>,
}

/// Where a configured path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To an absolute path of this machine.
    Local(PathBuf),
    /// To somewhere else: a URL.
    Remote(String),
}

impl Substitution {
    /// Expand all variables and `~`. Also tells the variables that Spack would expand and larder can't: it would have to know
    /// what Spack knows of the processor.
    pub(super) fn expand(&self, text: &str, mut unknown: impl FnMut(&str)) -> String {
        let text = replace_variables(text, |name| self.spack_variable(name, &mut unknown));
        let text = replace_variables(&text, |name| self.variables.get(name).map(str::to_owned));
        self.expand_home(&text)
    }

    /// Where a path leads. Relative ones count from `base`, the folder of the file that they are written in.
    pub(super) fn resolve(&self, text: &str, base: &Path, unknown: impl FnMut(&str)) -> Target {
        let text = self.expand(text, unknown);
        match scheme(&text) {
            None => Target::Local(normalise(&base.join(&text))),
            Some("file") => Target::Local(normalise(&base.join(path_of_file_url(&text)))),
            Some(_) => Target::Remote(text),
        }
    }

    /// Like [`Self::resolve`], from the folder of a file.
    pub(super) fn resolve_in(&self, text: &str, file: &Path, unknown: impl FnMut(&str)) -> Target {
        self.resolve(text, file.parent().unwrap_or(Path::new("/")), unknown)
    }

    /// Whether a path says all by itself where it leads.
    pub(super) fn is_absolute(&self, text: &str) -> bool {
        let text = self.expand(text, |_| ());
        scheme(&text).is_some() || text.starts_with('/')
    }

    fn spack_variable(&self, name: &str, unknown: &mut impl FnMut(&str)) -> Option<String> {
        let name = name.to_lowercase();
        let path = |path: &Path| path.to_string_lossy().into_owned();
        match name.as_str() {
            "spack" => self.spack.as_deref().map(path),
            "env" => return self.environment.as_deref().map(path),
            "user" => self.variables.set("USER").or_else(|| self.variables.set("LOGNAME")).map(str::to_owned),
            "tempdir" => Some(path(&self.temporary_folder())),
            "user_cache_path" => {
                Some(self.expand_home(self.variables.set("SPACK_USER_CACHE_PATH").unwrap_or("~/.spack")))
            }
            "platform" => Some(platform().to_owned()),
            "target_family" => Some(target_family().to_owned()),
            "date" => Some(jiff::ZonedDateTime::now().strftime("%Y-%m-%d").to_string()),
            "spack_short_version" => self.short_version.clone(),
            "spack_instance_id" | "architecture" | "arch" | "operating_system" | "os" | "target" => None,
            _ => return None,
        }
        .or_else(|| {
            unknown(&name);
            None
        })
    }

    /// Python's `tempfile.gettempdir()`.
    fn temporary_folder(&self) -> PathBuf {
        let set = ["TMPDIR", "TEMP", "TMP"].iter().filter_map(|name| self.variables.get(name));
        set.chain(["/tmp", "/var/tmp", "/usr/tmp"])
            .map(PathBuf::from)
            .find(|path| path.is_absolute() && path.is_dir())
            .unwrap_or_else(|| PathBuf::from("/tmp"))
    }

    /// `~` and `~/…` are the home folder. Those of other users (`~name`) stay as they are.
    pub(super) fn expand_home(&self, text: &str) -> String {
        let below = text.strip_prefix('~').filter(|below| below.is_empty() || below.starts_with('/'));
        match (&self.home, below) {
            (Some(home), Some(below)) => format!("{}{below}", home.to_string_lossy().trim_end_matches('/')),
            _ => text.to_owned(),
        }
    }
}

/// Replace `$name` and `${name}` where `value` knows the name.
fn replace_variables(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let after = &rest[1..];
        // The name, and the length of the whole reference.
        let (name, length) = if let Some(inner) = after.strip_prefix('{') {
            inner.find('}').map_or(("", 1), |end| (&inner[..end], end + 3))
        } else {
            let end = after.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(after.len());
            (&after[..end], end + 1)
        };
        match Some(name).filter(|name| !name.is_empty()).and_then(&mut value) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// The scheme of a URL, as Python's `urlparse` sees it; `None` for a path.
pub(super) fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let starts_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let goes_on_well = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (starts_well && goes_on_well).then_some(scheme)
}

/// The path of a `file:` URL, which need not be a proper one.
fn path_of_file_url(text: &str) -> PathBuf {
    let proper = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
    proper.unwrap_or_else(|| {
        let rest = text.split_once(':').map_or(text, |(_, rest)| rest);
        PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))
    })
}

/// Whether a path leads into a folder, by its name or through links. Neither has to exist.
pub(super) fn lies_below(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) || without_links(path).starts_with(without_links(folder))
}

/// Spack's name for this kind of system.
pub(super) fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// Spack's name for this kind of processor.
fn target_family() -> &'static str {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn substitution() -> Substitution {
        Substitution {
            variables: Variables::new([("NAME".to_owned(), "value".to_owned()), ("spack".to_owned(), "no".to_owned())]),
            home: Some("/home/me".into()),
            spack: Some("/opt/spack".into()),
            short_version: Some("1.1".to_owned()),
            environment: Some("/project".into()),
        }
    }

    fn expand(text: &str) -> String {
        substitution().expand(text, |_| ())
    }

    #[test]
    fn spacks_variables_are_known_in_any_case_of_letters_and_come_first() {
        assert_eq!(expand("$spack/x ${SPACK} $Env $spack_short_version"), "/opt/spack/x /opt/spack /project 1.1");
        assert_eq!(expand("$platform"), platform());
    }

    #[test]
    fn variables_of_the_environment_are_expanded_where_they_are_set() {
        assert_eq!(
            expand("$NAME ${NAME}x $name ${UNSET} $NAMES $ $$NAME ${"),
            "value valuex $name ${UNSET} $NAMES $ $value ${"
        );
    }

    #[test]
    fn a_tilde_is_the_home_folder_at_the_start_only() {
        assert_eq!([expand("~"), expand("~/x"), expand("x/~")], ["/home/me", "/home/me/x", "x/~"]);
        assert_eq!(expand("~root/x"), "~root/x");
    }

    #[test]
    fn what_larder_cannot_know_is_told_and_left_as_it_is() {
        let mut unknown = Vec::new();
        let text = substitution().expand("/x/$arch/${TARGET}", |name| unknown.push(name.to_owned()));
        assert_eq!(text, "/x/$arch/${TARGET}");
        assert_eq!(unknown, ["arch", "target"]);
    }

    #[test]
    fn a_path_counts_from_its_base_and_a_url_stays() {
        let resolve = |text| substitution().resolve(text, Path::new("/etc/spack"), |_| ());
        assert_eq!(resolve("../x/./y"), Target::Local("/etc/x/y".into()));
        assert_eq!(resolve("~/x"), Target::Local("/home/me/x".into()));
        assert_eq!(resolve("file:///a%20b/../c"), Target::Local("/c".into()));
        assert_eq!(resolve("https://host/$NAME"), Target::Remote("https://host/value".to_owned()));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_text_without_a_dollar_or_tilde_stays(text in r"[a-z${}~/:.é]{0,12}") {
            let expanded = expand(&text);
            if !text.contains(['$', '~']) {
                prop_assert_eq!(expanded, text);
            }
        }
    }
}
