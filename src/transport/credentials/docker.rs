//! What `docker login` and `podman login` left on this machine: `config.json` and `auth.json`, with or without a credential
//! helper. The formats are the business of the crate `docker_credential`.

use std::io::Read;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use fs_err as fs;

use crate::types::{AccessPair, Secret, Variables};

/// The most bytes of such a file: stops a wrong file from filling the memory.
const LONGEST: u64 = 1 << 20;

/// Where to look, in this order.
#[derive(Debug)]
pub(super) struct DockerFiles {
    /// `DOCKER_AUTH_CONFIG`: the text of a `config.json`, in a variable that GitLab's runner reads, too.
    inline: Option<Secret>,
    files: Vec<PathBuf>,
}

/// What a registry's own login takes.
#[derive(Clone, Debug)]
pub(in crate::transport) enum Login {
    /// A user name and a password.
    Pair(AccessPair),
    /// What Docker calls an identity token: to be exchanged for others.
    Identity(Secret),
}

impl DockerFiles {
    pub(super) fn new(variables: &Variables) -> Self {
        let variable = |name| variables.set(name);
        let below = |name, path: &str| variable(name).map(|folder| PathBuf::from(folder).join(path));
        let docker = below("DOCKER_CONFIG", "config.json").or_else(|| below("HOME", ".docker/config.json"));
        let podman = match variable("REGISTRY_AUTH_FILE") {
            Some(file) => vec![PathBuf::from(file)],
            None => [below("XDG_RUNTIME_DIR", "containers/auth.json"), below("HOME", ".config/containers/auth.json")]
                .into_iter()
                .flatten()
                .collect(),
        };
        let inline = variable("DOCKER_AUTH_CONFIG").map(Secret::new);
        Self { inline, files: docker.into_iter().chain(podman).collect() }
    }

    /// What is for the registry `host[:port]`, and where that was found.
    pub(super) fn look_up(&self, host: &str) -> Option<(Login, String)> {
        if let Some(text) = &self.inline
            && let Some(found) = read(text.expose().as_bytes(), host, "`DOCKER_AUTH_CONFIG`")
        {
            return Some((found, "`DOCKER_AUTH_CONFIG`".to_owned()));
        }
        self.files.iter().filter(|path| path.is_file()).find_map(|path| {
            let place = format!("`{}`", path.display());
            let file = fs::File::open(path).ok()?;
            read(file.take(LONGEST), host, &place).map(|found| (found, place))
        })
    }
}

fn read(text: impl Read, host: &str, place: &str) -> Option<Login> {
    match get_credential_from_reader(text, host) {
        // Some helpers answer so for a registry that they don't know.
        Ok(DockerCredential::UsernamePassword(id, _)) if id.is_empty() => None,
        Ok(DockerCredential::UsernamePassword(id, secret)) => {
            Some(Login::Pair(AccessPair { id, secret: Secret::new(secret) }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Some(Login::Identity(Secret::new(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => None,
        Err(error) => {
            // Of a helper that failed, only its name: what it printed may be a secret.
            let reason = match &error {
                CredentialRetrievalError::HelperFailure { helper, .. } => format!("`{helper}` failed"),
                other => other.to_string(),
            };
            tracing::info!("no credentials for {host} from {place}: {reason}");
            None
        }
    }
}
