//! `--hand-over path`: programs that add the job mirror to what Spack is called with, and what a shell must know to meet them.
//!
//! ```text
//! bin/spack             for a `spack` that is called by its name
//! libexec/spack-python  for one that is called by its path: `bin/spack` of every Spack starts itself with `$SPACK_PYTHON`
//! env.sh                sets PATH and SPACK_PYTHON
//! ```
//!
//! The mirror is given as `-c mirrors:…`, which outranks every scope: those of `-C` on the caller's command line as well, and it is
//! no scope that Spack would copy into a pipeline that it generates. Where the job folder has no scope any more, Spack is called as
//! if these programs were not there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::error::HandOverError;
use crate::job::JobFolder;
use crate::job::scope::JobMirror;
use crate::types::Variables;

const SPACK: &str = include_str!("spack.sh");
const SPACK_PYTHON: &str = include_str!("spack-python.sh");
const ENVIRONMENT: &str = include_str!("env.sh");

/// Where the programs are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    root: PathBuf,
    bin: PathBuf,
}

impl Programs {
    pub(super) fn of(folder: &JobFolder) -> Self {
        Self { root: crate::fs::without_links(folder.root()), bin: folder.programs() }
    }

    /// For the PATH.
    pub(super) fn bin(&self) -> PathBuf {
        self.bin.clone()
    }

    fn python(&self) -> PathBuf {
        self.root.join("libexec/spack-python")
    }

    /// To be sourced.
    pub(super) fn environment(&self) -> PathBuf {
        self.root.join("env.sh")
    }

    /// Make them. `spack` is the Spack that is called, where one was found.
    pub(super) fn make(
        &self,
        folder: &JobFolder,
        mirrors: &[JobMirror],
        spack: Option<&Path>,
    ) -> Result<(), HandOverError> {
        let quoted = |path: &Path| quote(&path.to_string_lossy());
        let options: Vec<String> = mirrors.iter().map(|mirror| quote(&option(mirror))).collect();
        let real = |path: &&Path| path.parent().map(crate::fs::without_links) != Some(self.bin());
        let spack = spack.filter(real).map(quoted).unwrap_or_default();
        let fill = |template: &str| {
            template
                .replace("@BIN@", &quoted(&self.bin()))
                .replace("@SCOPE@", &quoted(&folder.scope()))
                .replace("@PYTHON@", &quoted(&self.python()))
                .replace("@SELF@", &quoted(&self.python()))
                .replace("@SPACK@", &spack)
                .replace("@FIRST@", options.first().map_or("''", String::as_str))
                .replace(
                    "@OPTIONS@",
                    &options.iter().map(|option| format!("-c {option}")).collect::<Vec<_>>().join(" "),
                )
        };
        let program = |path: PathBuf, template: &str| {
            fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
            crate::fs::remove(&path)?;
            fs::write(&path, fill(template))?;
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
        };
        let made = program(self.bin().join("spack"), SPACK)
            .and_then(|()| program(self.python(), SPACK_PYTHON))
            .and_then(|()| crate::fs::remove(&self.environment()))
            .and_then(|()| fs::write(self.environment(), fill(ENVIRONMENT)));
        Ok(made.map_err(folder.failed("make the programs that call Spack"))?)
    }

    /// What `env.sh` sets, for a program that larder runs.
    pub(super) fn variables(&self, variables: &Variables) -> Vec<(String, String)> {
        let (bin, python) = (self.bin(), self.python());
        let (bin, python) = (bin.to_string_lossy(), python.to_string_lossy());
        let path = variables.set("PATH").unwrap_or_default();
        let is_there = path.split(':').any(|folder| folder == bin);
        let path = if is_there || path.is_empty() { path.to_owned() } else { format!("{bin}:{path}") };
        let mut set = vec![("PATH".to_owned(), if path.is_empty() { bin.into_owned() } else { path })];
        let before = variables.get("SPACK_PYTHON").unwrap_or_default();
        if before != python {
            set.push(("LARDER_SPACK_PYTHON".to_owned(), before.to_owned()));
            set.push(("SPACK_PYTHON".to_owned(), python.into_owned()));
        }
        set
    }
}

/// What Spack's `-c` takes. The name needs no quotes; the value is JSON, which no path of keys looks like.
fn option(mirror: &JobMirror) -> String {
    let flags = mirror.flags().map(|(key, value)| (key.to_owned(), value.into()));
    let url = [("url".to_owned(), serde_json::Value::from(mirror.url.as_str()))];
    let value: serde_json::Map<_, _> = url.into_iter().chain(flags).collect();
    format!("mirrors:{}:{}", mirror.name, serde_json::Value::from(value))
}

/// A text as one word of a shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_set_once() {
        let programs = Programs { root: "/p/.larder/job".into(), bin: "/p/.larder/job/bin".into() };
        let python = "/p/.larder/job/libexec/spack-python";
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            programs
                .variables(&Variables::new(pairs))
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
        };
        let first = of(&[("PATH", "/usr/bin:/bin"), ("SPACK_PYTHON", "/opt/python")]);
        let expected = [
            "PATH=/p/.larder/job/bin:/usr/bin:/bin".to_owned(),
            "LARDER_SPACK_PYTHON=/opt/python".to_owned(),
            format!("SPACK_PYTHON={python}"),
        ];
        assert_eq!(first, expected);
        assert_eq!(
            of(&[("PATH", "/p/.larder/job/bin:/bin"), ("SPACK_PYTHON", python)]),
            ["PATH=/p/.larder/job/bin:/bin"]
        );
    }

    #[test]
    fn a_quote_in_a_path_is_one_in_the_shell() {
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
