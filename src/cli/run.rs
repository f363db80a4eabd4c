//! From a command line to a use case, and from its report to what people see.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use larder::commands::{
    self, CollectOptions, CommandError, InitOptions, Mode, OnCorrupt, Output, PruneOptions, Push, RunError, Session,
    Wanted, WriteFiles,
};
use larder::config::{BuildDeps, Config, ConfigError, Upkeep};
use larder::plan::Selection;
use larder::report::Report;
use larder::reporter::{Level, Reporter as _};
use larder::types::{Mirror, PlainHttp, Signatures, Variables};
use miette::Diagnostic;
use thiserror::Error;

use super::args::{
    BuildDepsOption, Cli, Command, ExportOptions, FillOptions, GlobalOptions, PackOptions, SelectionOptions, SortOption,
};
use super::console::{self, Console, Palette};
use super::logging::InvalidLogFilter;
use super::progress::Progress;
use super::summary::Run;
use super::tables::CorruptBlobs;
use super::{diagnostics, json, logging, signals, summary, tables};

/// How a run ended that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: 0.
    Done,
    /// `verify` found a corrupt blob: 1.
    Corrupt,
    /// Done, but something needed is in no mirror, and `--require-all` was given: 3.
    Incomplete,
}

/// Why a run did not do what it was asked.
#[derive(Debug, Error, Diagnostic)]
pub enum Failure {
    /// `larder.yaml` is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// The command failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Command(#[from] CommandError),
    /// `LARDER_LOG` is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LogFilter(#[from] InvalidLogFilter),
    /// A mirror given by `--mirror` without TLS.
    #[error("`--mirror {url}` is not protected by TLS: anybody on the way could replace binaries and digests alike")]
    #[diagnostic(help(
        "use `https://` or `oci://`; where you trust the network, list the mirror in larder.yaml with `insecure: true`"
    ))]
    InsecureMirror {
        /// The URL.
        url: String,
    },
    /// No current folder, no threads, no standard output.
    #[error("can't {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Corrupt => 1,
            Outcome::Incomplete => 3,
        })
    }
}

impl Failure {
    /// 2 where the command line or the configuration is wrong, that of the signal where one ended it, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::LogFilter(_) | Self::InsecureMirror { .. } => 2,
            Self::Command(error) if error.is_usage() => 2,
            Self::Command(CommandError::Run(RunError::Interrupted { signal })) => signal.exit_code(),
            Self::Command(_) | Self::System { .. } => 1,
        }
    }

    /// The message.
    pub fn render(&self, palette: Palette) -> String {
        let excerpt = match self {
            Self::Config(error) => error.excerpt().map(ToString::to_string),
            _ => None,
        };
        diagnostics::render(self, excerpt.as_deref(), palette)
    }
}

/// Run the command and show what it did.
pub fn run(cli: &Cli, console: &Console, variables: Variables) -> Result<Outcome, Failure> {
    let progress = Progress::new(console);
    logging::init(console, progress.screen(), variables.get("LARDER_LOG"))?;
    if let Command::Init(options) = &cli.command {
        return init(cli, options.print, variables, &progress);
    }
    let mut config = configuration(&cli.global, &variables)?;
    if let Command::Pack(options) = &cli.command
        && !options.names.is_empty()
    {
        only(&mut config, &options.names)?;
    }
    if matches!(cli.command, Command::Clean(_)) && cli.global.caches.is_empty() {
        for cache in std::mem::take(&mut config.remote_caches) {
            let text =
                format!("cache `{0}` is others' as well: `--cache {0}` empties it, and nothing else does", cache.name);
            progress.note(Level::Info, &text);
        }
    }
    let home = variables.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let session = Session::new(config, variables, home, &progress);
    // The others change nothing that could be left half-done: a signal ends them on the spot.
    if matches!(
        cli.command,
        Command::Prepare(_) | Command::Warm(_) | Command::Export(_) | Command::Finish(_) | Command::Collect(_)
    ) {
        signals::pass_on(&session.interrupt, progress.screen())
            .map_err(|source| Failure::System { what: "watch for signals", source })?;
    }
    let report = match &cli.command {
        Command::Plan(options) => block_on(commands::plan(&session, &wanted(options)))?,
        Command::Warm(options) => block_on(commands::warm(&session, &pushing(options)))?,
        Command::Export(options) => {
            let folder = here()?.join(&options.folder);
            block_on(commands::export(&session, &wanted(&options.selection), &folder))?
        }
        Command::Prepare(options) => {
            let prepared = block_on(commands::prepare(&session, &pushing(options)))?;
            if !cli.global.json {
                console.tell_more(&summary::prepared(&prepared.report, console.err));
                console.tell_more(&summary::how_to_use(&prepared.scope, &session.config.environments, &here()?));
            }
            prepared.report
        }
        Command::Finish(options) => {
            let collect = options.collect.then(|| collect_options(options.spack.as_deref(), &options.installed));
            block_on(commands::finish(&session, collect.transpose()?.as_ref(), mode(options.dry_run)))?
        }
        Command::Collect(options) => {
            let how = collect_options(options.spack.as_deref(), &options.installed)?;
            block_on(commands::collect(&session, &how, mode(options.dry_run)))?
        }
        Command::Prune(options) => {
            let (max_age, max_size) = (options.max_age, options.max_size);
            block_on(commands::prune(&session, &PruneOptions { max_age, max_size, mode: mode(options.dry_run) }))?
        }
        Command::Clean(options) => block_on(commands::clean(&session, mode(options.dry_run)))?,
        Command::Verify(options) => block_on(commands::verify(&session, on_corrupt(options.delete)))?,
        Command::List(_) => block_on(commands::list(&session))?,
        // Has no configuration to start from: done above.
        Command::Init(_) => return Ok(Outcome::Done),
        Command::Pack(options) => commands::pack(&session, &output(options)?)?,
        Command::Unpack(options) => commands::unpack(&session, &here()?.join(&options.archive), mode(options.dry_run))?,
    };
    drop(session);
    let shown = if cli.global.json { json::print(&report) } else { show(cli, &report, console) };
    shown.map_err(|source| Failure::System { what: "write to standard output", source })?;
    Ok(outcome(&cli.command, &report))
}

/// Write a first configuration. What no file took is printed.
fn init(cli: &Cli, print: bool, variables: Variables, progress: &Progress) -> Result<Outcome, Failure> {
    let here = here()?;
    let global = &cli.global;
    if let Some(url) = global.mirrors.iter().find(|url| url.is_refused_by(PlainHttp::LoopbackOnly)) {
        return Err(Failure::InsecureMirror { url: url.to_string() });
    }
    let options = InitOptions {
        signatures: if global.unsigned { Signatures::NotRequired } else { Signatures::Required },
        file: here.join(global.config.as_deref().unwrap_or(Path::new("larder.yaml"))),
        environments: global.environments.iter().map(|path| environment(path, &here, &variables)).collect(),
        mirrors: global.mirrors.iter().map(ToString::to_string).collect(),
        write: if print { WriteFiles::None } else { WriteFiles::New },
    };
    let home = variables.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let session = Session::new(Config::without_file(&here), variables, home, progress);
    let made = commands::init(&session, &options)?;
    let text = summary::initialised(&made, &here);
    for line in text.notes {
        session.reporter.note(Level::Info, &line);
    }
    console::print(&text.result).map_err(|source| Failure::System { what: "write to standard output", source })?;
    Ok(Outcome::Done)
}

/// What people see of a report. `prepare` has said it already, together with how to use what it made.
fn show(cli: &Cli, report: &Report, console: &Console) -> io::Result<()> {
    match &cli.command {
        Command::Prepare(_) | Command::Init(_) => {}
        Command::Warm(_) => console.tell_more(&summary::prepared(report, console.err)),
        Command::Export(_) => {
            console.tell_more(&summary::prepared(report, console.err));
            console.tell_more(&summary::exported(report));
        }
        Command::Finish(options) => {
            console.tell_more(&summary::pruned(report, dry(options.dry_run), console.err));
        }
        Command::Clean(options) => {
            console.tell_more(&summary::pruned(report, dry(options.dry_run), console.err));
        }
        Command::Collect(options) => console.tell_more(&summary::collected(report, dry(options.dry_run), console.err)),
        Command::Prune(options) => {
            console.tell_more(&summary::pruned(report, dry(options.dry_run), console.err));
        }
        Command::Pack(_) => console.tell_more(&summary::packed(report)),
        Command::Unpack(options) => {
            if options.dry_run {
                console::print(&tables::list(report, SortOption::Name, Timestamp::now(), console.width, console.out))?;
            }
            console.tell_more(&summary::unpacked(report, dry(options.dry_run), console.err));
        }
        Command::Plan(_) => return console::print(&tables::plan(report, console.width, console.out)),
        Command::List(options) => {
            let now = Timestamp::now();
            return console::print(&tables::list(report, options.sort, now, console.width, console.out));
        }
        Command::Verify(options) => {
            let corrupt = if options.delete { CorruptBlobs::Deleted } else { CorruptBlobs::Kept };
            return console::print(&tables::verify(report, corrupt, console.out));
        }
    }
    Ok(())
}

fn outcome(command: &Command, report: &Report) -> Outcome {
    match command {
        Command::Plan(options) if options.require_all && report.missing().next().is_some() => Outcome::Incomplete,
        Command::Prepare(FillOptions { selection: options, .. })
        | Command::Warm(FillOptions { selection: options, .. })
        | Command::Export(ExportOptions { selection: options, .. })
            if options.require_all && report.missing().next().is_some() =>
        {
            Outcome::Incomplete
        }
        Command::Verify(_) if report.caches.iter().any(|cache| cache.corrupt > 0) => Outcome::Corrupt,
        _ => Outcome::Done,
    }
}

/// The configuration file with what the command line says on top.
fn configuration(options: &GlobalOptions, variables: &Variables) -> Result<Config, Failure> {
    let here = here()?;
    let mut config = Config::load(options.config.as_deref(), &here, variables)?;
    if !options.environments.is_empty() {
        config.environments = options.environments.iter().map(|path| environment(path, &here, variables)).collect();
    }
    if !options.mirrors.is_empty() {
        config.mirrors = Some(
            options
                .mirrors
                .iter()
                .map(|url| {
                    let signatures = if options.unsigned { Signatures::NotRequired } else { Signatures::Required };
                    // A mirror that the configuration knows keeps what the configuration says of it.
                    let known = config.mirrors.iter().flatten().find(|known| known.url == *url);
                    let plain_http = known.map_or(PlainHttp::LoopbackOnly, |known| known.plain_http);
                    if url.is_refused_by(plain_http) {
                        return Err(Failure::InsecureMirror { url: url.to_string() });
                    }
                    let name = known.map_or_else(|| url.to_string(), |known| known.name.clone());
                    let access = known.map(|known| Arc::clone(&known.access)).unwrap_or_default();
                    Ok(Mirror { name, url: url.clone(), signatures, plain_http, access })
                })
                .collect::<Result<_, _>>()?,
        );
    }
    if !options.caches.is_empty() {
        only(&mut config, &options.caches)?;
    }
    Ok(config)
}

/// Act on these caches only. They then take the binaries of all mirrors, since there is no other to take them.
fn only(config: &mut Config, names: &[String]) -> Result<(), CommandError> {
    let Config { caches, remote_caches, collect, .. } = config;
    let of_caches = caches.iter().map(|cache| &cache.name).chain(remote_caches.iter().map(|cache| &cache.name));
    let folder = collect.iter().map(|entry| entry.name.clone());
    let known: Vec<String> = of_caches.map(ToString::to_string).chain(folder).collect();
    for name in names {
        if !known.contains(name) {
            let known = known.iter().map(|name| format!("`{name}`")).collect();
            return Err(CommandError::Run(RunError::NoSuchCache { name: name.clone(), known }));
        }
    }
    if let Some(entry) = collect
        && !names.contains(&entry.name)
    {
        // It is still asked for what the branch built.
        entry.upkeep = Upkeep::LeftAlone;
    }
    caches.retain(|cache| names.iter().any(|name| cache.name.as_str() == name));
    remote_caches.retain(|cache| names.iter().any(|name| cache.name.as_str() == name));
    if let [cache] = &mut caches[..] {
        cache.prefixes.clear();
    }
    config.provide_scratch();
    Ok(())
}

/// A folder, a lockfile, or the name of one of Spack's own environments.
fn environment(path: &Path, here: &Path, variables: &Variables) -> PathBuf {
    let beside = here.join(path);
    let is_name = path.components().count() == 1 && !beside.exists();
    let named = variables
        .get("SPACK_ROOT")
        .filter(|_| is_name)
        .map(|root| Path::new(root).join("var/spack/environments").join(path));
    named.filter(|folder| folder.join("spack.lock").is_file()).unwrap_or(beside)
}

fn pushing(options: &FillOptions) -> Wanted {
    Wanted { push: if options.push { Push::Now } else { Push::AtFinish }, ..wanted(&options.selection) }
}

fn wanted(options: &SelectionOptions) -> Wanted {
    Wanted {
        selection: Selection {
            specs: options.specs.iter().map(ToString::to_string).collect(),
            hashes: options.hashes.iter().map(|hash| hash.as_str().to_owned()).collect(),
        },
        build_deps: options.build_deps.map(|which| match which {
            BuildDepsOption::Missing => BuildDeps::Missing,
            BuildDepsOption::All => BuildDeps::All,
            BuildDepsOption::None => BuildDeps::None,
        }),
        push: Push::AtFinish,
        install_trees: options.installed.clone(),
    }
}

/// A relative program is one from here; a bare name is one on the PATH, as in a shell.
fn collect_options(spack: Option<&Path>, install_trees: &[PathBuf]) -> Result<CollectOptions, Failure> {
    let from_here = |path: &Path| {
        if path.components().count() == 1 { Ok(path.to_owned()) } else { here().map(|here| here.join(path)) }
    };
    let (spack, install_trees) = (spack.map(from_here).transpose()?, install_trees.to_vec());
    Ok(CollectOptions { spack, install_trees, patience: None })
}

/// Two threads wait for the network; hashing and writing have threads of their own.
fn block_on<T, E: Into<CommandError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|source| Failure::System { what: "start threads", source })?;
    Ok(runtime.block_on(work).map_err(Into::into)?)
}

fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|source| Failure::System { what: "find the current folder", source })
}

fn mode(dry_run: bool) -> Mode {
    if dry_run { Mode::Pretend } else { Mode::Act }
}

fn output(options: &PackOptions) -> Result<Output, Failure> {
    let path = here()?.join(&options.output);
    Ok(if options.force { Output::Overwrite(path) } else { Output::New(path) })
}

fn dry(dry_run: bool) -> Run {
    if dry_run { Run::Dry } else { Run::Real }
}

fn on_corrupt(delete: bool) -> OnCorrupt {
    if delete { OnCorrupt::Delete } else { OnCorrupt::Report }
}
