//! The environments of an export: copied as they are, with warnings of what that leaves behind.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_yaml::Value;

use super::{ExportError, ExportFolder};
use crate::types::{MirrorPath, path_part};

/// The most bytes of a `spack.yaml` that is looked at for what does not travel.
const MAX_YAML_BYTES: u64 = 1 << 20;

/// Copy `spack.yaml` and `spack.lock` of each environment. `warn` is told what stays behind.
pub fn write_environments(
    folder: &mut ExportFolder,
    environments: &[PathBuf],
    warn: &dyn Fn(&str),
) -> Result<(), ExportError> {
    let mut names = Vec::new();
    for path in environments {
        let (lockfile, manifest) = if path.is_dir() {
            (path.join("spack.lock"), Some(path.join("spack.yaml")))
        } else {
            (path.clone(), Some(path.with_file_name("spack.yaml")).filter(|_| path.ends_with("spack.lock")))
        };
        let name = name_of(path, &names);
        let copy = |from: &Path, file: &str| {
            let bytes = fs::read(from).map_err(ExportError::io(format!("read `{}`", from.display())))?;
            folder.write(&MirrorPath::new(["environments", &name, file]), &bytes)
        };
        match manifest.filter(|path| path.is_file()) {
            Some(path) => {
                warn_of_what_stays_behind(&path, warn);
                copy(&path, "spack.yaml")?;
            }
            None => warn(&format!(
                "there is no `spack.yaml` beside `{}`: larder needs none, but Spack can't use the environment without it",
                lockfile.display()
            )),
        }
        copy(&lockfile, "spack.lock")?;
        folder.record.add_environment(&name);
        names.push(name);
    }
    folder.write_record()
}

/// A name for the environment's folder: that of its own, or of its lockfile, unlike those of the others.
fn name_of(path: &Path, taken: &[String]) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let named: Option<PathBuf> = if real.is_dir() {
        real.file_name().map(PathBuf::from)
    } else if real.ends_with("spack.lock") {
        real.parent().and_then(Path::file_name).map(PathBuf::from)
    } else {
        real.file_stem().map(PathBuf::from)
    };
    let name = named.map_or_else(|| "environment".to_owned(), |name| name.to_string_lossy().into_owned());
    let name = path_part(&name);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name)
}

/// `spack.yaml` is copied as it is, so what it points to stays behind, and what is secret in it travels.
fn warn_of_what_stays_behind(path: &Path, warn: &dyn Fn(&str)) {
    let text = crate::fs::read_capped(path, MAX_YAML_BYTES).ok().flatten().unwrap_or_default();
    // One that is wrong is for Spack to complain about.
    let Ok(yaml) = serde_yaml::from_slice::<Value>(&text) else { return };
    let (spack, file) = (&yaml["spack"], path.display());
    for key in ["include", "include_concrete"] {
        if spack.get(key).is_some_and(|value| !value.is_null()) {
            warn(&format!(
                "`{file}` has `{key}:`, and what it names is not exported: carry it along, or take it out of the copy"
            ));
        }
    }
    let mirrors = spack["mirrors"].as_mapping().into_iter().flatten();
    for (name, _) in mirrors.filter(|(_, mirror)| has_secret(mirror)) {
        let name = name.as_str().unwrap_or_default();
        warn(&format!(
            "`{file}` holds the credentials of mirror `{name}`, and so does its copy: name variables instead \
             (`secret_variable`), or take them out of the copy"
        ));
    }
}

/// Whether an entry of `mirrors:` holds a credential itself.
fn has_secret(mirror: &Value) -> bool {
    let entries = [Some(mirror), mirror.get("fetch"), mirror.get("push")];
    entries.into_iter().flatten().any(|entry| {
        let url = entry.as_str().or_else(|| entry.get("url")?.as_str()).and_then(|url| url::Url::parse(url).ok());
        url.is_some_and(|url| url.password().is_some())
            || entry.get("access_token").is_some()
            || entry.get("access_pair").is_some_and(Value::is_sequence)
    })
}
