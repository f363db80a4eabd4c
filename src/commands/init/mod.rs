//! `larder init`: a first `larder.yaml` and the lines for the pipeline, from what is in the repository.
//!
//! It asks nothing: environments are looked for, mirrors are those that Spack would use, and whether one is temporary shows in
//! its name or a variable in its URL. It never overwrites a file, and what it writes is a starting point for a person.

mod mirrors;
mod text;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;

use self::mirrors::FoundMirror;
use super::error::CommandError;
use crate::fs::{Kind, entries, kind};
use crate::job::JobFolder;
use crate::pipeline::{Mode, Session};
use crate::spack_config;
use crate::types::Signatures;

/// How many folders below the current one are looked into.
const DEPTH: usize = 4;

/// The most folders that are looked into: a home folder is no project.
const MAX_FOLDERS: usize = 20_000;

/// The file of a pipeline.
const PIPELINE: &str = ".gitlab-ci.yml";

/// The template that the pipeline includes, by the path that it includes it by.
pub const TEMPLATE: &str = "ci-templates/larder.yml";

/// Its text: that of this very version, whose commands it calls.
const TEMPLATE_TEXT: &str = include_str!("../../../ci-templates/larder.yml");

/// What `init` is to do.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The file to write the configuration to, absolute.
    pub file: PathBuf,
    /// The environments named on the command line; none: those that are found.
    pub environments: Vec<PathBuf>,
    /// The mirrors named on the command line, by URL; none: those that Spack would use.
    pub mirrors: Vec<String>,
    /// Whether those must carry signatures.
    pub signatures: Signatures,
    /// Whether to write the files that are not there yet.
    pub mode: Mode,
}

/// What `init` made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The text of `larder.yaml`.
    pub config: String,
    /// The lines for the pipeline.
    pub pipeline: String,
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// What became of the file for the pipeline.
    pub pipeline_file: FileOutcome,
    /// What became of the template that the pipeline includes.
    pub template_file: FileOutcome,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOutcome {
    /// It was not there, and now it is.
    Written,
    /// It was there, with the text that it was to get.
    Same,
    /// It was there, with another text, and stays as it is.
    Kept,
    /// No file was to be written.
    Printed,
}

/// Look around, and write what follows from it.
pub fn init(session: &Session<'_>, options: &InitOptions) -> Result<Initialised, CommandError> {
    let root = options.file.parent().unwrap_or(&options.file);
    if options.mode == Mode::Act {
        // The other spelling counts as well: larder stops where only that is there.
        for path in [options.file.clone(), options.file.with_extension("yml")] {
            if !matches!(kind(&path), Ok(Kind::Missing)) {
                return Err(CommandError::ConfigExists { path });
            }
        }
    }
    let environments = match &options.environments[..] {
        [] => find_environments(root).map_err(failed("look for environments"))?,
        named => named.to_vec(),
    };
    if environments.is_empty() {
        return Err(CommandError::NoEnvironment { folder: root.to_owned(), depth: DEPTH });
    }
    let mirrors = mirrors_of(session, root, &environments, options)?;
    if mirrors.is_empty() {
        session.warn("Spack's configuration names no binary mirror: name one under `mirrors:` in larder.yaml");
    }
    for mirror in mirrors.iter().filter(|mirror| !mirror.is_readable) {
        session.warn(&format!(
            "larder can't use mirror `{}` at `{}` (it reads `https://`, `oci://` and `file://`, and `http://` with `insecure: true`): name the mirrors to use under `mirrors:` in larder.yaml",
            mirror.name, mirror.url
        ));
    }
    let source = if options.mirrors.is_empty() { text::Source::Spack } else { text::Source::CommandLine };
    let config = text::configuration(root, &environments, &mirrors, source);
    let pipeline = text::pipeline(root, &environments);
    if options.mode == Mode::Pretend {
        let outcome = FileOutcome::Printed;
        return Ok(Initialised {
            config,
            pipeline,
            written: Vec::new(),
            pipeline_file: outcome,
            template_file: outcome,
        });
    }
    if !write_new(&options.file, &config).map_err(failed("write the configuration"))? {
        return Err(CommandError::ConfigExists { path: options.file.clone() });
    }
    let mut written = vec![options.file.clone()];
    let mut write = |name: &str, text: &str| -> io::Result<FileOutcome> {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap_or(root))?;
        if write_new(&file, text)? {
            written.push(file);
            return Ok(FileOutcome::Written);
        }
        let found = crate::fs::read_capped(&file, text.len() as u64);
        let is_same = found.is_ok_and(|found| found.as_deref() == Some(text.as_bytes()));
        Ok(if is_same { FileOutcome::Same } else { FileOutcome::Kept })
    };
    let pipeline_file = write(PIPELINE, &pipeline).map_err(failed("write the pipeline"))?;
    let template_file = write(TEMPLATE, TEMPLATE_TEXT).map_err(failed("write the template"))?;
    Ok(Initialised { config, pipeline, written, pipeline_file, template_file })
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> CommandError {
    move |source| CommandError::Init { what, source }
}

/// Write a file that is not there yet. Says whether it was so.
fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Folders with a `spack.yaml`, nearest first. Hidden folders and links are left out, and so is Spack itself, which comes with
/// environments of its own.
fn find_environments(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut level = vec![root.to_owned()];
    let mut looked = 0;
    for _ in 0..=DEPTH {
        let mut next = Vec::new();
        for folder in level {
            looked += 1;
            let is_spack = folder.join("bin/spack").is_file() && folder.join("lib/spack").is_dir();
            if looked > MAX_FOLDERS || is_spack {
                continue;
            }
            if folder.join("spack.yaml").is_file() {
                found.push(folder.clone());
            }
            let entries = match entries(&folder) {
                Ok(entries) => entries,
                // A folder of another user below this one is no obstacle.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && folder != root => continue,
                Err(error) => return Err(error),
            };
            for path in entries {
                let name = path.file_name().and_then(|name| name.to_str());
                if name.is_some_and(|name| !name.starts_with('.')) && kind(&path)? == Kind::Folder {
                    next.push(path);
                }
            }
        }
        next.sort();
        level = next;
    }
    Ok(found)
}

/// The mirrors of all environments, each once.
fn mirrors_of(
    session: &Session<'_>,
    root: &Path,
    environments: &[PathBuf],
    options: &InitOptions,
) -> Result<Vec<FoundMirror>, CommandError> {
    if !options.mirrors.is_empty() {
        let signed = options.signatures == Signatures::Required;
        return Ok(options.mirrors.iter().map(|url| FoundMirror::new(url, url, signed)).collect());
    }
    let job_folder = JobFolder::of(root);
    let mut mirrors: Vec<FoundMirror> = Vec::new();
    for environment in environments {
        let folder = Some(environment.as_path()).filter(|folder| folder.is_dir());
        let home = session.home.as_deref();
        let spack = spack_config::discover(folder, &session.variables, home, job_folder.root())?;
        for mirror in spack.mirrors {
            let mirror = FoundMirror::new(&mirror.name, &mirror.url, mirror.signed);
            if !mirrors.contains(&mirror) {
                mirrors.push(mirror);
            }
        }
    }
    Ok(mirrors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_found_nearest_first_and_not_in_hidden_folders_or_in_spack() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "envs/b/spack.yaml",
            "envs/a/spack.yaml",
            "spack.yaml",
            ".hidden/x/spack.yaml",
            ".larder/job/spack.yaml",
            "spack/bin/spack",
            "spack/lib/spack/x",
            "spack/share/spack.yaml",
            "1/2/3/4/spack.yaml",
            "1/2/3/4/5/spack.yaml",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "spack: {}\n").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.path(), root.path().join("link")).unwrap();
        let found = find_environments(root.path()).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(found, ["", "envs/a", "envs/b", "1/2/3/4"].map(Path::new));
    }

    #[test]
    fn a_file_that_is_there_is_never_written() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        assert!(write_new(&path, "one").unwrap());
        assert!(!write_new(&path, "two").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }
}
