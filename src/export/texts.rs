//! What an export says of itself: `larder.yaml`, the scope for Spack, and the text for the person who unpacks it.
//!
//! All paths are relative, so that the folder works wherever it is carried. Spack takes a relative URL of a mirror for a path
//! from the file that names it (tried with 0.23.1 and 1.1.0).

use std::fmt::Write as _;

use serde_json::json;

use super::{ExportError, ExportFolder, ExportRecord};
use crate::config::BuildDeps;
use crate::job::{SCOPE_FILE_NAME, scope_text};
use crate::types::{MirrorPath, Signatures};

/// What one run exported, for `README.txt`.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The fingerprints of the public keys in the folder.
    pub keys: Vec<String>,
    /// How many specs have their binary in it.
    pub specs: usize,
    /// The specs that no mirror had.
    pub missing: Vec<String>,
    /// The specs that were asked for, where it was not everything.
    pub selection: Vec<String>,
}

/// Write them. What makes the folder usable comes last.
pub fn write_texts(folder: &ExportFolder, build_deps: BuildDeps, contents: &Contents) -> Result<(), ExportError> {
    let record = &folder.record;
    folder.write(&MirrorPath::new(["spack", SCOPE_FILE_NAME]), mirrors_yaml(record).as_bytes())?;
    folder.write(&MirrorPath::new(["README.txt"]), readme(record, contents).as_bytes())?;
    folder.write(&MirrorPath::new(["larder.yaml"]), larder_yaml(record, build_deps).as_bytes())?;
    Ok(())
}

/// `larder.yaml` of an export.
fn larder_yaml(record: &ExportRecord, build_deps: BuildDeps) -> String {
    let environments = record.environments.iter().map(|name| format!("environments/{name}"));
    let mirrors = record.mirrors.iter();
    let mirrors = mirrors.map(|it| json!({"name": it.name, "url": it.folder, "signed": it.signatures}));
    let file = json!({
        "environments": environments.collect::<Vec<_>>(),
        "mirrors": mirrors.collect::<Vec<_>>(),
        "build-deps": build_deps,
    });
    let about = "# Written by `larder export`. Paths are relative to this file, so the folder works wherever it lies.";
    format!("{about}\n{}", serde_yaml::to_string(&file).unwrap_or_default())
}

/// `spack/mirrors.yaml` of an export.
fn mirrors_yaml(record: &ExportRecord) -> String {
    let mirrors = record.mirrors.iter().map(|it| (it.name.as_str(), format!("../{}", it.folder), it.signatures));
    scope_text("Written by `larder export`; use it with `spack -C` and the path of this folder.", mirrors)
}

/// `README.txt` of an export.
fn readme(record: &ExportRecord, contents: &Contents) -> String {
    let is_signed = record.mirrors.iter().any(|mirror| mirror.signatures == Signatures::Required);
    let keys = if !contents.keys.is_empty() {
        format!(
            "\nOnce, trust the keys that the binaries are signed with:\n\n    \
             spack -C spack buildcache keys --install --trust --force\n\n\
             Compare them with what the signer told you; nothing vouched for them on the way:\n\n{}",
            lines(&contents.keys, String::clone)
        )
    } else if is_signed {
        "\nThe mirror is signed, but published no keys. Trust the signer's key first:\n\n    spack gpg trust KEY.asc\n"
            .to_owned()
    } else {
        String::new()
    };
    let install =
        |options: &str| lines(&record.environments, |name| format!("spack {options} -e environments/{name} install"));
    let add = lines(&record.mirrors, |mirror| {
        let flag = if mirror.signatures == Signatures::Required { "--signed" } else { "--unsigned" };
        format!("spack mirror add {flag} {} \"$PWD/{}\"", mirror.name, mirror.folder)
    });
    let mut out = format!(
        "Spack binaries for a site without a network\n===========================================\n\n\
         Made by `larder export`. Everything below works wherever this folder lies.\nRun it inside of this folder.\n\
         {keys}\nInstall with Spack alone:\n\n{}\n\
         With larder, which checks every binary first (it keeps a copy in .larder/,\nso this folder has to be writable):\n\n    \
         larder prepare\n{}\n\
         For every environment of this user, and for mirrors of your own:\n\n{add}\n\
         The last export held the binaries of {} specs.\n",
        install("-C spack"),
        install("-C .larder/job/spack"),
        contents.specs
    );
    if !contents.selection.is_empty() {
        // Writing to a string can't fail.
        let _ = writeln!(out, "It was asked for these only: {}.", contents.selection.join(", "));
    }
    if !contents.missing.is_empty() {
        out += "No mirror had these, so Spack has to build them, which needs their sources:\n\n";
        out += &lines(&contents.missing, String::clone);
    }
    out
}

/// A line of each, indented.
fn lines<T>(items: &[T], line: impl Fn(&T) -> String) -> String {
    items.iter().map(|item| format!("    {}\n", line(item))).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ExportRecord {
        let mut record = ExportRecord::default();
        record.folder_for(Signatures::Required);
        record.folder_for(Signatures::NotRequired);
        record.add_environment("app");
        record
    }

    #[test]
    fn configurations_have_relative_paths_only() {
        insta::assert_snapshot!(larder_yaml(&record(), BuildDeps::All), @r"
        # Written by `larder export`. Paths are relative to this file, so the folder works wherever it lies.
        environments:
        - environments/app
        mirrors:
        - name: larder-export
          url: mirror
          signed: true
        - name: larder-export-unsigned
          url: mirror-unsigned
          signed: false
        build-deps: all
        ");
        insta::assert_snapshot!(mirrors_yaml(&record()), @r"
        # Written by `larder export`; use it with `spack -C` and the path of this folder.
        mirrors:
          larder-export:
            url: ../mirror
            signed: true
            binary: true
            source: false
          larder-export-unsigned:
            url: ../mirror-unsigned
            signed: false
            binary: true
            source: false
        ");
    }

    #[test]
    fn the_text_for_the_other_site_names_keys_commands_and_what_is_missing() {
        let contents =
            Contents { keys: vec!["ABCD".to_owned()], missing: vec!["x@1/abcdefg".to_owned()], ..Contents::default() };
        let text = readme(&record(), &contents);
        for part in [
            "buildcache keys",
            "    ABCD\n",
            "-e environments/app install",
            "    x@1/abcdefg\n",
            "--unsigned larder-export-unsigned",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 90), "{text}");
    }
}
