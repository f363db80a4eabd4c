//! The file `larder.yaml`: from bytes to a [`Config`].

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::caches::Caches;
use super::error::ConfigError;
use super::expand::expand_all;
use super::folders::Surroundings;
use super::jobs::JobRule;
use super::mirrors::Mirrors;
use super::network::NetworkSchema;
use super::project::Config;
use super::schema::FileSchema;
use super::text::Size;
use crate::fs::{Kind, kind};
use crate::types::{Variables, normalise};
use crate::yaml::{self, Problem, Result};

/// The name of the configuration file.
pub(super) const NAME: &str = "larder.yaml";

/// The most bytes of a configuration: stops a wrong file, such as an archive, from filling the memory.
const LONGEST: u64 = 1 << 20;

impl Config {
    /// Read the file `explicit`, or else `larder.yaml` in the current folder if there is one.
    pub fn load(explicit: Option<&Path>, current_dir: &Path, variables: &Variables) -> Result<Self, ConfigError> {
        let named = explicit.unwrap_or(Path::new(NAME));
        // Never asks the file system unless `current_dir` is relative, so that an unreadable parent is no obstacle here.
        let file = std::path::absolute(current_dir.join(named))
            .map_err(|source| ConfigError::Unreadable { path: named.to_owned(), source })?;
        let file = normalise(&file);
        let root = file.parent().unwrap_or(&file);
        match read_text(&file)? {
            Some(yaml) => parse(&yaml, named, root, variables),
            None if explicit.is_some() => Err(ConfigError::Missing { path: named.to_owned() }),
            None => {
                let other = root.join("larder.yml");
                if matches!(kind(&other), Ok(Kind::Missing)) {
                    Ok(Self::without_file(root))
                } else {
                    Err(ConfigError::OtherName { path: PathBuf::from("larder.yml") })
                }
            }
        }
    }
}

/// The text of a file, or `None` where there is none. A link is followed: the file is part of the user's project.
fn read_text(file: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: file.to_owned(), source };
    let not_text = |reason| ConfigError::NotText { path: file.to_owned(), reason };
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        // Opening a pipe would wait until something is written to it.
        Ok(meta) if !meta.is_file() => return Err(unreadable(io::Error::other("it is not a regular file"))),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    if read.map_err(unreadable)? as u64 > LONGEST {
        return Err(not_text("is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| not_text("is not UTF-8 text"))
}

/// The configuration in a text. `file` is its name in messages, `root` the folder its paths are relative to.
pub(super) fn parse(yaml: &str, file: &Path, root: &Path, variables: &Variables) -> Result<Config, ConfigError> {
    read(yaml, file, root, variables)
        .map(|config| Config { file: Some(file.to_owned()), ..config })
        .map_err(|problem| ConfigError::new(file, yaml, problem))
}

fn read(yaml: &str, file: &Path, root: &Path, variables: &Variables) -> Result<Config> {
    let mut tree = yaml::parse(yaml, file, yaml::Dialect::Standard)?;
    expand_all(&mut tree, variables)?;
    let schema = tree.read::<Option<FileSchema>>()?.unwrap_or_default();

    let mut config = Config::without_file(root);
    if let Some(environments) = schema.environments {
        let problem = Problem::new("there is no environment in the list")
            .help("leave the key out for the folder of larder.yaml")
            .at(tree.place_of("environments"));
        config.environments = environments.some(problem)?.iter().map(|path| path.below(root)).collect();
    }
    let surroundings = Surroundings { root, environments: &config.environments, variables };
    let caches = match schema.caches {
        Some(caches) => Caches::read(caches, tree.items_of("caches"), &surroundings)
            .map_err(|problem| problem.at(tree.place_of("caches")))?,
        None => Caches { folders: config.caches, remotes: Vec::new() },
    };
    if let Some(mirrors) = schema.mirrors {
        let mirrors = Mirrors::read(mirrors, tree.items_of("mirrors"), &surroundings, &caches)?;
        (config.mirrors, config.collect, config.built_mirror) = (mirrors.read, mirrors.folder, mirrors.pushed);
    }
    (config.caches, config.remote_caches) = (caches.folders, caches.remotes);
    config.jobs = JobRule::read_all(schema.jobs.unwrap_or_default());
    config.build_deps = schema.build_deps;
    config.concretize = schema.concretize;
    if let Some(hand_over) = schema.hand_over {
        let problem = Problem::new("there is no way to hand over in the list")
            .help("leave the key out for `flag`")
            .at(tree.place_of("hand-over"));
        config.hand_over = Some(hand_over.some(problem)?);
    }
    config.network = schema.network.map_or(config.network, NetworkSchema::settings);
    if let Some(Size(size)) = schema.max_archive_size {
        config.max_archive_size = size;
    }
    config.set_aside = schema.set_aside.unwrap_or_default();
    config.provide_scratch();
    Ok(config)
}
