//! The environments of an export: copied as they are, with a word on what that leaves behind.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::export::{ExportError, ExportFolder};
use crate::pipeline::{RunError, Session};
use crate::types::{MirrorPath, path_part};

/// The most bytes of a `spack.yaml` that is looked at for what does not travel.
const MAX_YAML_BYTES: u64 = 1 << 20;

/// Copy `spack.yaml` and `spack.lock` of each environment.
pub(super) fn write_environments(session: &Session<'_>, folder: &mut ExportFolder) -> Result<(), RunError> {
    let mut names: Vec<String> = Vec::new();
    for path in &session.config.environments {
        let (lockfile, manifest) = if path.is_dir() {
            (path.join("spack.lock"), Some(path.join("spack.yaml")))
        } else {
            (path.clone(), Some(path.with_file_name("spack.yaml")).filter(|_| path.ends_with("spack.lock")))
        };
        let name = name_of(path, &names);
        let place = |file: &str| MirrorPath::new(["environments", &name, file]);
        let read = |path: &Path| {
            let failed = |source| ExportError::Io { what: format!("read `{}`", path.display()), source };
            fs::read(path).map_err(failed)
        };
        match manifest.filter(|path| path.is_file()) {
            Some(path) => {
                warn_of_what_stays_behind(session, &path);
                folder.write(&place("spack.yaml"), &read(&path)?)?;
            }
            None => session.warn(&format!(
                "there is no `spack.yaml` beside `{}`: larder needs none, but Spack can't use the environment without it",
                lockfile.display()
            )),
        }
        folder.write(&place("spack.lock"), &read(&lockfile)?)?;
        folder.record.add_environment(&name);
        names.push(name);
    }
    folder.write_record()?;
    Ok(())
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
    let name = path_part(&name).as_str().to_owned();
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name)
}

/// `spack.yaml` is copied as it is, so what it points to stays behind, and what is secret in it travels.
fn warn_of_what_stays_behind(session: &Session<'_>, path: &Path) {
    let text = crate::fs::read_capped(path, MAX_YAML_BYTES).ok().flatten().unwrap_or_default();
    // One that is wrong is for Spack to complain about.
    let Ok(yaml) = serde_yaml::from_slice::<serde_yaml::Value>(&text) else { return };
    let spack = &yaml["spack"];
    for key in ["include", "include_concrete"] {
        if spack.get(key).is_some_and(|value| !value.is_null()) {
            session.warn(&format!(
                "`{}` has `{key}:`, and what it names is not exported: carry it along, or take it out of the copy",
                path.display()
            ));
        }
    }
    let mirrors = spack["mirrors"].as_mapping().into_iter().flatten();
    for (name, mirror) in mirrors {
        let entries = [Some(mirror), mirror.get("fetch"), mirror.get("push")];
        let is_secret = |entry: &serde_yaml::Value| {
            let url = entry.as_str().or_else(|| entry.get("url")?.as_str()).and_then(|url| url::Url::parse(url).ok());
            url.is_some_and(|url| url.password().is_some())
                || entry.get("access_token").is_some()
                || entry.get("access_pair").is_some_and(serde_yaml::Value::is_sequence)
        };
        if entries.into_iter().flatten().any(is_secret) {
            session.warn(&format!(
                "`{}` holds the credentials of mirror `{}`, and so does its copy: name variables instead (`secret_variable`), \
                 or take them out of the copy",
                path.display(),
                name.as_str().unwrap_or_default()
            ));
        }
    }
}
