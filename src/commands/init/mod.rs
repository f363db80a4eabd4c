//! `larder init`: a first `larder.yaml` and the lines for the pipeline, from what is in the repository.
//!
//! It asks nothing: environments are looked for, mirrors are those that Spack would use, and whether one is temporary shows in
//! its name or a variable in its URL. One environment that can't be used is named and left out. It never overwrites a file, and
//! what it can't know it marks in what it writes: `--check` lists what is still open.

mod environment;
mod git;
mod mirrors;
mod open;
mod pipeline;
mod search;
mod text;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;

pub use self::environment::{EnvironmentMirrors, FoundEnvironment, Origin, Skipped};
use self::environment::{Survey, folder_for, survey};
pub use self::git::LockfileState;
use self::mirrors::FoundMirror;
use self::open::PIPELINE;
pub use self::open::{OpenPoint, open_points};
use self::search::{DEPTH, Extent, search};
use super::error::{CommandError, few};
use crate::fs::{Kind, kind};
use crate::job::JobFolder;
use crate::pipeline::{Mode, Session};
use crate::types::Signatures;

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
    /// The environments that the pipeline installs.
    pub environments: Vec<FoundEnvironment>,
    /// Those that can't be used.
    pub skipped: Vec<Skipped>,
    /// What waits for a person in the two texts.
    pub open: Vec<OpenPoint>,
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
    let signed = options.signatures == Signatures::Required;
    let given: Vec<_> = options.mirrors.iter().map(|url| FoundMirror::new(url, url, signed)).collect();
    let Survey { environments, mirrors, skipped } = match &options.environments[..] {
        [] => found(session, root, &given)?,
        named => survey(session, root, named.iter().map(|path| named_place(root, path)).collect(), &given)?,
    };
    if environments.is_empty() {
        return Err(CommandError::NoUsableEnvironment {
            folder: root.to_owned(),
            reasons: skipped.into_iter().map(|skipped| skipped.reason).collect(),
        });
    }
    for mirror in mirrors.iter().filter(|mirror| !mirror.is_readable) {
        session.warn(&format!(
            "larder can't use mirror `{}` at `{}` (it reads `https://`, `oci://` and `file://`, and `http://` with `insecure: true`): name the mirrors to use under `mirrors:` in larder.yaml",
            mirror.name, mirror.url
        ));
    }
    let source = if options.mirrors.is_empty() { text::Source::Spack } else { text::Source::CommandLine };
    let config = text::configuration(root, &environments, &mirrors, source);
    let pipeline = pipeline::pipeline(root, &environments, &mirrors);
    let open = [(&options.file, &config), (&root.join(PIPELINE), &pipeline)];
    let open = open.iter().flat_map(|(file, text)| open::in_text(file, text)).collect();
    let outcome = FileOutcome::Printed;
    let mut made = Initialised {
        config,
        pipeline,
        environments,
        skipped,
        open,
        written: Vec::new(),
        pipeline_file: outcome,
        template_file: outcome,
    };
    if options.mode == Mode::Act {
        write(options, root, &mut made)?;
    }
    Ok(made)
}

/// The environments of the repository. Those of other names count where there is nothing else: larder and Spack want a folder.
fn found(session: &Session<'_>, root: &Path, given: &[FoundMirror]) -> Result<Survey, CommandError> {
    let found = search(root).map_err(failed("look for environments"))?;
    if found.extent == Extent::Cut {
        let looked = found.looked;
        session.warn(&format!(
            "larder looked into {looked} folders and not further: `--environment PATH` names what lies beyond"
        ));
    }
    let nothing = found.folders.is_empty() && found.others.is_empty();
    if nothing {
        let (folder, lockfiles) = (root.to_owned(), names(root, &found.lockfiles));
        return Err(CommandError::NoEnvironment { folder, depth: DEPTH, looked: found.looked, lockfiles });
    }
    let folders = found.folders.into_iter().map(|folder| (folder, Origin::Repository)).collect();
    let survey_of_folders = survey(session, root, folders, given)?;
    if found.others.is_empty() {
        return Ok(survey_of_folders);
    }
    if !survey_of_folders.environments.is_empty() {
        let others = names(root, &found.others);
        session.inform(&format!(
            "left out, as their names are not `spack.yaml`: {} (`--environment FILE` takes one)",
            few(&others)
        ));
        return Ok(survey_of_folders);
    }
    let files = found.others.into_iter().map(|file| (folder_for(root, &file), Origin::File(file))).collect();
    let mut survey = survey(session, root, files, given)?;
    survey.skipped.extend(survey_of_folders.skipped);
    Ok(survey)
}

/// A place that was named on the command line.
fn named_place(root: &Path, path: &Path) -> (PathBuf, Origin) {
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    match path.parent() {
        Some(folder) if path.ends_with("spack.yaml") => (folder.to_owned(), Origin::Repository),
        _ if is_yaml && path.is_file() => (folder_for(root, path), Origin::File(path.to_owned())),
        _ if path.is_file() || path.join("spack.yaml").is_file() || path.join("spack.lock").is_file() => {
            (path.to_owned(), Origin::Repository)
        }
        _ => (path.to_owned(), Origin::Script),
    }
}

/// Paths as a message names them.
fn names(root: &Path, paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| text::relative(root, path)).collect()
}

/// Write the files that are not there yet.
fn write(options: &InitOptions, root: &Path, made: &mut Initialised) -> Result<(), CommandError> {
    if !write_new(&options.file, &made.config).map_err(failed("write the configuration"))? {
        return Err(CommandError::ConfigExists { path: options.file.clone() });
    }
    made.written.push(options.file.clone());
    let mut write = |name: &str, text: &str| -> io::Result<FileOutcome> {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap_or(root))?;
        if write_new(&file, text)? {
            made.written.push(file);
            return Ok(FileOutcome::Written);
        }
        let found = crate::fs::read_capped(&file, text.len() as u64);
        let is_same = found.is_ok_and(|found| found.as_deref() == Some(text.as_bytes()));
        Ok(if is_same { FileOutcome::Same } else { FileOutcome::Kept })
    };
    made.pipeline_file = write(PIPELINE, &made.pipeline).map_err(failed("write the pipeline"))?;
    made.template_file = write(TEMPLATE, TEMPLATE_TEXT).map_err(failed("write the template"))?;
    JobFolder::of(root).keep_out_of_git()?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_never_written() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        assert!(write_new(&path, "one").unwrap());
        assert!(!write_new(&path, "two").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }
}
