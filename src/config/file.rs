//! The file `larder.yaml`: from bytes to a [`Config`].

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::build_deps::BuildDeps;
use super::cache_entry::{CacheEntry, CacheShape};
use super::complaint::Complaint;
use super::error::ConfigError;
use super::jobs::{JobRule, Jobs};
use super::keep::size;
use super::mirrors::{MirrorShape, Mirrors};
use super::network::{self, NetworkShape};
use super::reader::{Problem, Reader, path};
use super::shape::{Text, TextOr, shape};
use super::{Config, walk};
use crate::types::Variables;

/// The most bytes of a configuration: stops a wrong file, such as an archive, from filling the memory.
const LONGEST: u64 = 1 << 20;

shape! {
    /// The whole file.
    FileShape, "a map with the keys of `larder.yaml`" {
        "environments" => environments: TextOr<Vec<Text>>,
        "mirrors" => mirrors: Vec<TextOr<MirrorShape>>,
        "caches" => caches: Vec<CacheShape>,
        "jobs" => jobs: Jobs,
        "build-deps" => build_deps: Text,
        "network" => network: NetworkShape,
        "max-archive-size" => max_archive_size: Text,
    }
}

/// The text of a file, or `None` where there is none. A link is followed: the file is the user's, not a stranger's.
pub(super) fn read_text(file: &Path) -> Result<Option<String>, ConfigError> {
    let bytes = match read_bytes(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Unreadable { path: file.to_owned(), source }),
    };
    let not_text = |reason: &str| ConfigError::NotText { path: file.to_owned(), reason: reason.to_owned() };
    if bytes.len() as u64 > LONGEST {
        return Err(not_text("is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| not_text("is not UTF-8 text"))
}

fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for somebody to write to it.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The configuration in a text. `file` is its name in messages, `root` the folder its paths are relative to.
pub(super) fn parse(yaml: &str, file: &Path, root: &Path, variables: &Variables) -> Result<Config, ConfigError> {
    let from_yaml = |error| ConfigError::from_yaml(file, yaml, &error);
    walk::check(yaml).map_err(from_yaml)?;
    let shape: Option<FileShape> = serde_yaml::from_str(yaml).map_err(from_yaml)?;
    read(&Reader::new(variables, root), shape.unwrap_or_default())
        .map(|config| Config { file: Some(file.to_owned()), ..config })
        .map_err(|problem| ConfigError::from_problem(file, yaml, problem))
}

fn read(reader: &Reader<'_>, shape: FileShape) -> Result<Config, Problem> {
    let default = Config::without_file(reader.root());
    let environments = match &shape.environments {
        Some(shape) => read_environments(&reader.key("environments"), shape)?,
        None => default.environments,
    };
    let at_mirrors = reader.key("mirrors");
    let mirrors = shape.mirrors.map(|mirrors| Mirrors::read(&at_mirrors, mirrors)).transpose()?;
    let (mirrors, collect) = mirrors.map_or((None, None), |mirrors| (mirrors.read, mirrors.collect));
    let (caches, remote_caches) = match &shape.caches {
        Some(caches) => CacheEntry::read_all(&reader.key("caches"), caches, &environments)?,
        None => (default.caches, Vec::new()),
    };
    if let Some((index, entry)) = &collect {
        entry.check(&at_mirrors.item(*index), &caches, &remote_caches, &environments)?;
    }
    let collect = collect.map(|(_, entry)| entry);
    let jobs = JobRule::read_all(&reader.key("jobs"), shape.jobs.unwrap_or_default())?;
    let build_deps = reader.read_key("build-deps", shape.build_deps.as_ref(), str::parse::<BuildDeps>)?;
    let network = network::read(&reader.key("network"), &shape.network.unwrap_or_default())?;
    let max_archive_size = reader.read_key("max-archive-size", shape.max_archive_size.as_ref(), size)?;
    let max_archive_size = max_archive_size.unwrap_or(default.max_archive_size);
    let mut config = Config {
        environments,
        mirrors,
        collect,
        caches,
        remote_caches,
        jobs,
        build_deps,
        network,
        max_archive_size,
        ..default
    };
    config.provide_scratch();
    Ok(config)
}

fn read_environments(reader: &Reader<'_>, shape: &TextOr<Vec<Text>>) -> Result<Vec<PathBuf>, Problem> {
    let parse = |text: &str| path(text, reader.root());
    let environments = match shape {
        TextOr::Text(text) => vec![reader.read(text, parse)?],
        TextOr::Other(list) => reader.read_list(list, parse)?,
    };
    if environments.is_empty() {
        let complaint = Complaint::new("there is no environment in the list");
        return Err(reader.problem(complaint.help("leave the key out for the folder of larder.yaml")));
    }
    Ok(environments)
}
