//! Where a folder may be whose content GitLab replaces and larder deletes.

use std::path::{Path, PathBuf};

use super::cache_entry::CacheEntry;
use super::cache_name::is_lock;
use crate::types::Variables;
use crate::yaml::{Problem, Result};

/// What an entry of `caches:` or `mirrors:` is put together with.
pub(super) struct Surroundings<'a> {
    /// The folder of the project.
    pub(super) root: &'a Path,
    pub(super) environments: &'a [PathBuf],
    pub(super) variables: &'a Variables,
}

impl Surroundings<'_> {
    /// Refuse the folder of `what` (such as "the cache `shared`") where it overlaps with the project, or one of the caches.
    ///
    /// Only the text of the paths is compared: links may make two paths one folder, which the lock of a cache finds out.
    pub(super) fn refuse_overlap(&self, caches: &[CacheEntry], what: &str, path: &Path, help: &str) -> Result<()> {
        self.overlap(caches, what, path).map_or(Ok(()), |message| Err(Problem::new(message).help(help)))
    }

    fn overlap(&self, caches: &[CacheEntry], what: &str, path: &Path) -> Option<String> {
        if self.root.starts_with(path) {
            return Some(format!("the folder of {what} would hold the whole project"));
        }
        if let Some(environment) = self.environments.iter().find(|environment| environment.starts_with(path)) {
            return Some(format!("the folder of {what} would hold the environment `{}`", environment.display()));
        }
        let own = self.root.join(".larder");
        let job = own.join("job");
        if path.starts_with(&job) || job.starts_with(path) {
            return Some(format!("the folder of {what} overlaps with `{}`, which holds this job only", job.display()));
        }
        let part = path.strip_prefix(&own).ok().and_then(|below| below.iter().next());
        if part.is_some_and(|part| is_lock(Path::new(part))) {
            return Some(format!("the folder of {what} is named like a lock of larder"));
        }
        let other = caches.iter().find(|other| path.starts_with(&other.path) || other.path.starts_with(path))?;
        Some(if other.path == path {
            format!("the cache `{}` and {what} have the same folder", other.name)
        } else if path.starts_with(&other.path) {
            format!("the folder of {what} is inside that of the cache `{}`", other.name)
        } else {
            format!("the folder of the cache `{}` is inside that of {what}", other.name)
        })
    }
}
