//! `mirrors:`: where binaries come from.

use std::path::Path;
use std::sync::Arc;

use super::access::{self, AccessKeys, PairShape};
use super::complaint::Complaint;
use super::keep::KeepShape;
use super::reader::{Problem, Reader, flag, line};
use super::shape::{Text, TextOr, shape};
use crate::config::built_entry::BuiltEntry;
use crate::types::{InvalidMirrorUrl, Mirror, MirrorUrl, PlainHttp, Signatures, shorten};

shape! {
    /// An entry of `mirrors:` in its long form.
    MirrorShape, "a URL, a map with `url`, or one with `collect: true` and `path`" {
        "name" => name: Text,
        "url" => url: Text,
        "signed" => signed: Text,
        "insecure" => insecure: Text,
        "access-pair" => access_pair: PairShape,
        "access-token-variable" => access_token_variable: Text,
        "profile" => profile: Text,
        "endpoint-url" => endpoint_url: Text,
        "collect" => collect: Text,
        "path" => path: Text,
        "signing-key" => signing_key: Text,
        "keep" => keep: TextOr<KeepShape>,
    }
}

impl MirrorShape {
    pub(super) fn access_keys(&self) -> AccessKeys<'_> {
        AccessKeys {
            pair: self.access_pair.as_ref(),
            token_variable: self.access_token_variable.as_ref(),
            profile: self.profile.as_ref(),
            endpoint_url: self.endpoint_url.as_ref(),
        }
    }
}

/// What `mirrors:` lists.
pub(super) struct Mirrors {
    /// Those to read from; `None` where the list holds nothing but one that collects, so that Spack's own stay in force.
    pub(super) read: Option<Vec<Mirror>>,
    /// The one that collects, and its place in the list.
    pub(super) collect: Option<(usize, BuiltEntry)>,
}

impl Mirrors {
    pub(super) fn read(reader: &Reader<'_>, shapes: Vec<TextOr<MirrorShape>>) -> Result<Self, Problem> {
        let mut mirrors: Vec<Mirror> = Vec::new();
        let mut collect: Option<(usize, BuiltEntry)> = None;
        for (index, shape) in shapes.into_iter().enumerate() {
            let reader = reader.item(index);
            let named = matches!(&shape, TextOr::Other(MirrorShape { name: Some(_), .. }));
            let entry = match &shape {
                TextOr::Other(shape) if BuiltEntry::is_meant_by(&reader, shape)? => {
                    Entry::Collects(BuiltEntry::read(&reader, shape)?)
                }
                _ => Entry::Reads(Mirror::read(&reader, shape)?),
            };
            let name = entry.name();
            let others = mirrors.iter().map(|mirror| &mirror.name).chain(collect.iter().map(|(_, other)| &other.name));
            if others.into_iter().any(|other| other == name) {
                let complaint = Complaint::new(format!("two mirrors have the name `{}`", shorten(name)));
                let place = if named { reader.key("name") } else { reader };
                return Err(place.problem(complaint.help("give each mirror a `name` of its own")));
            }
            match entry {
                Entry::Reads(mirror) => mirrors.push(mirror),
                Entry::Collects(entry) if collect.is_none() => collect = Some((index, entry)),
                Entry::Collects(_) => {
                    let complaint = Complaint::new("two mirrors have `collect: true`");
                    return Err(reader.problem(complaint.help("one folder takes what the pipeline built")));
                }
            }
        }
        let read = if mirrors.is_empty() && collect.is_some() { None } else { Some(mirrors) };
        Ok(Self { read, collect })
    }
}

/// One entry of the list.
enum Entry {
    Reads(Mirror),
    Collects(BuiltEntry),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Reads(mirror) => &mirror.name,
            Self::Collects(entry) => &entry.name,
        }
    }
}

impl Mirror {
    /// The mirror at a URL or path of which nothing else is known, as `--mirror` names one.
    pub fn from_url(text: &str, base: &Path) -> Result<Self, InvalidMirrorUrl> {
        let url = MirrorUrl::parse(text, base)?;
        Ok(Self {
            name: name_from(&url),
            url,
            signatures: Signatures::Required,
            plain_http: PlainHttp::LoopbackOnly,
            access: Arc::default(),
        })
    }

    fn read(reader: &Reader<'_>, shape: TextOr<MirrorShape>) -> Result<Self, Problem> {
        let (shape, at_url) = match shape {
            TextOr::Text(url) => (MirrorShape { url: Some(url), ..MirrorShape::default() }, *reader),
            TextOr::Other(shape) => (shape, reader.key("url")),
        };
        let Some(url) = &shape.url else { return Err(reader.problem(Complaint::new("a mirror needs a `url`"))) };
        let url = at_url.read(url, |text| MirrorUrl::parse(&line(text)?, reader.root()).map_err(Complaint::from))?;
        let signatures = match reader.read_key("signed", shape.signed.as_ref(), flag)? {
            Some(false) => Signatures::NotRequired,
            Some(true) | None => Signatures::Required,
        };
        let plain_http = match reader.read_key("insecure", shape.insecure.as_ref(), flag)? {
            Some(true) => PlainHttp::Anywhere,
            Some(false) | None => PlainHttp::LoopbackOnly,
        };
        if url.is_refused_by(plain_http) {
            let complaint = Complaint::new(format!(
                "`{url}` is not protected by TLS: anybody on the way could replace binaries and digests alike"
            ));
            return Err(at_url.problem(complaint.help(
                "use `https://` or `oci://`; where you trust the network, add `insecure: true` to the mirror's entry",
            )));
        }
        let name = reader.read_key("name", shape.name.as_ref(), line)?.unwrap_or_else(|| name_from(&url));
        let access = Arc::new(access::read(reader, &shape.access_keys(), plain_http)?);
        Ok(Self { name, url, signatures, plain_http, access })
    }
}

/// The URL without its scheme: `binaries.spack.io/develop`, `/srv/mirror`.
fn name_from(url: &MirrorUrl) -> String {
    let text = url.public_text();
    text.split_once("://").map_or(text.clone(), |(_, rest)| rest.to_owned())
}
