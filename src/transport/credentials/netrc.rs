//! `~/.netrc`: user names and passwords by host, as curl, git and Python read it.
//!
//! Its `default` entry is not used: whoever wrote it did not think of each mirror that a project's configuration may name.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

use fs_err as fs;
use url::Url;

use super::host_and_port;
use crate::types::{AccessPair, Secret, Variables};

/// The most bytes of a netrc file: stops a wrong file from filling the memory.
const LONGEST: u64 = 1 << 20;

/// Where the file is, if anywhere.
#[derive(Debug)]
pub(super) struct Netrc {
    path: Option<PathBuf>,
}

/// What the file says.
#[derive(Debug)]
pub(super) enum Hosts {
    /// By host; empty where there is no file.
    Known(HashMap<String, AccessPair>),
    /// The file is there, and can't be read or understood. What the parser says is not kept: it quotes the file.
    Broken(String),
}

impl Netrc {
    /// `$NETRC`, else `~/.netrc`.
    pub(super) fn new(variables: &Variables) -> Self {
        let variable = |name| variables.get(name).filter(|value| !value.is_empty());
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".netrc"));
        Self { path: variable("NETRC").map(PathBuf::from).or_else(home) }
    }

    pub(super) fn read(&self) -> Hosts {
        let Some(path) = self.path.as_ref().filter(|path| path.is_file()) else { return Hosts::Known(HashMap::new()) };
        let mut text = String::new();
        let read = fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
        match read.ok().and_then(|_| text.parse::<netrc::Netrc>().ok()) {
            Some(parsed) => Hosts::Known(pairs(parsed)),
            None => Hosts::Broken(path.display().to_string()),
        }
    }
}

fn pairs(parsed: netrc::Netrc) -> HashMap<String, AccessPair> {
    let hosts = parsed.hosts.into_iter().filter(|(host, _)| host != "default");
    hosts
        .map(|(host, entry)| {
            (host.to_ascii_lowercase(), AccessPair { id: entry.login, secret: Secret::new(entry.password) })
        })
        .collect()
}

impl Hosts {
    /// What is for the host of this URL. An entry may name a port; one without is for all of the host's.
    pub(super) fn get(&self, url: &Url) -> Option<AccessPair> {
        let Self::Known(hosts) = self else { return None };
        hosts.get(&host_and_port(url)).or_else(|| hosts.get(url.host_str()?)).cloned()
    }
}
