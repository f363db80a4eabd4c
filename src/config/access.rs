//! How a mirror is reached beyond its URL: the names of the variables that hold its credentials, and an endpoint.
//!
//! The keys are those of Spack's mirror entries, spelled as everything in `larder.yaml` is. A secret itself has no place in
//! a file: `larder.yaml` lies in the project's repository. So the file names variables, and their values are read here.

use url::Url;

use super::complaint::Complaint;
use super::reader::{Problem, Reader, line};
use super::shape::{Text, shape};
use crate::types::{Access, AccessPair, PlainHttp, Secret, is_loopback, shorten};

shape! {
    /// `access-pair:`.
    PairShape, "a map with `id` or `id-variable`, and `secret-variable`" {
        "id" => id: Text,
        "id-variable" => id_variable: Text,
        "secret-variable" => secret_variable: Text,
    }
}

/// The keys of an entry that are about access.
#[derive(Clone, Copy, Default)]
pub(super) struct AccessKeys<'a> {
    pub(super) pair: Option<&'a PairShape>,
    pub(super) token_variable: Option<&'a Text>,
    pub(super) profile: Option<&'a Text>,
    pub(super) endpoint_url: Option<&'a Text>,
}

impl AccessKeys<'_> {
    /// The first of them that is there.
    pub(super) fn first(&self) -> Option<&'static str> {
        let keys = [
            ("access-pair", self.pair.is_some()),
            ("access-token-variable", self.token_variable.is_some()),
            ("profile", self.profile.is_some()),
            ("endpoint-url", self.endpoint_url.is_some()),
        ];
        keys.into_iter().find_map(|(key, is_there)| is_there.then_some(key))
    }
}

/// What the keys of the entry at `reader` stand for. A variable that is not set is no error here: only a server can tell
/// whether it takes credentials at all.
pub(super) fn read(reader: &Reader<'_>, keys: &AccessKeys<'_>, plain_http: PlainHttp) -> Result<Access, Problem> {
    let mut access = Access::default();
    if let Some(pair) = keys.pair {
        access.pair = read_pair(&reader.key("access-pair"), pair, &mut access)?;
    }
    if let Some(name) = keys.token_variable {
        let name = variable_name(&reader.key("access-token-variable"), name)?;
        access.token = access.variable(name, reader.variables()).map(Secret::new);
    }
    access.profile = reader.read_key("profile", keys.profile, line)?;
    access.endpoint = reader.read_key("endpoint-url", keys.endpoint_url, |text| endpoint(text, plain_http))?;
    Ok(access)
}

fn read_pair(reader: &Reader<'_>, pair: &PairShape, access: &mut Access) -> Result<Option<AccessPair>, Problem> {
    let id = match (&pair.id, &pair.id_variable) {
        (Some(id), None) => Some(reader.key("id").read(id, line)?),
        (None, Some(name)) => {
            let name = variable_name(&reader.key("id-variable"), name)?;
            access.variable(name, reader.variables())
        }
        (Some(_), Some(_)) => {
            return Err(reader.problem(Complaint::new("both `id` and `id-variable` are given").help("remove one")));
        }
        (None, None) => {
            let complaint = Complaint::new("the pair has no `id`, and no `id-variable`");
            return Err(reader.problem(complaint.help("for example `id: gitlab-ci-token`")));
        }
    };
    let Some(name) = &pair.secret_variable else {
        let complaint = Complaint::new("the pair has no `secret-variable`");
        return Err(reader.problem(complaint.help("name the variable that holds the password or the secret key")));
    };
    let name = variable_name(&reader.key("secret-variable"), name)?;
    let secret = access.variable(name, reader.variables()).map(Secret::new);
    Ok(id.zip(secret).map(|(id, secret)| AccessPair { id, secret }))
}

/// The name of a variable, as written: with variables expanded in it, a secret would be taken for a name, and names are
/// printed.
fn variable_name<'a>(reader: &Reader<'_>, text: &'a Text) -> Result<&'a str, Problem> {
    let name = text.0.as_str();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name {
        return Ok(name);
    }
    // Not shown: it may be the secret itself.
    let complaint = Complaint::new("this is not the name of an environment variable");
    Err(reader.problem(
        complaint.help(
            "write the name alone, such as `MIRROR_TOKEN`, without `$`; a secret itself has no place in the file",
        ),
    ))
}

fn endpoint(text: &str, plain_http: PlainHttp) -> Result<Url, Complaint> {
    let url = Url::parse(&line(text)?)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| {
            Complaint::new("this is not the address of an object store")
                .help("expected `https://` or `http://` and a host, without user name and password")
        })?;
    if url.scheme() == "http" && plain_http == PlainHttp::LoopbackOnly && !is_loopback(&url) {
        let shown = shorten(url.as_str());
        return Err(Complaint::new(format!("`{shown}` is not protected by TLS"))
            .help("use `https://`; where you trust the network, add `insecure: true` to the entry"));
    }
    Ok(url)
}
