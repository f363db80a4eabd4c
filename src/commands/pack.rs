//! `larder pack`: caches into an archive, as the runner's own archiver would write it.
//!
//! Only what belongs to a cache goes in: blobs, records, and the folders above them. Each blob is hashed on its way, so that
//! what was packed can be unpacked. The archive appears under its name when it is whole.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::error::CommandError;
use crate::archive::{ArchiveError, CompressionMethod, Metadata, Writer};
use crate::config::Kept;
use crate::fs::Exclusion;
use crate::pipeline::{Session, stores};
use crate::report::{ArchiveReport, BlobReport, CacheReport, Report};
use crate::reporter::{Phase, PhaseProgress};
use crate::runner::archive_layout::{folders_of, path_of, prefix_of};
use crate::store::{Cache, FILE_NAME, MAX_BYTES};
use crate::verified::{BlobError, Expected, Size, copy_verified};

/// Where the archive goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file that is not there yet.
    New(PathBuf),
    /// A file that may be there: `--force`.
    Overwrite(PathBuf),
}

/// What an entry of the archive is made of.
enum Item<'a> {
    Folder,
    Blob(&'a Cache, BlobReport),
    Records(Vec<u8>),
}

/// The entries of an archive by their names: sorted, so that the same caches give the same bytes.
type Items<'a> = BTreeMap<String, Item<'a>>;

/// Pack the session's caches.
pub fn pack(session: &Session<'_>, output: &Output) -> Result<Report, CommandError> {
    let root = &session.config.root;
    let mut sources = Vec::new();
    // A cache that is not kept is in no archive of the runner.
    for entry in session.config.caches.iter().filter(|entry| entry.kept == Kept::Yes) {
        let prefix = prefix_of(&entry.path, root).ok_or_else(|| CommandError::OutsideProject {
            cache: entry.name.to_string(),
            path: entry.path.clone(),
            root: root.clone(),
        })?;
        sources.push((stores::open_cache(session, entry)?, prefix));
    }
    let path = check_output(session, output)?;
    let mut locks = Vec::new();
    let mut items = Items::new();
    let mut report = Report::new("pack");
    for (cache, prefix) in &sources {
        // Nothing may be pruned while it is copied. A cache that is not there needs no lock, and no lock file beside it.
        if cache.root().exists() {
            let waiting = || session.inform(&format!("waiting for a job that uses {cache}"));
            locks.push(cache.lock(Exclusion::Shared, waiting)?);
        }
        report.caches.push(list(session, cache, prefix, &mut items)?);
    }
    let blobs: u64 = report.caches.iter().map(|cache| cache.blobs).sum();
    if blobs == 0 {
        let caches = sources.iter().map(|(cache, _)| cache.to_string()).collect();
        return Err(CommandError::NothingToPack { caches });
    }
    let bytes = report.caches.iter().map(|cache| cache.bytes).sum();
    let progress = session.reporter.phase(Phase::Pack, blobs, Some(bytes));
    let written = write(session, &*progress, &items, path, output);
    progress.finish();
    report.archive = Some(ArchiveReport { path: path.display().to_string(), bytes: written?, blobs });
    Ok(session.conclude(report))
}

fn check_output<'a>(session: &Session<'_>, output: &'a Output) -> Result<&'a Path, CommandError> {
    let (Output::New(path) | Output::Overwrite(path)) = output;
    if matches!(output, Output::New(_)) && fs::symlink_metadata(path).is_ok() {
        return Err(CommandError::OutputExists { path: path.clone() });
    }
    // Also through links, where both can be looked up.
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real(path.parent().unwrap_or(Path::new("/")));
    match session.config.caches.iter().find(|entry| folder.starts_with(real(&entry.path))) {
        Some(entry) => Err(CommandError::OutputInCache { path: path.clone(), cache: entry.name.to_string() }),
        None => Ok(path),
    }
}

/// Add what a cache holds to the entries, under the names that they have in the archive.
fn list<'a>(
    session: &Session<'_>,
    cache: &'a Cache,
    prefix: &str,
    items: &mut Items<'a>,
) -> Result<CacheReport, CommandError> {
    let contents = cache.contents()?;
    let name_of = |below: &str| if below.is_empty() { prefix.to_owned() } else { format!("{prefix}/{below}") };
    stores::warn_of_foreign(session, cache, &contents.foreign, "; it is left out of the archive");
    let report = cache.report(&contents);
    for blob in contents.items.into_iter().flat_map(|item| item.blobs) {
        items.extend(folders_of(blob.digest).iter().map(|folder| (name_of(folder), Item::Folder)));
        items.insert(name_of(&path_of(blob.digest)), Item::Blob(cache, blob));
    }
    if report.blobs > 0 {
        match records_text(cache)? {
            Some(text) => {
                items.insert(name_of(FILE_NAME), Item::Records(text));
            }
            None => session.warn(&format!(
                "the records of {cache} are damaged or missing; the archive will not say what its blobs are for"
            )),
        }
    }
    Ok(report)
}

/// The text of the records, or `None` where there are none that larder would read.
fn records_text(cache: &Cache) -> Result<Option<Vec<u8>>, CommandError> {
    let (_, damage) = cache.records()?;
    let text = crate::fs::read_capped(&cache.root().join(FILE_NAME), MAX_BYTES);
    Ok(text.map_err(cache.failed("read the records"))?.filter(|_| damage.is_none()))
}

/// Write the archive beside its place, and give it its name. Returns its size.
fn write(
    session: &Session<'_>,
    progress: &dyn PhaseProgress,
    items: &Items<'_>,
    path: &Path,
    output: &Output,
) -> Result<u64, CommandError> {
    let failed = |source: io::Error| ArchiveError::Io { path: path.to_owned(), what: "write", source };
    let temporary = crate::fs::temporary_file(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    let mut writer = Writer::new(io::BufWriter::with_capacity(1 << 20, temporary));
    for (name, item) in items {
        let metadata = metadata_of(&session.config.root.join(name)).map_err(failed)?;
        match item {
            Item::Folder => writer.folder(name, metadata).map_err(failed)?,
            Item::Records(text) => {
                let out = writer.file(name, text.len() as u64, CompressionMethod::Deflated, metadata);
                out.and_then(|out| out.write_all(text)).map_err(failed)?;
            }
            Item::Blob(cache, blob) => {
                let (digest, size) = (blob.digest, Size::Exactly(blob.bytes));
                let out = writer.file(name, blob.bytes, CompressionMethod::Stored, metadata).map_err(failed)?;
                let item = progress.item(&digest.to_string(), Some(blob.bytes));
                let gone = || io::Error::new(io::ErrorKind::NotFound, format!("blob {digest} is gone"));
                let (file, _) = cache.read(digest)?.ok_or_else(|| cache.failed("read a blob")(gone()))?;
                // Hashed on its way: one read, and no archive with bytes that can't be unpacked.
                let copied = copy_verified(file, Expected { digest, size }, out, &|bytes| item.read(bytes));
                copied.map_err(|error| match error {
                    BlobError::Io(error) => failed(error).into(),
                    BlobError::Mismatch(mismatch) => {
                        let (cache, reason) = (cache.name().to_owned(), mismatch.to_string());
                        CommandError::CorruptBlob { cache, digest, reason }
                    }
                })?;
                item.finish();
            }
        }
    }
    let written = writer.finish().and_then(|buffer| Ok(buffer.into_inner()?)).map_err(failed)?;
    let bytes = written.as_file().metadata().map_err(failed)?.len();
    match output {
        Output::Overwrite(_) => crate::fs::publish(written.into_temp_path(), path).map_err(failed)?,
        // Another process may have made the file in the meantime.
        Output::New(_) => {
            written.into_temp_path().persist_noclobber(path).map_err(|refused| match refused.error.kind() {
                io::ErrorKind::AlreadyExists => CommandError::OutputExists { path: path.to_owned() },
                _ => failed(refused.error).into(),
            })?;
        }
    }
    Ok(bytes)
}

fn metadata_of(path: &Path) -> io::Result<Metadata> {
    let found = fs::symlink_metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(Metadata { mode: found.mode() & 0o7777, modified: found.mtime(), owner: (found.uid(), found.gid()) })
    }
    #[cfg(not(unix))]
    {
        let modified = jiff::Timestamp::try_from(found.modified()?).unwrap_or_default().as_second();
        let mode = if found.is_dir() { 0o755 } else { 0o644 };
        Ok(Metadata { mode, modified, owner: (0, 0) })
    }
}
