//! Mirrors for concretizing: one for each source mirror, with its index and nothing else, and scopes in which they are all there is.
//!
//! Environments with other mirrors get another scope: Spack would else reuse specs that the environment's own mirrors do not have.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::folder::INDEX;
use super::mirror::link;
use super::scope::{FILE_NAME, replacing_text};
use super::{JobError, JobFolder};
use crate::fs::{Folder, Obstacle};
use crate::mirror::PublishedIndex;
use crate::store::StoredBlob;
use crate::types::{Mirror, Sha256Digest};

/// What Spack is to see of a mirror while it concretizes.
pub(crate) enum IndexMirror<'a> {
    /// A mirror with these indexes alone.
    Indexes(&'a Mirror, Vec<&'a PublishedIndex>),
    /// The mirror itself.
    Itself(&'a Mirror),
    /// Nothing.
    Hidden,
}

/// How Spack is to be called to concretize an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexScope {
    /// For `-C`.
    pub scope: PathBuf,
    /// For `-c`, each: Spack before 1.0 reads an environment once more when it concretizes, and the mirrors of its own `spack.yaml`
    /// outrank the scope from then on. By its name, each of them is led to its index.
    pub settings: Vec<String>,
}

/// Build the mirrors and their scopes, in a job folder that was cleared: one scope for each of the `groups`, which name the mirrors
/// of an environment by their positions. Groups that are alike share one.
pub(crate) fn build_indexes(
    folder: &JobFolder,
    mirrors: &[IndexMirror<'_>],
    blob: &dyn Fn(Sha256Digest) -> Option<StoredBlob>,
    groups: &[Vec<usize>],
) -> Result<Vec<IndexScope>, JobError> {
    let failed = folder.failed("build the mirrors of indexes");
    let built = folder.partial().join(INDEX);
    fs::create_dir_all(&built).map_err(&failed)?;
    let entries = mirrors.iter().enumerate().map(|(number, mirror)| {
        let name = (number + 1).to_string();
        let (mirror, url) = match mirror {
            IndexMirror::Hidden => return Ok(None),
            IndexMirror::Itself(mirror) => (mirror, mirror.url.to_string()),
            IndexMirror::Indexes(mirror, indexes) => {
                build_one(folder, &name, indexes, blob)?;
                let place = folder.root().join(INDEX).join(&name);
                (mirror, url::Url::from_file_path(&place).map_or_else(|()| place.display().to_string(), String::from))
            }
        };
        Ok(Some((format!("larder-index-{name}"), url, mirror.signatures)))
    });
    let entries = entries.collect::<io::Result<Vec<_>>>().map_err(&failed)?;
    fs::rename(&built, folder.root().join(INDEX)).map_err(&failed)?;

    let mut scopes: Vec<(&Vec<usize>, PathBuf)> = Vec::new();
    for group in groups {
        if scopes.iter().any(|(known, _)| *known == group) {
            continue;
        }
        let place = match scopes.len() {
            0 => folder.scope(),
            number => folder.root().join(INDEX).join(format!("spack-{}", number + 1)),
        };
        let mirrors = group.iter().filter_map(|position| entries.get(*position)?.as_ref());
        let mirrors = mirrors.map(|(name, url, signatures)| (name.as_str(), url.clone(), *signatures));
        let about = "Written by larder for `spack concretize` in one job: `larder prepare` replaces it by the mirror of binaries.";
        let text = replacing_text(about, mirrors);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&place)?;
            crate::fs::write_atomically(&place.join(FILE_NAME), text.as_bytes(), &folder.partial())
        };
        write().map_err(folder.failed("write the configuration scope"))?;
        scopes.push((group, place));
    }
    let setting = |position: &usize| {
        let (IndexMirror::Indexes(mirror, _), Some((_, url, _))) = (mirrors.get(*position)?, entries.get(*position)?)
        else {
            return None;
        };
        // Quotes let a colon be part of a name or of a value; in a URL of a file there is none that is not encoded.
        (!mirror.name.contains('"')).then(|| format!("mirrors:\"{}\":url:\"{url}\"", mirror.name))
    };
    let scope_of = |group: &Vec<usize>| {
        let (_, scope) = scopes.iter().find(|(known, _)| *known == group)?;
        Some(IndexScope { scope: scope.clone(), settings: group.iter().filter_map(setting).collect() })
    };
    Ok(groups.iter().filter_map(scope_of).collect())
}

fn build_one(
    folder: &JobFolder,
    name: &str,
    indexes: &[&PublishedIndex],
    blob: &dyn Fn(Sha256Digest) -> Option<StoredBlob>,
) -> io::Result<()> {
    let subfolder = Path::new(INDEX).join(name);
    let root = folder.partial().join(&subfolder);
    fs::create_dir_all(&root)?;
    let mirror = Folder::at(&root);
    let stored = |digest| blob(digest).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    for index in indexes {
        let shown = index.shown(&|digest| fs::File::open(stored(digest)?.path()))?;
        for (path, digest) in shown.blobs {
            link(folder, &mirror, &subfolder, &path, &stored(digest)?)?;
        }
        for (path, bytes) in shown.files {
            fs::write(mirror.make_place(&path, Obstacle::Remove)?, bytes)?;
        }
    }
    Ok(())
}
