//! `~/.netrc`: user names and passwords by host, as curl, git and Python read it.
//!
//! Its `default` entry is not used: it was not written with each mirror in mind that a project's configuration may name.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fs_err as fs;
use url::Url;

use super::host::host_and_port;
use crate::types::{AccessPair, Secret, Variables};

/// The most bytes of a netrc file: stops a wrong file from filling the memory.
const LONGEST: u64 = 1 << 20;

/// The file, read when it is first needed.
#[derive(Debug)]
pub(super) struct Netrc {
    path: Option<PathBuf>,
    /// What the file has for each host. `None` where it can't be read or understood; what the parser says of that is not
    /// kept, since it quotes the file.
    hosts: OnceLock<Option<HashMap<String, AccessPair>>>,
}

impl Netrc {
    /// `$NETRC`, else `~/.netrc`.
    pub(super) fn new(variables: &Variables) -> Self {
        let variable = |name| variables.set(name).map(PathBuf::from);
        let path = variable("NETRC").or_else(|| Some(variable("HOME")?.join(".netrc")));
        Self { path, hosts: OnceLock::new() }
    }

    /// What is for the host of this URL. An entry may name a port; one without is for all of the host's.
    pub(super) fn get(&self, url: &Url) -> Option<AccessPair> {
        let hosts = self.hosts.get_or_init(|| read(self.path.as_deref())).as_ref()?;
        hosts.get(&host_and_port(url)).or_else(|| hosts.get(url.host_str()?)).cloned()
    }

    /// The file, if it was of no use.
    pub(super) fn broken(&self) -> Option<&Path> {
        self.path.as_deref().filter(|_| matches!(self.hosts.get(), Some(None)))
    }
}

fn read(path: Option<&Path>) -> Option<HashMap<String, AccessPair>> {
    let Some(path) = path.filter(|path| path.is_file()) else { return Some(HashMap::new()) };
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    let entries = text.parse::<netrc::Netrc>().ok()?.hosts.into_iter().filter(|(host, _)| host != "default");
    let pair = |entry: netrc::Authenticator| AccessPair { id: entry.login, secret: Secret::new(entry.password) };
    Some(entries.map(|(host, entry)| (host.to_ascii_lowercase(), pair(entry))).collect())
}
