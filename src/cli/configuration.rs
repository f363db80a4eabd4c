//! larder.yaml with the command line on top.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::commands::{CommandError, RunError};
use larder::config::{Config, Prefixes, Upkeep};
use larder::types::{Mirror, MirrorUrl, PlainHttp, Variables};

use super::global::GlobalOptions;
use super::outcome::Failure;

pub(crate) fn load(options: &GlobalOptions, here: &Path, variables: &Variables) -> Result<Config, Failure> {
    let mut config = Config::load(options.config.as_deref(), here, variables)?;
    if !options.environments.is_empty() {
        config.environments = environments(options, here, variables);
    }
    if !options.mirrors.is_empty() {
        let known = config.mirrors.take().unwrap_or_default();
        let mirrors = options.mirrors.iter().map(|url| mirror(url, &known, options));
        config.mirrors = Some(mirrors.collect::<Result<_, _>>()?);
    }
    if !options.caches.is_empty() {
        only(&mut config, &options.caches)?;
    }
    Ok(config)
}

/// A mirror given by `--mirror`. One that the configuration knows keeps what the configuration says of it.
fn mirror(url: &MirrorUrl, known: &[Mirror], options: &GlobalOptions) -> Result<Mirror, Failure> {
    let known = known.iter().find(|known| known.url == *url);
    let plain_http = known.map_or(PlainHttp::LoopbackOnly, |known| known.plain_http);
    protected(url, plain_http)?;
    Ok(Mirror {
        name: known.map_or_else(|| url.to_string(), |known| known.name.clone()),
        url: url.clone(),
        signatures: options.signatures(),
        plain_http,
        access: known.map(|known| Arc::clone(&known.access)).unwrap_or_default(),
        presence: known.map(|known| known.presence).unwrap_or_default(),
    })
}

/// An error where bytes from the mirror could be changed on their way.
pub(crate) fn protected(url: &MirrorUrl, plain_http: PlainHttp) -> Result<(), Failure> {
    if url.is_refused_by(plain_http) { Err(Failure::InsecureMirror { url: url.to_string() }) } else { Ok(()) }
}

/// Act on these caches only. They then take the binaries of all mirrors, since there is no other to take them.
pub(crate) fn only(config: &mut Config, names: &[String]) -> Result<(), CommandError> {
    let is_named = |name: &str| names.iter().any(|named| named == name);
    let Config { caches, remote_caches, collect, built_mirror, .. } = config;
    let of_caches = caches.iter().map(|cache| &cache.name).chain(remote_caches.iter().map(|cache| &cache.name));
    let folder = collect.iter().map(|entry| entry.name.clone());
    let pushed = built_mirror.iter().map(|entry| entry.mirror.name.clone());
    let known: Vec<String> = of_caches.map(ToString::to_string).chain(folder).chain(pushed).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let known = known.iter().map(|name| format!("`{name}`")).collect();
        return Err(CommandError::Run(RunError::NoSuchCache { name: name.clone(), known }));
    }
    caches.retain(|cache| is_named(cache.name.as_str()));
    remote_caches.retain(|cache| is_named(cache.name.as_str()));
    if let Some(entry) = collect.as_mut().filter(|entry| !is_named(&entry.name)) {
        // It is still asked for what the branch built.
        entry.upkeep = Upkeep::LeftAlone;
    }
    if let Some(entry) = built_mirror.as_mut().filter(|entry| !is_named(&entry.mirror.name)) {
        entry.upkeep = Upkeep::LeftAlone;
    }
    if let [cache] = &mut caches[..] {
        cache.prefixes = Prefixes::default();
    }
    config.provide_scratch();
    Ok(())
}

/// The environments given by `--environment`: each a folder, a lockfile, or the name of one of Spack's own.
pub(crate) fn environments(options: &GlobalOptions, here: &Path, variables: &Variables) -> Vec<PathBuf> {
    let own = variables.get("SPACK_ROOT").map(|root| Path::new(root).join("var/spack/environments"));
    let environment = |path: &PathBuf| {
        let beside = here.join(path);
        let is_name = path.components().count() == 1 && !beside.exists();
        let named = own.as_ref().filter(|_| is_name).map(|own| own.join(path));
        named
            .filter(|folder| ["spack.yaml", "spack.lock"].iter().any(|name| folder.join(name).is_file()))
            .unwrap_or(beside)
    };
    options.environments.iter().map(environment).collect()
}
