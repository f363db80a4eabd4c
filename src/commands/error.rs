//! Why a command failed.

#![expect(missing_docs, reason = "what a field of an error is, its message says")]

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::pipeline::RunError;
use crate::spack::SpackError;
use crate::transport::UploadError;
use crate::types::Sha256Digest;

/// A command that could not do what it is for.
#[derive(Debug, Error, Diagnostic)]
pub enum CommandError {
    /// A step that other commands have, too.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(RunError),
    /// `pack`: there is a file already.
    #[error("`{}` is there already", path.display())]
    #[diagnostic(help("give another name to `--output`, or `--force` to overwrite it"))]
    OutputExists { path: PathBuf },
    /// `pack`: the archive would lie in a cache, and be uploaded with it.
    #[error("`{}` lies in the folder of cache `{cache}`, which GitLab would then upload with it", path.display())]
    #[diagnostic(help("write the archive somewhere else"))]
    OutputInCache { path: PathBuf, cache: String },
    /// `pack`: no relative path leads to a cache.
    #[error("cache `{cache}` at `{}` is outside of the project folder `{}`", path.display(), root.display())]
    #[diagnostic(help(
        "paths in an archive are relative to the project folder, as the runner writes them. Name the caches to pack, as in \
         `larder pack shared -o cache.zip`, or move this one below the project folder"
    ))]
    OutsideProject { cache: String, path: PathBuf, root: PathBuf },
    /// `pack`: no blob anywhere.
    #[error("there is nothing to pack: {} empty", caches.join(", ") + if caches.len() == 1 { " is" } else { " are" })]
    #[diagnostic(help("`larder warm` fills caches"))]
    NothingToPack { caches: Vec<String> },
    /// `pack`: a blob that is not what its name says.
    #[error("cache `{cache}` holds a bad blob {digest}: {reason}")]
    #[diagnostic(help("no archive was written; `larder verify --delete` removes bad blobs"))]
    CorruptBlob { cache: String, digest: Sha256Digest, reason: String },
    /// `unpack`: no entry of the archive is for one of the caches.
    #[error("`{}` holds nothing for the configured caches", path.display())]
    #[diagnostic(help(
        "it holds {}; the caches are at {}. Paths in an archive are relative to the project folder: name one of its folders \
         under `path:` of a cache in larder.yaml",
        few(holds),
        few(caches)
    ))]
    NothingForCaches { path: PathBuf, holds: Vec<String>, caches: Vec<String> },
    /// `collect`: no mirror takes what was built.
    #[error("there is no place to collect into")]
    #[diagnostic(help(
        "add `{{ name: built, path: .larder/built, collect: true }}` to `mirrors:` in larder.yaml, a folder that GitLab caches for \
         the branch; or `{{ name: built, url: \"oci://${{CI_REGISTRY_IMAGE}}/spack\", collect: true }}`, the project's registry"
    ))]
    NoBuiltFolder,
    /// `collect`: a bucket did not take what Spack made.
    #[error("can't push {spec} to mirror `{mirror}`")]
    #[diagnostic(help("what was pushed before is whole and stays; the others are built again by the next pipeline"))]
    Upload { mirror: String, spec: String, source: Box<UploadError> },
    /// `collect`: Spack would push without signatures, which no job would use.
    #[error("mirror `{mirror}` is `signed: true`, and there is no key to sign with")]
    #[diagnostic(help("give its entry in larder.yaml a `signing-key`; `larder prepare` needs none"))]
    NoSigningKey { mirror: String },
    /// `collect`: nothing says what is installed.
    #[error("found no install tree, so there is no telling what this job built")]
    #[diagnostic(help(
        "Spack's configuration names none that has a database; name it with `--installed ROOT` (`spack find --format \
         '{{prefix}}'` shows what is below it)"
    ))]
    NothingInstalled,
    /// `collect`: Spack did not push everything.
    #[error("{} of {wanted} specs were not collected", wanted - pushed)]
    Push {
        wanted: usize,
        pushed: usize,
        #[source]
        #[diagnostic_source]
        source: SpackError,
    },
    /// `run`: the command could not be started.
    #[error("can't run `{}`", program.display())]
    #[diagnostic(help("is it installed, on the PATH, and executable for this user?"))]
    NotStarted { program: PathBuf, source: io::Error },
    /// `init`: there is a configuration already.
    #[error("`{}` is there already, and `larder init` overwrites nothing", path.display())]
    #[diagnostic(help("`larder init --print` shows what it would write; move the file away to start anew"))]
    ConfigExists { path: PathBuf },
    /// `init`: no environment.
    #[error(
        "there is no Spack environment in `{}` or up to {depth} folders below it (folders looked into: {looked})",
        folder.display()
    )]
    #[diagnostic(help(
        "larder looks for `spack.yaml`, and for other YAML files with `spack:` at their top, in hidden folders as well. \
         `--environment PATH` names another place, also one that a script makes later{}",
        match lockfiles.as_slice() {
            [] => String::new(),
            found => format!(", or a lockfile alone: {}", few(found)),
        }
    ))]
    NoEnvironment { folder: PathBuf, depth: usize, looked: usize, lockfiles: Vec<String> },
    /// `init`: none that can be used.
    #[error("no Spack environment in `{}` can be used:{}", folder.display(), listed(reasons))]
    #[diagnostic(help(
        "`--environment PATH` names another one, also one that a script makes later; what a template or a script completes \
         is an environment only then"
    ))]
    NoUsableEnvironment { folder: PathBuf, reasons: Vec<String> },
    /// `init --check`: neither file is there.
    #[error("there is neither `{}` nor `{}`", files[0].display(), files[1].display())]
    #[diagnostic(help("`larder init` writes them"))]
    NothingToCheck { files: [PathBuf; 2] },
    /// `init`: a folder can't be read, or a file can't be written. The source names the path.
    #[error("can't {what}")]
    Init { what: &'static str, source: io::Error },
}

/// Whatever is an error of a step is one of the command.
impl<E: Into<RunError>> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}

impl CommandError {
    /// Whether it is the command line or the configuration that is wrong: exit code 2.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Run(error) => error.is_usage(),
            Self::OutputExists { .. }
            | Self::OutputInCache { .. }
            | Self::OutsideProject { .. }
            | Self::NoBuiltFolder
            | Self::NoSigningKey { .. } => true,
            _ => false,
        }
    }
}

/// At most ten reasons, one on each line.
fn listed(reasons: &[String]) -> String {
    let lines = reasons.iter().take(10).map(|reason| format!("\n- {reason}"));
    let more = reasons.len().saturating_sub(10);
    lines.chain((more > 0).then(|| format!("\n- and {more} more"))).collect()
}

/// At most five names, for a sentence.
pub(super) fn few(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        1..=5 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - 5),
    }
}
